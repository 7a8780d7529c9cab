/** What is kept of one run of an evaluation: the scores of its items, and what tells items apart. */

import type { TaskInput } from "../../core/task-results.ts";

/** One task of one run. The arrays have one entry an item, in the order of the file. */
export interface TaskItems {
  /** Empty where nothing names it. */
  readonly task: string;
  readonly metric: string;
  readonly filter: string | null;
  readonly otherFilters: readonly string[];
  readonly version: string | null;
  readonly file: string;
  readonly ids: readonly string[];
  /** From 0 to 1. */
  readonly scores: readonly number[];
  /** The group that an item belongs to, where it is not independent of others. */
  readonly groups: readonly (string | null)[];
  readonly contents: readonly ItemContent[];
}

/** The beginnings of the hashes of what an item asks; empty where a file does not say. */
export interface ItemContent {
  readonly document: string;
  readonly prompt: string;
  readonly target: string;
}

/** One run of all tasks, from one file or several. */
export interface TaskRun {
  readonly inputs: readonly TaskInput[];
  readonly tasks: readonly TaskItems[];
}
