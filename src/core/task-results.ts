/**
 * The result of a comparison of task results: the one type that its renderers
 * read. Field names are frozen, additions only.
 */

import type { LimitSource } from "./findings.ts";
import type { Decide } from "./options.ts";
import type { Verdict } from "./verdict.ts";

/** What a comparison of task results is asked to do. */
export interface TaskResultsOptions {
  /** Paths of the reference's runs, files or folders; none where there is a baseline. */
  readonly reference: readonly string[];
  /** Paths of the candidate's runs, one at least. */
  readonly candidate: readonly string[];
  /** Accuracy of a reference of which no more is known, 0 to 1. */
  readonly baseline: number | null;
  /** An item counts by pass@k over its runs. */
  readonly passAt: number;
  /** Largest drop of the accuracy, 0 to 1; null for the default. */
  readonly maxDrop: number | null;
  readonly decide: Decide;
  /** Metric and filter that count; null for the first that a task lists. */
  readonly metric: string | null;
  readonly filter: string | null;
  /** Globs: only tasks that match one of them count; empty means all. */
  readonly only: readonly string[];
  /** Globs: tasks that match one of them do not count. */
  readonly skip: readonly string[];
}

/** Where nothing else is said: published ports call a drop below one point none. */
export const DEFAULT_MAX_DROP = 0.01;

/** How an interval was made. */
export type IntervalMethod = "wilson" | "tango" | "student-t" | "wilson-less-baseline";

/** How a p was found. */
export type TestMethod =
  | "mcnemar-exact"
  | "binomial-exact"
  | "sign-flip-exact"
  | "sign-flip-sampled"
  | "student-t";

/** One run of one side. */
export interface TaskRunFigures {
  /** Share of right items, or mean score. */
  readonly accuracy: number;
  /** Right items; null where scores are not only right or wrong. */
  readonly correct: number | null;
}

/** One side of a task, or of all. */
export interface TaskSideFigures extends TaskRunFigures {
  /** Null below six independent units. */
  readonly ci95: readonly [number, number] | null;
  readonly interval: IntervalMethod;
  readonly runs: readonly TaskRunFigures[];
}

/** Candidate less reference. */
export interface TaskDifference {
  readonly value: number;
  readonly ci95: readonly [number, number] | null;
  /** The interval at the confidence that holds for all tasks at once (Bonferroni). */
  readonly simultaneous: readonly [number, number] | null;
  readonly interval: IntervalMethod;
}

/** What is known of one task, or of all together. */
export interface TaskFigures {
  readonly items: number;
  /** Independent units: groups of items; null where each item is one. */
  readonly groups: number | null;
  readonly reference: TaskSideFigures | null;
  readonly candidate: TaskSideFigures;
  readonly difference: TaskDifference;
  /** Items that were better on the reference, and on the candidate; null without pairs. */
  readonly flips: { readonly lost: number; readonly gained: number } | null;
  readonly test: { readonly method: TestMethod; readonly p: number };
}

/** The limit held to one task, or to all together. */
export interface TaskJudgement {
  readonly verdict: Verdict;
  /** About how many items would decide, if what comes is like what is there; null where it is decided. */
  readonly itemsNeeded: number | null;
}

/** What came of one task. */
export interface TaskResult extends TaskFigures, TaskJudgement {
  readonly task: string;
  readonly metric: string;
  /** Filter of the answers; null where the format has none. */
  readonly filter: string | null;
  /** Filters that the file has and that did not count. */
  readonly otherFilters: readonly string[];
  /** Version of the task, as the harness names it; null where it does not say. */
  readonly version: string | null;
  /** The first items that flipped, 20 each way; null without pairs. */
  readonly flipped: { readonly lost: readonly string[]; readonly gained: readonly string[] } | null;
}

/** A file that was read. */
export interface TaskInput {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The result of comparing task results. Field names are frozen, additions only. */
export interface TaskResultsComparison {
  readonly schemaVersion: 1;
  readonly verdict: Verdict;
  readonly decide: Decide;
  readonly maxDrop: number;
  readonly limitFrom: Extract<LimitSource, "method" | "flag">;
  readonly baseline: number | null;
  readonly passAt: number;
  /** All tasks, their items alike; the task itself where there is one. */
  readonly pooled: TaskFigures & TaskJudgement;
  readonly tasks: readonly TaskResult[];
  readonly inputs: {
    /** The files of each run. */
    readonly reference: readonly (readonly TaskInput[])[];
    readonly candidate: readonly (readonly TaskInput[])[];
  };
}
