/** One tensor in depth: NumPy finds the same in number formats of every kind. */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { inspectTensor } from "../../src/cli/inspect-tensor.ts";
import type { TensorDepth } from "../../src/core/depth.ts";
import { DTYPES, type FloatDType } from "../../src/core/dtype.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { SEGMENT_ELEMENTS } from "../../src/measure/segments.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const ROOT = new URL("../../", import.meta.url);

interface Case {
  readonly width: number;
  readonly pairs: readonly Tensors[];
}

/** One sample: dtypes, and the bytes of both sides. */
interface Tensors {
  readonly dtypes: readonly [FloatDType, FloatDType];
  readonly reference: Uint8Array;
  readonly candidate: Uint8Array;
}

interface Expected {
  readonly buckets: readonly number[];
  readonly beyond: number;
  readonly nonFinite: number;
  readonly max: number | null;
  readonly elements: readonly {
    readonly flat: number;
    readonly reference: string;
    readonly ulp: string;
  }[];
  readonly tokens: readonly ({ readonly row: number; readonly cosine: number } & PartFigures)[];
  readonly channels: readonly ({
    readonly channel: number;
    readonly share: number;
  } & PartFigures)[];
}

interface PartFigures {
  readonly relL2: number;
  readonly mismatched: number;
}

/** A generator of 32-bit words with a fixed start (Marsaglia 2003). */
function words(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Any bits at all: normal numbers, subnormals, zeros, infinities and NaN, a third of the candidate's as the reference's. */
function bits(dtypes: readonly [FloatDType, FloatDType], elements: number, seed: number): Tensors {
  const word = words(seed);
  const random = (dtype: FloatDType): Uint8Array =>
    Uint8Array.from({ length: elements * DTYPES[dtype].bytes }, () => word() & 0xff);
  const [reference, candidate] = [random(dtypes[0]), random(dtypes[1])];
  const size = DTYPES[dtypes[0]].bytes;
  for (let i = 0; i < elements; i += 1) {
    const [at, choice] = [i * size, word() % 6];
    // Zeros on either side, and where the formats agree the same bits or a neighbour.
    if (choice === 0) reference.fill(0, at, at + size);
    if (choice > 2 || dtypes[0] !== dtypes[1]) continue;
    candidate.set(reference.subarray(at, at + size), at);
    if (choice === 2) candidate[at] = (candidate[at] ?? 0) ^ 1;
  }
  return { dtypes, reference, candidate };
}

/** Values near 1 whose squares stay in range. */
function floats(elements: number, seed: number): Tensors {
  const word = words(seed);
  const reference = Float64Array.from({ length: elements }, () => word() / 2 ** 31 - 1);
  const candidate = Float32Array.from(reference, (one) => one + (word() / 2 ** 32) * 2 ** -20);
  return {
    dtypes: ["F64", "F32"],
    reference: new Uint8Array(reference.buffer),
    candidate: new Uint8Array(candidate.buffer),
  };
}

function ofF32(reference: readonly number[], candidate: readonly number[]): Tensors {
  const bytes = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
  return { dtypes: ["F32", "F32"], reference: bytes(reference), candidate: bytes(candidate) };
}

const CASES: Readonly<Record<string, Case>> = {
  "F16 of F32": { width: 8, pairs: [bits(["F32", "F16"], 96, 1)] },
  "BF16 of F32": { width: 8, pairs: [bits(["F32", "BF16"], 96, 2)] },
  "BF16 of BF16": { width: 8, pairs: [bits(["BF16", "BF16"], 240, 3)] },
  "F16 of F16": { width: 8, pairs: [bits(["F16", "F16"], 240, 4)] },
  "F8_E4M3 of BF16": { width: 8, pairs: [bits(["BF16", "F8_E4M3"], 240, 5)] },
  "F8_E5M2 of F16": { width: 8, pairs: [bits(["F16", "F8_E5M2"], 240, 6)] },
  "F8_E4M3 of itself": { width: 8, pairs: [bits(["F8_E4M3", "F8_E4M3"], 240, 7)] },
  "F32 of F64": { width: 16, pairs: [floats(800, 8)] },
  "several formats in one tensor": {
    width: 8,
    pairs: [
      bits(["F32", "BF16"], 64, 9),
      bits(["F16", "F16"], 8, 10),
      bits(["F32", "F32"], 40, 11),
    ],
  },
  "rows of zeros": { width: 2, pairs: [ofF32([0, 0, 0, 0, 3, 4], [0, 0, 1, 0, 3, 4])] },
  "kinds that differ": {
    width: 2,
    pairs: [ofF32([1, NaN, NaN, Infinity, Infinity, 2], [NaN, 1, NaN, Infinity, -Infinity, 2])],
  },
  equal: { width: 2, pairs: [ofF32([1, 2, 3, 4], [1, 2, 3, 4])] },
};

function write(
  { width, pairs }: Case,
  which: "reference" | "candidate",
  { name = "layers.0.mlp", model = {} }: { name?: string; model?: Record<string, unknown> } = {},
): string {
  const path = files.path();
  const writer = createDumpWriter(path, { tool: "toy", id: which, dtype: "F32", model });
  pairs.forEach(({ dtypes, ...sides }, sample) => {
    const dtype = dtypes[which === "reference" ? 0 : 1];
    const bytes = sides[which];
    const rows = bytes.length / DTYPES[dtype].bytes / width;
    const ids = new Uint8Array(BigInt64Array.from({ length: rows }, (_, i) => BigInt(i)).buffer);
    const at = { sample, step: 0 };
    writer.write({
      ...at,
      name: "input_ids",
      kind: "tokens",
      dtype: "I64",
      shape: [rows],
      bytes: ids,
    });
    writer.write({ ...at, name, kind: "hidden", dtype, shape: [rows, width], bytes });
  });
  writer.close();
  return path;
}

function measure(one: Case, options: Parameters<typeof write>[2] = {}): TensorDepth {
  const paths = {
    reference: write(one, "reference", options),
    candidate: write(one, "candidate", options),
  };
  const [depth] = inspectTensor(paths, options.name ?? "layers.0.mlp").tensors;
  if (depth === undefined) throw new Error("no tensor was found");
  return depth;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
let expected: ReadonlyMap<string, Expected>;

beforeAll(() => {
  const input = Object.values(CASES).map(({ width, pairs }) => ({
    width,
    pairs: pairs.map((pair) => ({
      ...pair,
      reference: hex(pair.reference),
      candidate: hex(pair.candidate),
    })),
  }));
  const script = fileURLToPath(new URL("test/support/tensor_depth.py", ROOT));
  const interpreter = fileURLToPath(new URL(".venv/bin/python", ROOT));
  const output = execFileSync(interpreter, [script], {
    input: JSON.stringify(input),
    encoding: "utf8",
  });
  // Python writes NaN and infinities as words, which JSON has not.
  const found = JSON.parse(
    output.replaceAll(/\bNaN\b/g, "null").replaceAll(/-?\bInfinity\b/g, "1e999"),
  ) as Expected[];
  expected = new Map(Object.keys(CASES).map((name, i) => [name, found[i] as Expected]));
}, 60_000);

/** Of NumPy's own the worst: kinds that differ first, then by size; those without any are left out. */
function worst<T extends PartFigures>(all: readonly T[], size: (one: T) => number): readonly T[] {
  const key = (one: T) => (one.mismatched > 0 ? Number.POSITIVE_INFINITY : size(one));
  return all
    .filter((one) => key(one) > 0)
    .toSorted((a, b) => (key(a) === key(b) ? 0 : key(b) - key(a)))
    .slice(0, 20);
}

function near(found: number, wanted: number | null): void {
  if (wanted === null) expect(found).toBeNaN();
  else if (!Number.isFinite(wanted)) expect(found).toBe(wanted);
  else expect(Math.abs(found - wanted)).toBeLessThanOrEqual(1e-11 * Math.abs(wanted));
}

describe.each(Object.entries(CASES))("%s", (name, one) => {
  test("the histogram counts every element once", () => {
    const { ulp } = measure(one);
    const wanted = expected.get(name);
    expect(ulp.buckets.map(({ elements }) => elements)).toEqual(wanted?.buckets);
    expect(ulp.buckets.map(({ upTo }) => upTo).slice(0, 4)).toEqual([0, 0.5, 1, 2]);
    expect([ulp.beyond, ulp.nonFinite]).toEqual([wanted?.beyond, wanted?.nonFinite]);
    expect(ulp.max).toBe(wanted?.max);
  });

  test("the worst elements", () => {
    const { elements, width } = measure(one);
    const rows = one.pairs.map(
      ({ dtypes, reference }) => reference.length / DTYPES[dtypes[0]].bytes / width,
    );
    const before = (sample: number) => rows.slice(0, sample).reduce((a, b) => a + b, 0);
    expect(
      elements.map(({ sample, token, index, ulp }) => ({
        flat: (before(sample) + token) * width + (index[1] ?? 0),
        ulp,
      })),
    ).toEqual(
      expected
        .get(name)
        ?.elements.map(({ flat, ulp }) => ({ flat, ulp: ulp === "inf" ? Infinity : Number(ulp) })),
    );
    for (const { index, token } of elements) expect(index[0]).toBe(token);
  });

  test("tokens and channels", () => {
    const { tokens, channels } = measure(one);
    const wanted = expected.get(name);
    const rows = worst(wanted?.tokens ?? [], ({ relL2 }) => relL2);
    expect(tokens.map(({ mismatched }) => mismatched)).toEqual(
      rows.map(({ mismatched }) => mismatched),
    );
    tokens.forEach((token, i) => {
      near(token.relL2, rows[i]?.relL2 ?? null);
      const cosine = rows[i]?.cosine ?? null;
      if (cosine === null) expect(token.cosine).toBeNaN();
      else expect(token.cosine).toBeCloseTo(cosine, 11);
    });
    const columns = worst(wanted?.channels ?? [], ({ share }) => share);
    expect(channels?.map(({ channel }) => channel)).toEqual(columns.map(({ channel }) => channel));
    channels?.forEach((channel, i) => {
      near(channel.share, columns[i]?.share ?? null);
      near(channel.relL2, columns[i]?.relL2 ?? null);
    });
  });
});

test("a tensor without rows has nothing to show", () => {
  const depth = measure({ width: 4, pairs: [ofF32([], [])] });
  expect(depth).toMatchObject({ rows: 0, maxAbs: null, elements: [], tokens: [], channels: [] });
  expect(depth.relL2).toBeNaN();
  expect(depth.ulp.buckets.every(({ elements }) => elements === 0)).toBe(true);
});

test("float64 whose squares leave the range keeps its figures by token", () => {
  const [reference, candidate] = [
    [3e200, 4e200],
    [3e200, 9e200],
  ].map((one) => new Uint8Array(Float64Array.from(one).buffer)) as [Uint8Array, Uint8Array];
  const { tokens, relL2 } = measure({
    width: 2,
    pairs: [{ dtypes: ["F64", "F64"], reference, candidate }],
  });
  expect(relL2).toBeCloseTo(1, 14);
  expect(tokens[0]?.relL2).toBeCloseTo(1, 14);
});

test("a row longer than what is in memory at a time is one row", () => {
  const width = SEGMENT_ELEMENTS + 3;
  const values = Array<number>(width).fill(1);
  const moved = values.with(2, 1.5).with(width - 1, 3);
  const { tokens, elements, channels } = measure({ width, pairs: [ofF32(values, moved)] });
  expect(tokens).toHaveLength(1);
  expect(tokens[0]?.relL2).toBeCloseTo(Math.sqrt(4.25 / width), 14);
  expect(elements.map(({ index, d }) => [index[1], d])).toEqual([
    [width - 1, 2],
    [2, 0.5],
  ]);
  expect(channels?.map(({ channel }) => channel)).toEqual([width - 1, 2]);
});

describe("heads", () => {
  const pairs = [ofF32([1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 2, 1, 4])];
  const of = (name: string, model: Record<string, unknown>, width = 4) => {
    const { heads, noHeads } = measure({ width, pairs }, { name, model });
    return { heads, noHeads };
  };

  test("are told of queries, keys and values", () => {
    const wanted = [
      { head: 0, share: 0.1, relL2: Math.sqrt(1 / 4), mismatched: 0 },
      { head: 1, share: 0.9, relL2: Math.sqrt(9 / 4), mismatched: 0 },
    ];
    expect(of("layers.0.attn.q_proj", { heads: 2, head_dim: 2 })).toEqual({
      heads: wanted,
      noHeads: null,
    });
    expect(of("layers.0.k", { heads: 8, kv_heads: 2, head_dim: 2 })).toEqual({
      heads: wanted,
      noHeads: null,
    });
  });

  test.each([
    ["layers.0.attn", { heads: 2, head_dim: 2 }, "name"],
    ["layers.0.q_proj", {}, "metadata"],
    ["layers.0.q_proj", { heads: -2, head_dim: "2" }, "metadata"],
    ["layers.0.q_proj", { heads: 3, head_dim: 2 }, "width"],
  ] as const)("are not made up: %s, %j", (name, model, reason) => {
    expect(of(name, model)).toEqual({ heads: null, noHeads: reason });
  });
});

test("the factor of the residual sum is the reference's where the two sides differ in it", () => {
  const reference = write({ width: 2, pairs: [ofF32([1, 2], [])] }, "reference", {
    model: { residual_scale: 0.5 },
  });
  const candidate = write({ width: 2, pairs: [ofF32([], [0.5, 1])] }, "candidate");
  expect(inspectTensor({ reference, candidate }, "layers.0.mlp").tensors[0]?.elements).toEqual([]);
});
