/** Accuracies, their difference, flips and tests, of one task or of several together. */

import type { AlignedTask } from "../align/task-runs.ts";
import { NpuDiffError } from "../core/errors.ts";
import { binomialTest, mcnemarExact } from "../core/statistics/binomial.ts";
import { boundedMeanInterval } from "../core/statistics/bounded-mean.ts";
import { tangoInterval } from "../core/statistics/paired-shares.ts";
import { passAt } from "../core/statistics/pass-at.ts";
import { signFlipTest, studentTest } from "../core/statistics/sign-flip.ts";
import { type ClusterSum, normalPoint, wilsonInterval, Z95 } from "../core/statistics.ts";
import type {
  TaskDifference,
  TaskFigures,
  TaskResult,
  TaskRunFigures,
  TaskSideFigures,
} from "../core/task-results.ts";

/** What decides how a task is measured. */
export interface TaskMeasurement {
  readonly baseline: number | null;
  readonly passAt: number;
  /** Tasks that are judged at once. */
  readonly tasks: number;
}

const CONFIDENCE = 0.95;

/**
 * The figures of some tasks, their items alike. Where every item is right or
 * wrong and independent of the others, sides have Wilson intervals, their
 * difference Tango's, and McNemar's exact test; where scores lie between, or items
 * come in groups, means have Student intervals clustered by group, and the test
 * turns signs.
 *
 * @throws NpuDiffError `score-invalid` where pass@k needs right or wrong
 */
export function measureTasks(
  tasks: readonly AlignedTask[],
  { baseline, passAt: k, tasks: judged }: TaskMeasurement,
): TaskFigures {
  const reference = baseline === null ? sideOf(tasks, "reference", k) : null;
  const candidate = sideOf(tasks, "candidate", k);
  const units = unitsOf(tasks);
  const isBinary = [...(reference?.items ?? []), ...candidate.items].every(isRightOrWrong);
  const spread: Spread = { units, isPlain: isBinary && units === null };
  const simultaneous = judged === 1 ? CONFIDENCE : 1 - (1 - CONFIDENCE) / judged;
  const common = {
    items: candidate.items.length,
    groups: units === null ? null : countOf(units),
    reference: reference && sideFigures(reference, spread),
    candidate: sideFigures(candidate, spread),
  };
  return baseline !== null
    ? { ...common, ...againstBaseline(candidate.items, baseline, spread) }
    : { ...common, ...paired(reference?.items ?? [], candidate.items, spread, simultaneous) };
}

/** Items that are named of those that flipped, each way. */
const NAMED = 20;

/** The first items of a task that flipped; null where there is only a baseline. */
export function flippedItems(
  task: AlignedTask,
  { baseline, passAt: k }: TaskMeasurement,
): TaskResult["flipped"] {
  if (baseline !== null) return null;
  const reference = itemsOf(task, "reference", k);
  const candidate = itemsOf(task, "candidate", k);
  const named = (sign: 1 | -1): readonly string[] => {
    const flips = (_: string, item: number): boolean =>
      sign * ((candidate[item] as number) - (reference[item] as number)) > 0;
    return task.ids.filter(flips).slice(0, NAMED);
  };
  return { lost: named(-1), gained: named(1) };
}

/** How the items vary. */
interface Spread {
  /** The unit of each item that is independent of the others; null where each item is one. */
  readonly units: readonly number[] | null;
  /** Whether they are independent trials, each right or wrong. */
  readonly isPlain: boolean;
}

interface SideItems {
  /** What each item counts. */
  readonly items: readonly number[];
  /** The same of each run alone. */
  readonly runs: readonly (readonly number[])[];
}

function sideOf(
  tasks: readonly AlignedTask[],
  side: "reference" | "candidate",
  k: number,
): SideItems {
  const runs = tasks[0]?.[side] ?? [];
  return {
    items: tasks.flatMap((task) => itemsOf(task, side, k)),
    runs: runs.map((_, run) => tasks.flatMap((task) => task[side][run] ?? [])),
  };
}

/** What each item of a task counts: pass@k over its runs, or their mean score. */
function itemsOf(
  { task, ...sides }: AlignedTask,
  side: "reference" | "candidate",
  k: number,
): readonly number[] {
  const runs = sides[side];
  const [first = []] = runs;
  if (runs.length === 1) return first;
  const isBinary = runs.every((run) => run.every(isRightOrWrong));
  if (k > 1 && !isBinary) {
    throw new NpuDiffError("score-invalid", {
      what: `pass@${k} needs items that are right or wrong`,
      facts: [
        { label: "task", text: task === "" ? "the only one" : task },
        { label: side, text: "scores between 0 and 1" },
      ],
      help: "choose another metric with --metric, or leave --pass-at out for the mean over runs",
    });
  }
  return first.map((_, item) => {
    const sum = runs.reduce((total, run) => total + (run[item] as number), 0);
    return isBinary ? passAt(runs.length, sum, k) : sum / runs.length;
  });
}

function isRightOrWrong(score: number): boolean {
  return score === 0 || score === 1;
}

/** Units of the items of all tasks, none shared between two; null where no two items share one. */
function unitsOf(tasks: readonly AlignedTask[]): readonly number[] | null {
  if (tasks.every(({ groups }) => groups === null)) return null;
  let before = 0;
  return tasks.flatMap(({ groups, candidate }) => {
    const own = groups ?? Array.from(candidate[0] ?? [], (_, item) => item);
    const numbers = own.map((unit) => before + unit);
    before += countOf(own);
    return numbers;
  });
}

/** Units are numbered from 0 without gaps. */
function countOf(units: readonly number[]): number {
  return units.reduce((most, unit) => Math.max(most, unit + 1), 0);
}

function clustersOf(
  values: readonly number[],
  units: readonly number[] | null,
): readonly ClusterSum[] {
  if (units === null) return values.map((sum) => ({ count: 1, sum }));
  const clusters = Array.from({ length: countOf(units) }, () => ({ count: 0, sum: 0 }));
  values.forEach((value, item) => {
    const cluster = clusters[units[item] ?? 0];
    if (cluster === undefined) return;
    cluster.count += 1;
    cluster.sum += value;
  });
  return clusters;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function runFigures(values: readonly number[]): TaskRunFigures {
  const total = sum(values);
  return {
    accuracy: total / values.length,
    correct: values.every(isRightOrWrong) ? total : null,
  };
}

function sideFigures({ items, runs }: SideItems, { units, isPlain }: Spread): TaskSideFigures {
  return {
    ...runFigures(items),
    ci95: isPlain
      ? wilsonInterval(sum(items), items.length)
      : boundedMeanInterval(clustersOf(items, units), [0, 1]),
    interval: isPlain ? "wilson" : "student-t",
    runs: runs.map(runFigures),
  };
}

type Compared = Pick<TaskFigures, "difference" | "flips" | "test">;

function paired(
  reference: readonly number[],
  candidate: readonly number[],
  { units, isPlain }: Spread,
  simultaneous: number,
): Compared {
  const differences = candidate.map((score, item) => score - (reference[item] as number));
  const lost = differences.filter((difference) => difference < 0).length;
  const gained = differences.filter((difference) => difference > 0).length;
  const items = differences.length;
  const value = sum(differences) / items;
  if (isPlain) {
    const ci95 = tangoInterval(lost, gained, items, Z95);
    const difference: TaskDifference = {
      value,
      ci95,
      simultaneous:
        simultaneous === CONFIDENCE
          ? ci95
          : tangoInterval(lost, gained, items, normalPoint(simultaneous)),
      interval: "tango",
    };
    const test = { method: "mcnemar-exact", p: mcnemarExact(lost, gained) } as const;
    return { difference, flips: { lost, gained }, test };
  }
  const clusters = clustersOf(differences, units);
  const difference: TaskDifference = {
    value,
    ci95: boundedMeanInterval(clusters, [-1, 1]),
    simultaneous: boundedMeanInterval(clusters, [-1, 1], simultaneous),
    interval: "student-t",
  };
  return { difference, flips: { lost, gained }, test: signFlipTest(clusters) };
}

/** Without pairs: the interval of the candidate alone, beside a number that is taken as exact. */
function againstBaseline(
  items: readonly number[],
  baseline: number,
  { units, isPlain }: Spread,
): Compared {
  const clusters = clustersOf(items, units);
  const correct = sum(items);
  const interval = isPlain
    ? wilsonInterval(correct, items.length)
    : boundedMeanInterval(clusters, [0, 1]);
  const ci95 =
    interval === null ? null : ([interval[0] - baseline, interval[1] - baseline] as const);
  const shifted = clusters.map(({ count, sum: total }) => ({
    count,
    sum: total - count * baseline,
  }));
  return {
    difference: {
      value: correct / items.length - baseline,
      ci95,
      simultaneous: ci95,
      interval: isPlain ? "wilson-less-baseline" : "student-t",
    },
    flips: null,
    test: isPlain
      ? { method: "binomial-exact", p: binomialTest(correct, items.length, baseline) }
      : { method: "student-t", p: studentTest(shifted) },
  };
}
