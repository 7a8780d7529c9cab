/** The verdict on whether a run gives the same answer each time. */

import type { SideDeterminism } from "../core/determinism.ts";
import type { AppliedRule, Finding, LimitSource } from "../core/findings.ts";
import type { Quality } from "../core/quality.ts";
import { finding } from "./findings.ts";
import { MIN_DETERMINISM } from "./limits.ts";
import { type SetLimits, setBy } from "./set-limits.ts";

/** What came of it. */
export interface DeterminismJudgement {
  readonly findings: readonly Finding[];
  /** Empty where neither side repeats anything, and no limit was set. */
  readonly rules: readonly AppliedRule[];
}

type Side = "reference" | "candidate";

/** What the repetitions of one side come to. */
type Outcome =
  | { readonly kind: "holds" }
  | { readonly kind: "broken"; readonly share: number | null }
  /** Nothing to hold a limit to, and nothing that speaks against the side. */
  | { readonly kind: "notApplied"; readonly reason: string }
  /** The run was repeated, and its repetitions do not tell. */
  | { readonly kind: "open"; readonly reason: string };

/**
 * Holds the candidate to the limit; of the reference, which is not under test, a
 * warning says that it is no fixed point. Only repetitions fed alike fail: that
 * other batches round otherwise is a warning.
 */
export function judgeDeterminism(
  { determinism, notAvailable }: Pick<Quality, "determinism" | "notAvailable">,
  options: SetLimits,
): DeterminismJudgement {
  const given = options.limits.minDeterminism;
  const limit = given ?? MIN_DETERMINISM;
  const limitFrom = given === undefined ? "method" : setBy(options, "minDeterminism");
  const outcomeOf = (side: Side): Outcome => {
    const result = determinism?.[side] ?? null;
    const reason = notAvailable.find(({ figure }) => figure === `determinism.${side}`)?.reason;
    return result === null ? withoutFigures(reason ?? null) : outcome(result, limit);
  };
  const [reference, candidate] = [outcomeOf("reference"), outcomeOf("candidate")];
  const isAsked = given !== undefined;
  // What the user limits and nobody measured is not kept.
  const held: Outcome =
    isAsked && candidate.kind === "notApplied" ? { kind: "broken", share: null } : candidate;
  const silent = [reference, held].every(
    (one) => one.kind === "notApplied" && one.reason === "no-repeats",
  );
  if (silent) return { findings: [], rules: [] };
  const findings = [
    ...findingsOf("reference", reference, determinism?.reference ?? null, limit, limitFrom),
    ...findingsOf("candidate", held, determinism?.candidate ?? null, limit, limitFrom),
  ];
  const applied = held.kind === "holds" || held.kind === "broken";
  const rule: AppliedRule = {
    rule: "quality/determinism",
    step: null,
    applied,
    limit: applied ? limit : null,
    limitFrom: applied ? limitFrom : null,
    decide: null,
    reason: applied ? null : held.reason,
  };
  return { findings, rules: [rule] };
}

function withoutFigures(reason: string | null): Outcome {
  if (reason === "some-repeats") return { kind: "open", reason };
  return { kind: "notApplied", reason: reason ?? "no-repeats" };
}

/**
 * Repetitions that all agree need no question of how they were fed. Where they do
 * not, and the dump does not say, every difference counts.
 */
function outcome({ share, runToRun, batch }: SideDeterminism, limit: number): Outcome {
  if (share === null) return { kind: "notApplied", reason: "no-continuations" };
  if (share >= limit) return { kind: "holds" };
  const judged = batch === null ? share : (runToRun?.share ?? null);
  if (judged === null) return { kind: "open", reason: "other-batches" };
  return judged >= limit ? { kind: "holds" } : { kind: "broken", share: judged };
}

function findingsOf(
  side: Side,
  outcome: Outcome,
  result: SideDeterminism | null,
  limit: number,
  limitFrom: LimitSource,
): readonly Finding[] {
  const sample = result?.firstDifference?.sample ?? null;
  const { batch = null } = result ?? {};
  return [
    ...(outcome.kind === "broken"
      ? [
          finding("quality/determinism", {
            level: side === "candidate" ? "error" : "warning",
            sample,
            value: outcome.share,
            limit,
            limitFrom,
            detail: { side },
          }),
        ]
      : []),
    ...(outcome.kind === "open" && side === "candidate"
      ? [finding("quality/undecided", { detail: { side, reason: outcome.reason } })]
      : []),
    ...(batch !== null && batch.identical < batch.samples
      ? [
          finding("quality/batch-variance", {
            sample,
            value: batch.samples - batch.identical,
            detail: { side, samples: batch.samples },
          }),
        ]
      : []),
  ];
}
