/** What differs between the two runs, by their own word. */

import type { EnvironmentDifference } from "../core/inputs.ts";
import type { RunMetadata } from "../dump/dump.ts";
import { isJsonObject } from "../dump/json.ts";

/** Parts of the run metadata that describe the run, in the order of a report. */
const SECTIONS = ["model", "device", "engine", "dtype", "seed", "numerics", "versions", "parallel"];

/** Differences listed at most: metadata is a file's own word, of any size. */
const MAX_DIFFERENCES = 200;

/** A key, with dots between the levels, whose values differ; `undefined` is what a side does not say. */
export interface MetadataDifference {
  readonly key: string;
  readonly reference: unknown;
  readonly candidate: unknown;
}

/** Keys whose values differ; a value that one side lacks is null there. */
export function environmentDifferences(
  reference: RunMetadata,
  candidate: RunMetadata,
): readonly EnvironmentDifference[] {
  const differences: EnvironmentDifference[] = [];
  for (const key of SECTIONS) {
    for (const found of metadataDifferences(key, reference[key], candidate[key])) {
      if (differences.length === MAX_DIFFERENCES) return differences;
      differences.push({
        ...found,
        reference: found.reference ?? null,
        candidate: found.candidate ?? null,
      });
    }
  }
  return differences;
}

/**
 * The leaves in which two JSON values differ; a list is a leaf, and so is what
 * one side says in an object and the other does not, as `null` for «none».
 */
export function* metadataDifferences(
  key: string,
  reference: unknown,
  candidate: unknown,
): Generator<MetadataDifference> {
  const [mine, theirs] = [reference, candidate].map((value) =>
    isJsonObject(value) ? value : null,
  );
  const nested =
    (mine != null || reference === undefined) && (theirs != null || candidate === undefined);
  if (nested) {
    for (const name of new Set([...Object.keys(mine ?? {}), ...Object.keys(theirs ?? {})])) {
      yield* metadataDifferences(`${key}.${name}`, mine?.[name], theirs?.[name]);
    }
  } else if (JSON.stringify(reference) !== JSON.stringify(candidate)) {
    yield { key, reference, candidate };
  }
}
