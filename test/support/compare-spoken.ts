/** Whole comparisons of two runs that continue prompts. */

import { compareDumps } from "../../src/compare.ts";
import type { GenerationResult, SampleTexts } from "../../src/core/generation.ts";
import type { CompareOptions } from "../../src/core/options.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { type Scratch, scratch } from "./scratch.ts";
import { type Spoken, writeSpoken } from "./spoken-run.ts";

/** Further metadata of the two runs. */
export interface Runs {
  readonly reference?: Readonly<Record<string, unknown>>;
  readonly candidate?: Readonly<Record<string, unknown>>;
}

/** Token ids that a prompt is fed as. */
export const INPUT = [1, 2, 3];

/** Compares two runs, in files of a folder of the calling test file. */
export function comparer(folder: Scratch = scratch()) {
  return (
    reference: readonly Spoken[],
    candidate: readonly Spoken[],
    runs: Runs = {},
    options: Partial<CompareOptions> = {},
  ): Promise<ComparisonResult> =>
    compareDumps({
      reference: writeSpoken(folder.path(), "a", reference, runs.reference),
      candidate: writeSpoken(folder.path(), "b", candidate, runs.candidate),
      ...options,
    });
}

export function generation({ quality }: ComparisonResult): GenerationResult {
  if (quality.generation === null) throw new Error("no generation");
  return quality.generation;
}

/** The first listed sample. */
export function first(result: ComparisonResult): SampleTexts {
  const [sample] = generation(result).listed;
  if (sample === undefined) throw new Error("nothing is listed");
  return sample;
}

/** The rules that have findings of a level. */
export function rulesOf(result: ComparisonResult, level: string): readonly string[] {
  return result.findings.filter((one) => one.level === level).map(({ rule }) => rule);
}
