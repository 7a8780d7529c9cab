/** What is in a dump, folded over samples, steps and layers. */

import { REDUCED_LOGITS } from "../dump/contract.ts";
import { type Dump, dataBytes, type TensorEntry } from "../dump/dump.ts";

/** Tensors that differ in nothing but sample, decode step and layer. */
export interface TensorFold {
  /** The name with `*` for the number of the layer. */
  readonly name: string;
  readonly kind: string;
  readonly dtype: string;
  readonly encoding: string;
  /** First and last layer; null outside the layers. */
  readonly layers: readonly [number, number] | null;
  readonly step: "prefill" | "decode";
  /** How many tensors, and over how many samples. */
  readonly tensors: number;
  readonly samples: number;
  /** Smallest and largest extent of every axis; null where the number of axes differs. */
  readonly shape: readonly (readonly [number, number])[] | null;
  /** Bytes of data. */
  readonly bytes: number;
  readonly stats: FoldStats | null;
}

/** Over the tensors that carry statistics; `min`, `max` and `rms` of finite values. */
export interface FoldStats {
  readonly min: number;
  readonly max: number;
  readonly rms: number;
  readonly nan: number;
  readonly infinite: number;
}

/** How a dump stores the logits of its prompts, and what quality figures that is enough for. */
export interface LogitsInspection {
  /** `whole`, `reduced` to what stands for them, `statistics`; the fullest form of any sample counts. */
  readonly form: "whole" | "reduced" | "statistics";
  /** Samples stored in that form. */
  readonly samples: number;
  /** Smallest and largest number of tokens listed at a position; null without `topk_ids`. */
  readonly k: readonly [number, number] | null;
  readonly lse: boolean;
  readonly tokenLogprob: boolean;
}

export interface Inspection {
  readonly file: string;
  readonly bytes: number;
  readonly repaired: boolean;
  readonly samples: number;
  readonly run: Dump["run"];
  readonly end: Dump["end"];
  /** Null without logits in any form. */
  readonly logits: LogitsInspection | null;
  /** How many tensors are stored in each encoding. */
  readonly encodings: Readonly<Record<TensorEntry["encoding"], number>>;
  readonly tensors: readonly TensorFold[];
}

/** Folds the index of `dump`; its data is not read. */
export function inspectDump(dump: Dump): Inspection {
  const groups = new Map<string, TensorEntry[]>();
  for (const entry of dump.tensors) {
    const key = JSON.stringify([
      pattern(entry),
      entry.kind,
      entry.dtype,
      entry.encoding,
      stepOf(entry),
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [entry]);
    else group.push(entry);
  }
  return {
    file: dump.file,
    bytes: dump.bytes,
    repaired: dump.repaired,
    samples: countSamples(dump.tensors),
    run: dump.run,
    end: dump.end,
    logits: inspectLogits(dump.tensors),
    encodings: {
      dense: countEncoding(dump.tensors, "dense"),
      stats: countEncoding(dump.tensors, "stats"),
      sketch: countEncoding(dump.tensors, "sketch"),
    },
    tensors: [...groups.values()].flatMap(([first, ...rest]) =>
      first === undefined ? [] : [fold([first, ...rest])],
    ),
  };
}

function countEncoding(entries: readonly TensorEntry[], wanted: TensorEntry["encoding"]): number {
  return entries.filter(({ encoding }) => encoding === wanted).length;
}

function inspectLogits(entries: readonly TensorEntry[]): LogitsInspection | null {
  const named = (name: string): readonly TensorEntry[] =>
    entries.filter((entry) => entry.name === name && entry.step === 0 && entry.repeat === 0);
  const whole = named("logits").filter(({ encoding }) => encoding === "dense");
  const reduced = REDUCED_LOGITS.flatMap(named);
  const [form, stored] = (
    [
      ["whole", whole],
      ["reduced", reduced],
      ["statistics", named("logits")],
    ] as const
  ).find(([, found]) => found.length > 0) ?? [null, []];
  if (form === null) return null;
  const lists = named("topk_ids").map(({ shape }) => shape[1] ?? 0);
  return {
    form,
    samples: countSamples(stored),
    k: lists.length === 0 ? null : extent(lists),
    lse: named("lse").length > 0,
    tokenLogprob: named("token_logprob").length > 0,
  };
}

function pattern({ name, layer }: TensorEntry): string {
  if (layer === null) return name;
  return name.replace(`layers.${layer}`, "layers.*");
}

function stepOf({ step }: TensorEntry): TensorFold["step"] {
  return step === 0 ? "prefill" : "decode";
}

function countSamples(entries: readonly TensorEntry[]): number {
  return new Set(entries.map(({ sample }) => sample).filter((sample) => sample >= 0)).size;
}

function fold(entries: readonly [TensorEntry, ...TensorEntry[]]): TensorFold {
  const [first] = entries;
  const layers = entries.flatMap(({ layer }) => (layer === null ? [] : [layer]));
  return {
    name: pattern(first),
    kind: first.kind,
    dtype: first.dtype,
    encoding: first.encoding,
    layers: layers.length === 0 ? null : extent(layers),
    step: stepOf(first),
    tensors: entries.length,
    samples: countSamples(entries),
    shape: entries.every(({ shape }) => shape.length === first.shape.length)
      ? first.shape.map((_, axis) => extent(entries.map(({ shape }) => shape[axis] ?? 0)))
      : null,
    bytes: entries.reduce((sum, entry) => sum + dataBytes(entry), 0),
    stats: foldStats(entries),
  };
}

function extent(values: readonly number[]): readonly [number, number] {
  return [
    values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
  ];
}

function foldStats(entries: readonly TensorEntry[]): FoldStats | null {
  let finite = 0;
  let squares = 0;
  const total = {
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
    nan: 0,
    infinite: 0,
  };
  let found = false;
  for (const { stats, elements } of entries) {
    if (stats === null) continue;
    found = true;
    total.nan += stats.nan;
    total.infinite += stats.posInf + stats.negInf;
    const count = elements - stats.nan - stats.posInf - stats.negInf;
    if (count <= 0) continue;
    finite += count;
    squares += count * stats.rms ** 2;
    total.min = Math.min(total.min, stats.min);
    total.max = Math.max(total.max, stats.max);
  }
  if (!found) return null;
  if (finite === 0)
    return {
      min: Number.NaN,
      max: Number.NaN,
      rms: Number.NaN,
      nan: total.nan,
      infinite: total.infinite,
    };
  return {
    min: total.min,
    max: total.max,
    rms: Math.sqrt(squares / finite),
    nan: total.nan,
    infinite: total.infinite,
  };
}
