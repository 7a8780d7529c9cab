/**
 * The whole tool on a real model: SmolLM2-135M-Instruct, captured by the real
 * `npu-dump`, compared by the real `npu-diff`, and recomputed by PyTorch.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { bothTools, ROOT } from "../support/both-tools.ts";

/** Passages of the demo: fewer than it takes, enough for intervals. */
const PASSAGES = 8;
const FAULTY_LAYER = 7;
const INT8_LAYER = 14;

const { folder, run, python, compare: comparePair } = bothTools();

let model: string;

beforeAll(() => {
  model = run(process.execPath, join(ROOT, "scripts/model.mjs")).trim();
  const passages = readFileSync(join(ROOT, "demo/passages.jsonl"), "utf8").split("\n");
  writeFileSync(join(folder, "prompts.jsonl"), `${passages.slice(0, PASSAGES).join("\n")}\n`);
  const capture = (...args: readonly string[]): string =>
    python("-m", "npu_dump", "run", "--model", model, ...args).trim();
  const bf16 = ["--tokens-from", "cpu.arrow", "--dtype", "bfloat16"];
  // What npu-dump prints is the path that it wrote.
  expect(capture("--prompts", "prompts.jsonl", "--dtype", "float32", "-o", "cpu.arrow")).toBe(
    "cpu.arrow",
  );
  expect(capture(...bf16, "-o", "floor.arrow")).toBe("floor.arrow");
  expect(capture(...bf16, "--attn", "eager", "-o", "device.arrow")).toBe("device.arrow");
  python(
    join(ROOT, "demo/faulty.py"),
    ...["--model", model, "--tokens-from", "cpu.arrow", "-o", "faulty.arrow"],
    ...["--layer", String(FAULTY_LAYER)],
  );
  const rounded = join(ROOT, "test/e2e/int8_checkpoint.py");
  python(rounded, model, "int8", `model.layers.${String(INT8_LAYER)}.mlp.down_proj`);
  // Another attention kernel than the floor's, as on a device.
  const engine = [...bf16, "--attn", "eager", "-o", "int8.arrow"];
  python("-m", "npu_dump", "run", "--model", "int8", ...engine);
  for (const dump of ["floor", "int8"]) {
    const forced = ["replay", `${dump}.arrow`, "--model", model, "-o", `${dump}.forced.arrow`];
    python("-m", "npu_dump", ...forced);
  }
}, 900_000);

async function compare(
  candidate: string,
  options: readonly string[] = ["--floor", "floor.arrow"],
): Promise<readonly [number | null, ComparisonResult]> {
  return comparePair("cpu.arrow", candidate, ...options);
}

test("the model holds what its checkpoint says", () => {
  const report = python("-m", "npu_dump", "weights", "--model", model, "--json");
  expect(JSON.parse(report)).toMatchObject({
    ok: true,
    // 134,515,008 weights in bfloat16; the head is the embedding.
    compared: { count: 272, bytes: 134_515_008 * 2 },
    findings: [],
  });
});

describe("a correct engine in bf16", () => {
  test("passes against the floor", async () => {
    const [code, result] = await compare("device.arrow");
    expect(result.findings.filter(({ level }) => level === "error")).toEqual([]);
    expect(code).toBe(0);
    expect(result.tensors).toHaveLength(93);
    expect(result.evidence).toBe("floor");
  });

  test("passes by the prior", async () => {
    const [code] = await compare("device.arrow", []);
    expect(code).toBe(0);
  });

  test("says what PyTorch float64 says of the same logits", async () => {
    const [, { quality, tensors }] = await compare("device.arrow");
    const figures = JSON.parse(
      python(join(ROOT, "test/e2e/recompute.py"), "cpu.arrow", "device.arrow"),
    ) as {
      readonly perplexity: { readonly reference: number; readonly candidate: number };
      readonly kl: { readonly mean: number; readonly max: number; readonly median: number };
      readonly top1: number;
      readonly tokenCosine: { readonly mean: number; readonly min: number };
      readonly mse: number;
      readonly maxAbs: number;
    };
    const relative = (actual: number | undefined, expected: number): number =>
      Math.abs((actual ?? Number.NaN) / expected - 1);
    expect(relative(quality.perplexity?.reference, figures.perplexity.reference)).toBeLessThan(
      1e-9,
    );
    expect(relative(quality.perplexity?.candidate, figures.perplexity.candidate)).toBeLessThan(
      1e-9,
    );
    for (const figure of ["mean", "max", "median"] as const) {
      const error = Math.abs((quality.kl?.[figure] ?? Number.NaN) - figures.kl[figure]);
      expect(error).toBeLessThan(Math.max(1e-9, 1e-5 * figures.kl[figure]));
    }
    expect(quality.top1Agreement?.share).toBe(figures.top1);
    const logits = tensors.find(({ name }) => name === "logits");
    expect(logits?.tokenCosine?.mean).toBeCloseTo(figures.tokenCosine.mean, 11);
    expect(logits?.tokenCosine?.min).toBeCloseTo(figures.tokenCosine.min, 11);
    expect(relative(logits?.mse ?? undefined, figures.mse)).toBeLessThan(1e-9);
    expect(logits?.maxAbs).toBe(figures.maxAbs);
  });
});

test("a wrong rotary base in one layer fails with that attention as the origin", async () => {
  const [code, result] = await compare("faulty.arrow");
  expect(code).toBe(1);
  expect(result.origin).toMatchObject({
    tensor: `layers.${String(FAULTY_LAYER)}.attn`,
    layer: FAULTY_LAYER,
  });
});

describe("forced references", () => {
  test("a correct engine's own errors are those of its number format, whatever came before", async () => {
    const [, result] = await compare("floor.arrow", ["--forced", "floor.forced.arrow"]);
    // In units of half a bfloat16 ulp: bounds of an independent study of this model, eight kernels among them.
    const bounds: readonly (readonly [RegExp, number, number])[] = [
      [/\.attn$/, 1, 7],
      [/\.mlp$/, 1.7, 3.1],
      [/^layers\.\d+$/, 0.8, 1.3],
      [/^norm$/, 1, 1.3],
      [/^logits$/, 0.8, 0.9],
    ];
    let matched = 0;
    for (const { name, own } of result.tensors) {
      for (const [pattern, low, high] of bounds) {
        if (!pattern.test(name)) continue;
        matched += 1;
        expect(own?.u, name).toBeGreaterThan(low);
        expect(own?.u, name).toBeLessThan(high);
      }
    }
    expect(matched).toBe(92);
    // Looked up in the same weights: equal to the last bit.
    expect(result.tensors[0]).toMatchObject({ name: "embed", own: { gm: 0, max: 0 } });
    // What is inherited grows with the layers; what is a module's own does not.
    const plain = (layer: number): number =>
      result.tensors.find(({ name }) => name === `layers.${String(layer)}`)?.tokenRelL2?.gm ?? 0;
    expect(plain(29)).toBeGreaterThan(2 * plain(0));
  });

  test("one projection rounded to int8 hides in plain pairs, and stands out by its own error", async () => {
    const module = `layers.${String(INT8_LAYER)}.mlp`;
    const floors = ["--floor", "floor.arrow", "--floor", "device.arrow"];
    const [, plain] = await compare("int8.arrow", floors);
    expect(plain.tensors.find(({ name }) => name === module)?.floorRatio).toBeLessThan(1.1);
    const [, result] = await compare("int8.arrow", [
      ...["--floor", "floor.arrow", "--forced", "int8.forced.arrow"],
      ...["--forced", "floor.forced.arrow"],
    ]);
    const faulty = result.tensors.find(({ name }) => name === module);
    expect(faulty?.own?.gmOverFloor).toBeGreaterThan(1.8);
    const others = result.tensors
      .filter(({ name }) => name !== module)
      .map(({ own }) => own?.gmOverFloor ?? Number.NaN)
      .sort((a, b) => a - b);
    expect(others).toHaveLength(92);
    expect(Math.abs((others[46] ?? Number.NaN) - 1)).toBeLessThan(0.05);
    expect(others[0]).toBeGreaterThan(0.7);
    expect(others[91]).toBeLessThan(1.4);
  });
});
