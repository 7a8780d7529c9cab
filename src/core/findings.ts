/** What rules say: findings, and the rules that were applied. Field names are frozen, additions only. */

import type { Role, StepGroup } from "./verdict.ts";

/** Where a limit came from. */
export type LimitSource =
  | "method"
  | "floor"
  | "prior"
  | "flag"
  | "config"
  | "baseline"
  | "preset"
  | "structure";

/** What a finding counts for: `error` fails, `warning` and `info` do not. */
export type RuleLevel = "error" | "warning" | "info";

/** A rule that was broken, or something that the reader should know. */
export interface Finding {
  /** Rule id, see `judge/rules`. */
  readonly rule: string;
  readonly level: RuleLevel;
  /** Name of the tensor, null where the finding is about the whole run. */
  readonly tensor: string | null;
  readonly step: StepGroup | null;
  readonly sample: number | null;
  readonly role: Role | null;
  readonly value: number | null;
  readonly limit: number | null;
  readonly limitFrom: LimitSource | null;
  /** Further facts, by the names that the rule's texts use; `setAt` is the line of a config that set the level. */
  readonly detail: Readonly<Record<string, string | number>>;
}

/** A rule as it was applied in this comparison, or why it was not. */
export interface AppliedRule {
  readonly rule: string;
  /** `decode` where it was held to what the decode steps say; null where the rule speaks for itself. */
  readonly step: StepGroup | null;
  readonly applied: boolean;
  /** Null where the limit differs from tensor to tensor, or the rule was not applied. */
  readonly limit: number | null;
  readonly limitFrom: LimitSource | null;
  /** What was held to the limit, where it has an uncertainty: its 95 % interval, or the value alone. */
  readonly decide: "interval" | "point" | null;
  /** Why a rule was not applied, by a stable word: `no-floor`, `few-samples`, `no-logits`, `stopped`, `switched-off`, or one of `NotAvailable`. */
  readonly reason: string | null;
}
