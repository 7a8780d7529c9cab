/** Small dumps of a made-up model, to be changed in one place and compared. */

import { createDumpWriter, type TensorInput } from "../../src/dump/write-dump.ts";

export const LAYERS = 4;
const TOKENS = [7, 5];
const HIDDEN = 8;
const VOCABULARY = 16;

/** A tensor of one sample, as numbers. */
export interface ToyTensor {
  readonly name: string;
  readonly sample: number;
  /** 0 for the prompt, k for the k-th decode step. */
  readonly step: number;
  readonly shape: readonly number[];
  values: Float32Array;
}

/** Uniform numbers in (−1, 1), always the same for a seed (Mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/**
 * Every tensor of the model, in the order in which it computes them.
 *
 * @param steps decode steps of each sample.
 */
export function toyTensors(steps: readonly number[] = []): ToyTensor[] {
  const random = uniform(1);
  const names = [
    "embed",
    ...Array.from({ length: LAYERS }, (_, layer) => [
      `layers.${String(layer)}.attn`,
      `layers.${String(layer)}.mlp`,
      `layers.${String(layer)}`,
    ]).flat(),
    "norm",
    "logits",
  ];
  const forward = (sample: number, step: number, tokens: number): ToyTensor[] =>
    names.map((name) => {
      const shape = [tokens, name === "logits" ? VOCABULARY : HIDDEN];
      const values = Float32Array.from({ length: tokens * (shape[1] ?? 1) }, random);
      return { name, sample, step, shape, values };
    });
  const prompts = TOKENS.flatMap((tokens, sample) => forward(sample, 0, tokens));
  const decoded = steps.flatMap((count, sample) =>
    Array.from({ length: count }, (_, step) => forward(sample, step + 1, 1)).flat(),
  );
  return [...prompts, ...decoded];
}

/** Adds float32-sized noise, as another correct engine would. */
export function addNoise(tensors: readonly ToyTensor[], relative: number, seed: number): void {
  const random = uniform(seed);
  for (const tensor of tensors) {
    tensor.values = tensor.values.map((value) => value * (1 + relative * random()));
  }
}

export interface ToyOptions {
  readonly id: string;
  readonly dtype?: "F64" | "F32" | "BF16";
  readonly select?: readonly string[];
  /** Further run metadata. */
  readonly run?: Readonly<Record<string, unknown>>;
  /** Token ids of each sample, by default 0, 1, 2, … */
  readonly ids?: (sample: number) => readonly number[];
  /** Texts of the tokens of every sample; by default none are stored. */
  readonly texts?: readonly string[];
  /** The id that a decode step was fed with; null where it is not stored. */
  readonly stepId?: (sample: number, step: number) => number | null;
}

/** Writes `tensors` with their token ids as a dump. */
export function writeToyRun(
  path: string,
  tensors: readonly ToyTensor[],
  { id, dtype = "F32", select, run, texts, ids = defaultIds, stepId = defaultStepId }: ToyOptions,
): void {
  const writer = createDumpWriter(path, {
    tool: { name: "toy", version: "1" },
    id,
    dtype,
    model: { layers: LAYERS },
    ...(select === undefined ? {} : { capture: { select } }),
    ...run,
  });
  const writeIds = (sample: number, step: number, tokens: readonly number[]): void => {
    writer.write({
      name: "input_ids",
      kind: "tokens",
      dtype: "I64",
      sample,
      step,
      shape: [tokens.length],
      bytes: new Uint8Array(BigInt64Array.from(tokens, BigInt).buffer),
    });
  };
  for (const sample of TOKENS.keys()) writeIds(sample, 0, ids(sample));
  if (texts !== undefined) {
    const bytes = new TextEncoder().encode(JSON.stringify(texts));
    for (const sample of TOKENS.keys()) {
      writer.write({ name: "token_text", sample, dtype: "U8", shape: [bytes.length], bytes });
    }
  }
  for (const [sample, step] of decodeSteps(tensors)) {
    const fed = stepId(sample, step);
    if (fed !== null) writeIds(sample, step, [fed]);
  }
  for (const { name, sample, step, shape, values } of tensors) {
    const tensor: TensorInput = {
      name,
      sample,
      step,
      dtype: "F32",
      shape,
      bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    };
    writer.write(tensor);
  }
  writer.close();
}

/** The decode steps that `tensors` hold, each once. */
function decodeSteps(tensors: readonly ToyTensor[]): readonly (readonly [number, number])[] {
  const places = tensors
    .filter(({ step }) => step > 0)
    .map(({ sample, step }) => [`${String(sample)}.${String(step)}`, [sample, step]] as const);
  return [...new Map(places).values()];
}

function defaultStepId(sample: number, step: number): number {
  return (7 * sample + 3 * step) % VOCABULARY;
}

function defaultIds(sample: number): readonly number[] {
  return Array.from({ length: TOKENS[sample] ?? 0 }, (_, token) => token);
}
