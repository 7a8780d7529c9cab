/**
 * How large a corruption is, in units of what correct engines err by. Worked out
 * from the dumps' own bytes, with none of the analyzer's figures.
 */

import { keyOf, type MemoryDump, type Stored, sameTensor, valuesOf } from "./corrupt-dump.ts";

/** A dump that stands for correct engines, beside what it errs from. */
export interface Correct {
  readonly run: MemoryDump;
  readonly truth: MemoryDump;
}

/** What correct engines err by, and how large the rows are that they err from. */
export interface Noise {
  /** Relative errors of all rows, by {@link unitOf}. */
  readonly errors: ReadonlyMap<string, readonly number[]>;
  readonly truth: ReadonlyMap<string, Stored>;
}

/** The change of a tensor, in units of the noise in the tensors of its name and phase. */
export interface Effect {
  readonly tensor: string;
  /** The most that a row changed, beside its own size. */
  readonly size: number;
  /** The most that a row changed, beside the noisiest row. */
  readonly row: number;
  /** The median change of all rows, beside the median noise. */
  readonly typical: number;
  /** How many rows that is the median of. */
  readonly rows: number;
}

/** ‖a − b‖ / ‖x‖ of every row; infinite where that is no number. */
function rowChanges(a: Stored, b: Stored, x: Stored): readonly number[] {
  const [first, second, truth] = [valuesOf(a), valuesOf(b), valuesOf(x)];
  if (first === null || second === null || truth === null) return [Number.POSITIVE_INFINITY];
  if (first.length !== second.length || first.length !== truth.length) {
    return [Number.POSITIVE_INFINITY];
  }
  const width = x.shape[1] ?? 1;
  return Array.from({ length: first.length / width }, (_, row) => {
    let change = 0;
    let size = 0;
    for (let i = row * width; i < (row + 1) * width; i += 1) {
      change += ((first[i] ?? 0) - (second[i] ?? 0)) ** 2;
      size += (truth[i] ?? 0) ** 2;
    }
    const relative = Math.sqrt(change / size);
    return Number.isFinite(relative) ? relative : Number.POSITIVE_INFINITY;
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function byKey({ tensors }: Pick<MemoryDump, "tensors">): ReadonlyMap<string, Stored> {
  return new Map(tensors.map((tensor) => [keyOf(tensor), tensor]));
}

/** Name and phase: what is judged as one tensor. */
function unitOf({ name, step }: Stored): string {
  return `${name} ${step === 0 ? "prefill" : "decode"}`;
}

/** The least relative error of a row that means anything: half the rounding of bfloat16. */
const LEAST = 2 ** -10;

/** The noise of correct engines, of which the first says how large rows are. */
export function noiseOf(engines: readonly Correct[]): Noise {
  const errors = new Map<string, number[]>();
  for (const { run, truth } of engines) {
    const truths = byKey(truth);
    for (const tensor of run.tensors) {
      const right = truths.get(keyOf(tensor));
      if (right === undefined || valuesOf(tensor) === null) continue;
      push(errors, unitOf(tensor), rowChanges(tensor, right, right));
    }
  }
  return { errors, truth: byKey(engines[0]?.truth ?? { tensors: [] }) };
}

/** Effects of changing `clean` to `corrupt`, of every tensor that changed; null where more than values did. */
export function effectsOf(
  clean: MemoryDump,
  corrupt: MemoryDump,
  { errors, truth }: Noise,
): readonly Effect[] | null {
  const before = byKey(clean);
  if (corrupt.tensors.length !== before.size) return null;
  const changed = new Map<string, Stored[]>();
  for (const tensor of corrupt.tensors) {
    const old = before.get(keyOf(tensor));
    if (old === undefined || String(old.shape) !== String(tensor.shape)) return null;
    if (sameTensor(old, tensor)) continue;
    // Ids and texts have no size.
    if (valuesOf(old) === null) return null;
    push(changed, unitOf(tensor), [tensor]);
  }
  return [...changed].map(([unit, tensors]) => {
    const changes = tensors.flatMap((tensor) => {
      const [old, right] = [before.get(keyOf(tensor)), truth.get(keyOf(tensor))];
      return old === undefined || right === undefined
        ? [Number.POSITIVE_INFINITY]
        : rowChanges(tensor, old, right);
    });
    const noise = errors.get(unit) ?? [];
    const rows = clean.tensors
      .filter((tensor) => unitOf(tensor) === unit)
      .reduce((sum, { shape }) => sum + (shape[0] ?? 1), 0);
    const all = [...changes, ...new Array<number>(rows - changes.length).fill(0)];
    return {
      tensor: unit,
      size: Math.max(...changes),
      row: Math.max(...changes) / Math.max(LEAST, ...noise),
      typical: median(all) / Math.max(LEAST, median(noise)),
      rows,
    };
  });
}

function push<T>(map: Map<string, T[]>, key: string, values: readonly T[]): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [...values]);
  else known.push(...values);
}
