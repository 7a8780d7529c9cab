/** Splits a whole dump into the files of several ranks, as engines that share tensors out would write them. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DTYPES, type FloatDType, isFloatDType } from "../../src/core/dtype.ts";
import { decodeInto } from "../../src/dump/decode.ts";
import type { RunMetadata, TensorEntry } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { createDumpWriter, type TensorInput } from "../../src/dump/write-dump.ts";
import { encode } from "../measure/kernel/random-job.ts";

/**
 * How a tensor is shared out: each rank all of it; other channels each, the
 * later ranks more of them; equal parts of a vocabulary that is padded with NaN;
 * other tokens each; or a term of a sum each.
 */
export type How = "replica" | "channels" | "vocabulary" | "tokens" | "sum";

/** As tensor-parallel engines do, and more: blocks before their all-reduce, logits before they are gathered. */
export function asTensorParallel({ name }: TensorEntry): How {
  if (name === "logits") return "vocabulary";
  if (name.endsWith(".attn")) return "channels";
  if (name.endsWith(".mlp")) return "sum";
  return name === "norm" ? "tokens" : "replica";
}

export interface SplitOptions {
  readonly ranks: number;
  readonly how?: (entry: TensorEntry) => How;
  /** Which ranks hold a tensor; all by default. */
  readonly holds?: (entry: TensorEntry, rank: number) => boolean;
  /** Changes what a rank says of the run. */
  readonly run?: (run: RunMetadata, rank: number) => Readonly<Record<string, unknown>>;
  /** Changes what a rank writes; null leaves the tensor out. */
  readonly tensor?: (tensor: TensorInput, rank: number) => TensorInput | null;
  /** What a rank says at its end. */
  readonly end?: (rank: number) => Readonly<Record<string, unknown>>;
  /** File of a rank; NAME.rank0.arrow by default. */
  readonly file?: (rank: number) => string;
}

/** Writes the ranks of the dump at `source` into `folder`, and gives the pattern of their names. */
export function splitRun(source: string, folder: string, options: SplitOptions): string {
  const { ranks, how = asTensorParallel, holds = () => true } = options;
  const { file = (rank) => `npu.rank${String(rank)}.arrow` } = options;
  mkdirSync(folder, { recursive: true });
  const dump = openDump(source);
  try {
    for (let rank = 0; rank < ranks; rank += 1) {
      const told = {
        ...dump.run,
        parallel: { world_size: ranks, tp: ranks, pp: 1, ep: 1, rank },
        shards: shardsOf(dump.tensors, how, rank, ranks),
      };
      const run = options.run?.(told, rank) ?? told;
      const writer = createDumpWriter(join(folder, file(rank)), run as RunMetadata);
      for (const entry of dump.tensors.filter((one) => holds(one, rank))) {
        const bytes = new Uint8Array(entry.elements * DTYPES[entry.dtype].bytes);
        dump.read(entry, 0, bytes);
        const part = partOf(entry, bytes, how(entry), rank, ranks);
        const written = options.tensor === undefined ? part : options.tensor(part, rank);
        if (written !== null) writer.write(written);
      }
      writer.close(options.end?.(rank));
    }
  } finally {
    dump.close();
  }
  return join(folder, "npu.rank*.arrow");
}

function shardsOf(
  tensors: readonly TensorEntry[],
  how: (entry: TensorEntry) => How,
  rank: number,
  ranks: number,
): Readonly<Record<string, unknown>> {
  const shards: Record<string, unknown> = {};
  for (const entry of tensors) {
    const way = how(entry);
    // Prompts differ in length, so that only the rows can say where a slice of tokens begins.
    if (way === "tokens") shards[entry.name] = { axis: 0 };
    if (way === "sum") shards[entry.name] = { partial: "sum" };
    if (way === "channels" || way === "vocabulary") {
      shards[entry.name] = sliceOf(way, entry.shape, rank, ranks);
    }
  }
  return { ...shards, "*": { replicated: true } };
}

function sliceOf(
  how: "channels" | "vocabulary" | "tokens",
  shape: readonly number[],
  rank: number,
  ranks: number,
): { readonly axis: number; readonly start: number; readonly length: number } {
  const axis = how === "tokens" ? 0 : 1;
  const extent = shape[axis] ?? 0;
  if (how === "vocabulary") {
    const length = Math.ceil((extent + 10) / ranks);
    return { axis, start: rank * length, length };
  }
  // 1, 2, 3, … shares of the axis.
  const edge = (shares: number): number =>
    Math.floor((extent * shares * (shares + 1)) / (ranks * (ranks + 1)));
  return { axis, start: edge(rank), length: edge(rank + 1) - edge(rank) };
}

function partOf(
  entry: TensorEntry,
  bytes: Uint8Array,
  how: How,
  rank: number,
  ranks: number,
): TensorInput {
  const { name, kind, layer, module, sample, step, repeat, dtype, shape } = entry;
  const facts = { name, kind, layer, module, sample, step, repeat, dtype, shape, rank };
  switch (how) {
    case "replica":
      return { ...facts, bytes };
    case "sum":
      return { ...facts, bytes: termOf(dtype as FloatDType, bytes, rank, ranks) };
    case "channels":
    case "vocabulary":
    case "tokens": {
      const slice = sliceOf(how, shape, rank, ranks);
      return { ...facts, slice, bytes: cut(bytes, shape, DTYPES[dtype].bytes, slice) };
    }
  }
}

/** The bytes of a slice, element by element; what lies beyond the shape is 0xff, in floats a NaN. */
function cut(
  bytes: Uint8Array,
  shape: readonly number[],
  size: number,
  {
    axis,
    start,
    length,
  }: { readonly axis: number; readonly start: number; readonly length: number },
): Uint8Array {
  const [rows = 1, columns = 1] = shape;
  const [extent, others] = axis === 0 ? [rows, columns] : [columns, rows];
  const part = new Uint8Array(length * others * size).fill(0xff);
  for (let i = 0; i < Math.min(length, extent - start); i += 1) {
    for (let other = 0; other < others; other += 1) {
      const from = axis === 0 ? (start + i) * columns + other : other * columns + start + i;
      const to = axis === 0 ? i * columns + other : other * length + i;
      part.set(bytes.subarray(from * size, (from + 1) * size), to * size);
    }
  }
  return part;
}

/** Terms whose sum is exact: the upper and the lower bits of an element on two ranks, zero on the others. */
function termOf(dtype: FloatDType, bytes: Uint8Array, rank: number, ranks: number): Uint8Array {
  if (!isFloatDType(dtype)) throw new Error(`no terms of ${String(dtype)}`);
  const values = new Float64Array(bytes.length / DTYPES[dtype].bytes);
  decodeInto(dtype, bytes, values);
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  const terms = values.map((value, i) => {
    const owner = i % (ranks / 2);
    float[0] = value;
    // Sign, exponent and three bits of the mantissa.
    bits[0] = (bits[0] as number) & 0xfff00000;
    const upper = Number.isFinite(value) ? float[0] : value;
    if (rank === 2 * owner) return upper;
    if (rank === 2 * owner + 1) return Number.isFinite(value) ? value - upper : 0;
    return 0;
  });
  return encode(dtype, terms);
}
