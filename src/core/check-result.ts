/** The result of `npu-diff check`: all pairs of a config. Field names are frozen, additions only. */

import type { ErrorCode, ErrorFact } from "./errors.ts";
import type { ComparisonResult } from "./result.ts";
import type { Verdict } from "./verdict.ts";

/** `error`: could not be compared. */
export type CheckVerdict = Verdict | "error";

/** Why a pair could not be compared. */
export interface PairError {
  readonly code: ErrorCode;
  readonly what: string;
  readonly facts: readonly ErrorFact[];
  readonly help: string;
}

/** What came of one pair. */
export interface PairOutcome {
  readonly name: string;
  readonly verdict: CheckVerdict;
  /** With the findings of the baseline; null where the pair could not be compared. */
  readonly result: ComparisonResult | null;
  readonly error: PairError | null;
}

/** What became of the baseline. */
export interface BaselineState {
  /** File name without its folder. */
  readonly file: string;
  /** `not-written`: it was to be, and a pair could not be compared. */
  readonly state: "compared" | "written" | "not-written" | "missing";
}

/** What `npu-diff check` found of all pairs. */
export interface CheckResult {
  readonly schemaVersion: 1;
  /** The worst of all pairs: `error`, then `fail`, then `inconclusive`. */
  readonly verdict: CheckVerdict;
  /** File name of the config, without its folder. */
  readonly config: string;
  /** Null where the config names none. */
  readonly baseline: BaselineState | null;
  /** In the order of the config. */
  readonly pairs: readonly PairOutcome[];
}

/** From the worst to the best. */
export const VERDICTS = [
  "error",
  "fail",
  "inconclusive",
  "pass",
] as const satisfies readonly CheckVerdict[];

/** The verdict that counts of several; nothing at all is no pass. */
export function worstOf(verdicts: readonly CheckVerdict[]): CheckVerdict {
  return VERDICTS.find((one) => verdicts.includes(one)) ?? "error";
}
