/** Whether a candidate's accuracy is lower than the reference's by more than a limit. */

import type { Decide } from "../core/options.ts";
import type { Verdict } from "../core/result.ts";
import type { TaskFigures, TaskJudgement } from "../core/task-results.ts";

/** The limit and how it is held. */
export interface DropLimit {
  readonly maxDrop: number;
  readonly decide: Decide;
}

/** Shares differ by rounding: 0.98 − 0.99 is below −0.01. */
const ROUNDING = 1e-12;

/**
 * Non-inferiority: the drop is within the limit where the whole 95 % interval is
 * (a one-sided test at 2.5 %), beyond it where the whole interval is; between, the
 * items do not decide. By point only the value counts.
 *
 * @param isOneOfMany then a drop is beyond the limit only by the interval that holds
 *   for all tasks at once: of fifty tasks some fall by chance
 */
export function judgeDrop(
  { difference, items }: TaskFigures,
  { maxDrop, decide }: DropLimit,
  isOneOfMany = false,
): TaskJudgement {
  const least = -maxDrop - ROUNDING;
  const { value, ci95 } = difference;
  if (decide === "point") {
    return { verdict: value >= least ? "pass" : "fail", itemsNeeded: null };
  }
  const wide = isOneOfMany ? difference.simultaneous : ci95;
  if (ci95 !== null && ci95[0] >= least) return { verdict: "pass", itemsNeeded: null };
  if (wide !== null && wide[1] < least) return { verdict: "fail", itemsNeeded: null };
  return { verdict: "inconclusive", itemsNeeded: ci95 === null ? null : needed() };

  /** Intervals shrink with the root of the items; null where the value is the limit itself. */
  function needed(): number | null {
    const bound = value >= -maxDrop ? ci95?.[0] : wide?.[1];
    const room = Math.abs(value + maxDrop);
    if (bound === undefined || room < ROUNDING) return null;
    return Math.ceil(items * ((bound - value) / room) ** 2);
  }
}

/**
 * The verdict of all: that of all items together, and a task that falls by itself
 * is never outweighed by the others.
 */
export function verdictOfTasks(pooled: TaskJudgement, tasks: readonly TaskJudgement[]): Verdict {
  return tasks.some(({ verdict }) => verdict === "fail") ? "fail" : pooled.verdict;
}
