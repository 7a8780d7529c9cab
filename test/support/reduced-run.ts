/** Small dumps of reduced logits and statistics, with one thing changed by hand. */

import { DTYPES, type DType, isFloatDType } from "../../src/core/dtype.ts";
import type { TensorStats } from "../../src/dump/dump.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { random } from "./scratch.ts";

export const VOCABULARY = 12;
/** Six samples: with fewer there is no interval. */
export const TOKENS: readonly number[] = [4, 3, 5, 2, 4, 6];

/** A tensor of one sample. */
export interface ReducedTensor {
  readonly name: string;
  readonly sample: number;
  /** 0 for the prompt, k for the k-th decode step; by default 0. */
  readonly step?: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Nothing where it is stored as statistics. */
  readonly values: readonly number[];
  readonly stats?: TensorStats;
}

/** Token ids of a sample. */
export function idsOf(sample: number): readonly number[] {
  return Array.from(
    { length: TOKENS[sample] ?? 0 },
    (_, token) => (7 * token + sample) % VOCABULARY,
  );
}

/** Logits of every sample, always the same for a seed; `noise` is added from another one. */
export function logitsOf(noise = 0, seed = 2): readonly (readonly number[][])[] {
  const next = random(1);
  const other = random(seed);
  return TOKENS.map((tokens) =>
    Array.from({ length: tokens }, () =>
      Array.from({ length: VOCABULARY }, () => Math.fround(6 * next() + noise * (2 * other() - 1))),
    ),
  );
}

/** `logits` as they are. */
export function dense(logits: readonly (readonly number[][])[]): ReducedTensor[] {
  return logits.map((rows, sample) => ({
    name: "logits",
    sample,
    dtype: "F32",
    shape: [rows.length, VOCABULARY],
    values: rows.flat(),
  }));
}

/** What stands for `logits`, by textbook formulas. */
export function reduced(logits: readonly (readonly number[][])[], k: number): ReducedTensor[] {
  return logits.flatMap((rows, sample): ReducedTensor[] => {
    const lse = rows.map((row) => Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)));
    const best = rows.map((row) =>
      row
        .map((value, id) => [value, id] as const)
        .sort(([a, i], [b, j]) => b - a || i - j)
        .slice(0, k),
    );
    const shape = [rows.length, k];
    const ids = idsOf(sample);
    const truth = ids.map((id, t) =>
      t === 0 ? Number.NaN : (rows[t - 1]?.[id] as number) - (lse[t - 1] as number),
    );
    return [
      { name: "lse", sample, dtype: "F64", shape: [rows.length], values: lse },
      {
        ...{ name: "topk_ids", sample, dtype: "I32", shape },
        values: best.flatMap((row) => row.map(([, id]) => id)),
      },
      {
        ...{ name: "topk_logprobs", sample, dtype: "F32", shape },
        values: best.flatMap((row, t) => row.map(([value]) => value - (lse[t] as number))),
      },
      { name: "token_logprob", sample, dtype: "F64", shape: [rows.length], values: truth },
    ];
  });
}

/** A hidden state of each sample, dense. */
export function hidden(
  name: string,
  change: (value: number) => number = (value) => value,
): ReducedTensor[] {
  const next = random(name.length);
  return TOKENS.map((tokens, sample): ReducedTensor => {
    const values = Array.from({ length: tokens * 8 }, () => Math.fround(change(next() - 0.3)));
    return { name, sample, dtype: "F32", shape: [tokens, 8], values };
  });
}

/** The same as statistics. */
export function asStats(tensors: readonly ReducedTensor[]): ReducedTensor[] {
  return tensors.map((tensor) => {
    const finite = tensor.values.filter(Number.isFinite);
    const count = (wanted: number): number =>
      tensor.values.filter((value) => Object.is(value, wanted)).length;
    const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
    const square = finite.reduce((sum, value) => sum + value * value, 0) / finite.length;
    const none = finite.length === 0;
    return {
      ...tensor,
      values: [],
      stats: {
        min: none ? Number.NaN : Math.min(...finite),
        max: none ? Number.NaN : Math.max(...finite),
        mean,
        rms: Math.sqrt(square),
        nan: count(Number.NaN),
        posInf: count(Number.POSITIVE_INFINITY),
        negInf: count(Number.NEGATIVE_INFINITY),
      },
    };
  });
}

/** The last position of a sample of `tensors` as its first decode step. */
export function decoded(tensors: readonly ReducedTensor[], sample = 0): ReducedTensor[] {
  return tensors
    .filter((tensor) => tensor.sample === sample)
    .map((tensor) => {
      const [, ...rest] = tensor.shape;
      const width = rest.reduce((product, length) => product * length, 1);
      return { ...tensor, step: 1, shape: [1, ...rest], values: tensor.values.slice(-width) };
    });
}

/** Writes a dump of `tensors` and the token ids; `capture` is further metadata of it. */
export function writeReduced(
  path: string,
  id: string,
  tensors: readonly ReducedTensor[],
  select: readonly string[] | null = [...new Set(tensors.map(({ name }) => name))],
  capture: Readonly<Record<string, unknown>> = {},
): void {
  const writer = createDumpWriter(path, {
    tool: { name: "toy", version: "1" },
    id,
    dtype: "F32",
    model: { layers: 2 },
    capture: { ...(select === null ? {} : { select }), ...capture },
  });
  const writeIds = (sample: number, step: number, values: readonly number[]): void => {
    const ids = {
      name: "input_ids",
      sample,
      step,
      dtype: "I64",
      shape: [values.length],
      values,
    } as const;
    writer.write({ ...ids, bytes: bytesOf(ids) });
  };
  for (const sample of TOKENS.keys()) writeIds(sample, 0, idsOf(sample));
  const steps = tensors.flatMap(({ sample, step = 0 }) =>
    step === 0 ? [] : [`${sample}.${step}`],
  );
  for (const place of new Set(steps)) {
    const [sample = 0, step = 0] = place.split(".").map(Number);
    writeIds(sample, step, [step]);
  }
  for (const tensor of tensors) {
    const { stats = null } = tensor;
    const encoding = stats === null ? "dense" : "stats";
    writer.write({ ...tensor, encoding, stats, bytes: bytesOf(tensor) });
  }
  writer.close();
}

function bytesOf({ dtype, values }: Pick<ReducedTensor, "dtype" | "values">): Uint8Array {
  const size = DTYPES[dtype].bytes;
  const view = new DataView(new ArrayBuffer(values.length * size));
  for (const [i, value] of values.entries()) {
    if (dtype === "F64") view.setFloat64(8 * i, value, true);
    else if (dtype === "F32") view.setFloat32(4 * i, value, true);
    else if (dtype === "I64") view.setBigInt64(8 * i, BigInt(value), true);
    else if (dtype === "I32") view.setInt32(4 * i, value, true);
    else
      throw new RangeError(
        `${dtype} (${isFloatDType(dtype) ? "float" : "integer"}) is not written here`,
      );
  }
  return new Uint8Array(view.buffer);
}
