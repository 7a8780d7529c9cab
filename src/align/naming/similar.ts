/** Tensors without a partner that look like one of the other side's: told, never applied. */

import { DTYPES, isFloatDType } from "../../core/dtype.ts";
import { decodeInto } from "../../dump/decode.ts";
import type { Dump } from "../../dump/dump.ts";
import { extentOf } from "../shapes.ts";
import { firstOf, type LoneName, loneNames } from "./lone-names.ts";

/** Two names whose tensors look alike. */
export interface SimilarNames {
  readonly reference: string;
  readonly candidate: string;
  readonly cosine: number;
}

/** Names of a side that are looked at, and rows and columns of each. */
const MOST_NAMES = 512;
const ROWS = 8;
const COLUMNS = 256;

/** Pairs of one shape that are compared in all. */
const MOST_PAIRS = 2 ** 16;

/** What is less alike is no other precision of the same. */
const LEAST_COSINE = 0.99;

/** How much farther the next best must be: neighbours in a residual stream look alike, too. */
const MARGIN = 4;

interface Sampled {
  readonly name: string;
  readonly values: Float64Array;
  readonly norm: number;
}

/**
 * Pairs of names without a partner whose tensors of the same shape are each other's nearest by far, by the cosine of
 * some rows of their first sample.
 */
export function similarNames(reference: Dump, candidate: Dump): readonly SimilarNames[] {
  const lone = loneNames(reference, candidate);
  const mine = byShape(lone.reference.slice(0, MOST_NAMES));
  const theirs = byShape(lone.candidate.slice(0, MOST_NAMES));
  let left = MOST_PAIRS;
  return [...mine].flatMap(([key, some]): readonly SimilarNames[] => {
    const others = theirs.get(key) ?? [];
    left -= some.length * others.length;
    if (others.length === 0 || left < 0) return [];
    const sample = (dump: Dump, names: readonly LoneName[]): readonly Sampled[] =>
      names.map((name) => sampled(dump, name)).filter((one) => one !== null);
    return nearestPairs(sample(reference, some), sample(candidate, others));
  });
}

function byShape(names: readonly LoneName[]): ReadonlyMap<string, readonly LoneName[]> {
  const found = new Map<string, LoneName[]>();
  for (const one of names) {
    const { key } = firstOf(one);
    found.set(key, [...(found.get(key) ?? []), one]);
  }
  return found;
}

/** Rows spread over a tensor; null where it is not stored whole, or nothing can be told by it. */
function sampled(dump: Dump, lone: LoneName): Sampled | null {
  const { entry } = firstOf(lone);
  const { dtype } = entry;
  if (entry.encoding !== "dense" || !isFloatDType(dtype)) return null;
  const { rows, width } = extentOf(entry.shape);
  const columns = Math.min(width, COLUMNS);
  const count = Math.min(rows, ROWS);
  const size = DTYPES[dtype].bytes;
  const bytes = new Uint8Array(columns * size);
  const values = new Float64Array(count * columns);
  for (let i = 0; i < count; i += 1) {
    // In the middle of each part: the first token is like none of the others.
    const row = Math.floor(((i + 0.5) * rows) / count);
    dump.read(entry, row * width * size, bytes);
    decodeInto(dtype, bytes, values.subarray(i * columns, (i + 1) * columns));
  }
  const norm = Math.sqrt(dot(values, values));
  return norm > 0 && Number.isFinite(norm) ? { name: lone.name, values, norm } : null;
}

function nearestPairs(
  mine: readonly Sampled[],
  theirs: readonly Sampled[],
): readonly SimilarNames[] {
  const cosines = mine.map((a) => theirs.map((b) => dot(a.values, b.values) / (a.norm * b.norm)));
  return mine.flatMap((a, i): SimilarNames[] => {
    const row = cosines[i] ?? [];
    const best = clearBest(row);
    const b = theirs[best ?? -1];
    if (best === null || b === undefined) return [];
    if (clearBest(cosines.map((one) => one[best] ?? 0)) !== i) return [];
    return [{ reference: a.name, candidate: b.name, cosine: row[best] ?? 0 }];
  });
}

/** The index of the largest cosine where it is large, and the next one clearly smaller. */
function clearBest(cosines: readonly number[]): number | null {
  let [best, next, index] = [-1, -1, -1];
  for (const [i, one] of cosines.entries()) {
    if (one > best) [best, next, index] = [one, best, i];
    else if (one > next) next = one;
  }
  const isClear = best >= LEAST_COSINE && 1 - next > MARGIN * (1 - best);
  return isClear ? index : null;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
