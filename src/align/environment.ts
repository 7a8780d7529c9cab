/** What differs between the two runs, by their own word. */

import type { EnvironmentDifference } from "../core/result.ts";
import type { RunMetadata } from "../dump/dump.ts";

/** Parts of the run metadata that describe the run, in the order of a report. */
const SECTIONS = ["model", "device", "engine", "dtype", "seed", "numerics", "versions", "parallel"];

/** Differences listed at most: metadata is a file's own word, of any size. */
const MAX_DIFFERENCES = 200;

/** Keys, with dots between the levels, whose values differ; a value that one side lacks is null there. */
export function environmentDifferences(
  reference: RunMetadata,
  candidate: RunMetadata,
): readonly EnvironmentDifference[] {
  const mine = new Map(SECTIONS.flatMap((key) => [...leaves(key, reference[key])]));
  const theirs = new Map(SECTIONS.flatMap((key) => [...leaves(key, candidate[key])]));
  const differences: EnvironmentDifference[] = [];
  for (const key of new Set([...mine.keys(), ...theirs.keys()])) {
    const a = mine.get(key) ?? null;
    const b = theirs.get(key) ?? null;
    if (JSON.stringify(a) === JSON.stringify(b)) continue;
    differences.push({ key, reference: a, candidate: b });
    if (differences.length === MAX_DIFFERENCES) break;
  }
  return differences;
}

/** The leaves of a JSON value; a list is a leaf. */
function* leaves(key: string, value: unknown): Generator<readonly [string, unknown]> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    if (value !== undefined) yield [key, value];
    return;
  }
  for (const [name, inner] of Object.entries(value)) yield* leaves(`${key}.${name}`, inner);
}
