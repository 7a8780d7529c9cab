/**
 * The whole tool on the tiny model of the fixtures: captured by the real
 * `npu-dump`, compared by the real `npu-diff`, recomputed by PyTorch float64.
 */

import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { bothTools, HELD_OUT, ROOT } from "../support/both-tools.ts";

const { python, tinyDump, compare } = bothTools();

function capture(name: string, ...args: readonly string[]): void {
  // What npu-dump prints is the path that it wrote.
  expect(tinyDump("run", ...args, "-o", name)).toBe(`${name}\n`);
}

beforeAll(() => {
  capture("cpu.arrow", "--prompts", HELD_OUT, "--dtype", "float32", "--attn", "eager");
  const bf16 = ["--tokens-from", "cpu.arrow", "--dtype", "bfloat16"];
  capture("floor.arrow", ...bf16, "--attn", "sdpa");
  capture("candidate.arrow", ...bf16, "--attn", "eager");
}, 240_000);

test("a correct engine in bf16 passes against the floor", async () => {
  const [code, result] = await compare("cpu.arrow", "candidate.arrow", "--floor", "floor.arrow");
  expect(result.findings.filter(({ level }) => level === "error")).toEqual([]);
  expect([code, result.verdict, result.evidence, result.origin]).toEqual([
    0,
    "pass",
    "floor",
    null,
  ]);
  // embed, attention, MLP and residual stream of 4 layers, norm and logits.
  expect(result.tensors).toHaveLength(15);
  expect(result.tokens.samples).toBe(10);
});

test("it passes by the prior, where no floor was captured", async () => {
  const [code, result] = await compare("cpu.arrow", "candidate.arrow");
  expect([code, result.evidence]).toEqual([0, "prior"]);
});

test("a run against itself differs in nothing", async () => {
  const [code, { quality, tensors }] = await compare("cpu.arrow", "cpu.arrow", "--preset", "exact");
  expect(code).toBe(0);
  expect(tensors.every(({ bitsDiffering, maxAbs }) => bitsDiffering === 0 && maxAbs === 0)).toBe(
    true,
  );
  expect(quality.perplexity?.relativeIncrease).toBe(0);
});

test("the model speaks: its perplexity is far below the size of its vocabulary", async () => {
  const [, { quality }] = await compare("cpu.arrow", "candidate.arrow", "--floor", "floor.arrow");
  expect(quality.perplexity?.reference).toBeLessThan(320 / 40);
});

test("figures are those of PyTorch float64", async () => {
  const [, { quality, tensors }] = await compare(
    ...["cpu.arrow", "candidate.arrow", "--floor", "floor.arrow"],
  );
  const script = join(ROOT, "test/e2e/recompute.py");
  const expected = JSON.parse(python(script, "cpu.arrow", "candidate.arrow")) as {
    readonly perplexity: { readonly reference: number; readonly candidate: number };
    readonly kl: { readonly mean: number; readonly max: number; readonly median: number };
    readonly top1: number;
    readonly tokenCosine: { readonly mean: number; readonly min: number };
    readonly mse: number;
    readonly maxAbs: number;
  };
  const close = (actual: number | undefined | null, figure: number, tolerance: number): void => {
    expect(Math.abs((actual ?? Number.NaN) - figure)).toBeLessThanOrEqual(tolerance);
  };
  for (const side of ["reference", "candidate"] as const) {
    close(quality.perplexity?.[side], expected.perplexity[side], 1e-9 * expected.perplexity[side]);
  }
  for (const figure of ["mean", "max", "median"] as const) {
    close(quality.kl?.[figure], expected.kl[figure], Math.max(1e-9, 1e-5 * expected.kl[figure]));
  }
  expect(quality.top1Agreement?.share).toBe(expected.top1);
  const logits = tensors.find(({ name }) => name === "logits");
  close(logits?.tokenCosine?.mean, expected.tokenCosine.mean, 1e-12);
  close(logits?.tokenCosine?.min, expected.tokenCosine.min, 1e-12);
  close(logits?.mse, expected.mse, 1e-9 * expected.mse);
  expect(logits?.maxAbs).toBe(expected.maxAbs);
});
