/** Whether a candidate's accuracy is lower than the reference's by more than a limit. */

import type { Decide } from "../core/options.ts";
import { tangoInterval } from "../core/statistics/paired-shares.ts";
import { timesToDecide } from "../core/statistics/times-to-decide.ts";
import { wilsonInterval, Z95 } from "../core/statistics.ts";
import type { TaskFigures, TaskJudgement } from "../core/task-results.ts";
import type { Verdict } from "../core/verdict.ts";

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
  figures: TaskFigures,
  { maxDrop, decide }: DropLimit,
  isOneOfMany = false,
): TaskJudgement {
  const least = -maxDrop - ROUNDING;
  const { difference, items } = figures;
  const { value, ci95 } = difference;
  if (decide === "point") {
    return { verdict: value >= least ? "pass" : "fail", itemsNeeded: null };
  }
  const wide = isOneOfMany ? difference.simultaneous : ci95;
  if (ci95 !== null && ci95[0] >= least) return { verdict: "pass", itemsNeeded: null };
  if (wide !== null && wide[1] < least) return { verdict: "fail", itemsNeeded: null };
  const times =
    ci95 === null ? Number.POSITIVE_INFINITY : timesToDecide(intervalAt(figures), -maxDrop);
  return {
    verdict: "inconclusive",
    itemsNeeded: Number.isFinite(times) ? Math.ceil(items * times) : null,
  };
}

/** The 95 % interval that so many times these items would have. */
function intervalAt({ items, candidate, flips, difference }: TaskFigures) {
  const { value, ci95, interval } = difference;
  const [low, high] = ci95 ?? [Number.NaN, Number.NaN];
  return (times: number): readonly [number, number] => {
    if (interval === "tango" && flips !== null) {
      return tangoInterval(times * flips.lost, times * flips.gained, times * items, Z95);
    }
    if (interval === "wilson-less-baseline" && candidate.correct !== null) {
      const baseline = candidate.accuracy - value;
      const bounds = wilsonInterval(times * candidate.correct, times * items);
      return [bounds[0] - baseline, bounds[1] - baseline];
    }
    const root = Math.sqrt(times);
    return [value - (value - low) / root, value + (high - value) / root];
  };
}

/**
 * The verdict of all: that of all items together, and a task that falls by itself
 * is never outweighed by the others.
 */
export function verdictOfTasks(pooled: TaskJudgement, tasks: readonly TaskJudgement[]): Verdict {
  return tasks.some(({ verdict }) => verdict === "fail") ? "fail" : pooled.verdict;
}
