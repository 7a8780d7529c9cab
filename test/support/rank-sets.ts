/** Sets of ranks with something wrong in them, and what is said of it. */

import { join } from "node:path";
import { expect } from "vitest";
import { NpuDiffError } from "../../src/core/errors.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import type { TensorInput } from "../../src/dump/write-dump.ts";
import { errorOf, scratch } from "./scratch.ts";
import { type SplitOptions, splitRun } from "./split-ranks.ts";
import { toyTensors, writeToyRun } from "./toy-run.ts";

/** A whole toy run, and folders for the ranks of it. */
export interface RankSets {
  readonly whole: string;
  readonly folder: () => string;
  /** Splits the run over two ranks, or as `options` say. */
  readonly split: (options?: Partial<SplitOptions>) => string;
}

/** Writes the run; all is removed when the calling test file has run. */
export function rankSets(): RankSets {
  const files = scratch();
  const whole = files.path();
  writeToyRun(whole, toyTensors([1]), { id: "aa", texts: ["a", "b"] });
  let sets = 0;
  const folder = (): string => {
    sets += 1;
    return join(files.folder, `set${String(sets)}`);
  };
  const split = (options: Partial<SplitOptions> = {}): string =>
    splitRun(whole, folder(), { ranks: 2, ...options });
  return { whole, folder, split };
}

/** The error of opening `path`, which must have all its parts. */
export function refusal(path: string): NpuDiffError {
  const error = errorOf(() => {
    openDump(path).close();
  });
  if (!(error instanceof NpuDiffError)) throw new Error(`no refusal: ${String(error)}`);
  expect(error.message).not.toBe("");
  expect(error.facts.length).toBeGreaterThanOrEqual(2);
  expect(error.help).not.toBe("");
  return error;
}

/** All facts of an error in one line. */
export function factsOf({ facts }: NpuDiffError): string {
  return facts.map(({ label, text }) => `${label}: ${text}`).join("; ");
}

/** What a rank says of its run. */
export type Run = Readonly<Record<string, unknown>>;

/** Changes what rank 1 says of the run. */
export function onRank1(change: (run: Run) => Run): Partial<SplitOptions> {
  return { run: (run, rank) => (rank === 1 ? change(run) : run) };
}

/** Changes numbers of `run.parallel`. */
export function parallel(facts: Run): (run: Run) => Run {
  return (run) => ({ ...run, parallel: { ...(run["parallel"] as Run), ...facts } });
}

/** Says of a tensor what `share` is, on top of the rest. */
export function shard(name: string, share: unknown): (run: Run) => Run {
  return (run) => ({ ...run, shards: { [name]: share, ...without(run["shards"] as Run, name) } });
}

function without(object: Run, key: string): Run {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
}

/** Changes one tensor on rank 1. */
export function tensorOnRank1(
  name: string,
  change: (tensor: TensorInput) => TensorInput | null,
): Partial<SplitOptions> {
  return {
    tensor: (tensor, rank) => (rank === 1 && tensor.name === name ? change(tensor) : tensor),
  };
}
