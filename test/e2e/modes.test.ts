/** Reduced captures of the tiny model: written by the real `npu-dump --mode`, compared with whole ones. */

import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { bothTools, HELD_OUT, ROOT } from "../support/both-tools.ts";

const { tinyDump, compare } = bothTools();

function capture(name: string, ...args: readonly string[]): void {
  tinyDump("run", "--attn", "eager", ...args, "-o", name);
}

beforeAll(() => {
  capture("cpu.arrow", "--prompts", HELD_OUT, "--dtype", "float32");
  const bf16 = ["--tokens-from", "cpu.arrow", "--dtype", "bfloat16"];
  capture("whole.arrow", ...bf16);
  capture("topk.arrow", ...bf16, "--mode", "topk", "--top-k", "20");
  const mixed = ["--mode", "stats", "--mode", "embed=full", "--mode", "logits=topk"];
  capture("mixed.arrow", ...bf16, ...mixed);
  capture("hidden.arrow", ...bf16, "--mode", "hidden");
}, 240_000);

test("the best tokens give what whole logits give, and a bound of KL", async () => {
  const [, { quality: whole }] = await compare("cpu.arrow", "whole.arrow");
  const [code, { quality, verdict, missing }] = await compare("cpu.arrow", "topk.arrow");
  expect([code, verdict, missing.candidate]).toEqual([0, "pass", []]);
  for (const side of ["reference", "candidate"] as const) {
    expect(quality.perplexity?.[side]).toBeCloseTo(whole.perplexity?.[side] as number, 9);
  }
  expect(quality.top1Agreement).toEqual({ ...whole.top1Agreement, nearTies: null });
  expect(quality.topKOverlap).toEqual(whole.topKOverlap);
  expect(quality.firstToken).toEqual(whole.firstToken);
  const [bound, mean] = [quality.klLowerBound?.mean as number, whole.kl?.mean as number];
  expect(bound).toBeLessThanOrEqual(mean);
  expect(bound).toBeGreaterThan(mean / 4);
});

test("a limit of KL is open above the bound and broken below it", async () => {
  const [, { quality }] = await compare("cpu.arrow", "topk.arrow");
  const bound = quality.klLowerBound?.mean as number;
  const limited = async (limit: number): Promise<number | null> =>
    (await compare("cpu.arrow", "topk.arrow", "--max-kl", String(limit), "--decide", "point"))[0];
  expect(await limited(2 * bound)).toBe(3);
  expect(await limited(bound / 2)).toBe(1);
});

test("statistics of the layers leave a correct engine undecided", async () => {
  const [code, result] = await compare("cpu.arrow", "mixed.arrow");
  expect([code, result.verdict]).toEqual([3, "inconclusive"]);
  const verdicts = Object.fromEntries(result.tensors.map((one) => [one.name, one.verdict]));
  expect(verdicts["embed"]).toBe("pass");
  expect(verdicts["layers.2.mlp"]).toBe("inconclusive");
  const [, whole] = await compare("cpu.arrow", "whole.arrow");
  for (const { name, statsFigures } of result.tensors) {
    if (statsFigures === null) continue;
    const truth = whole.tensors.find((one) => one.name === name);
    expect(statsFigures.bounds?.relL2).toBeLessThanOrEqual(truth?.relL2 as number);
    expect(statsFigures.bounds?.maxAbs).toBeLessThanOrEqual(truth?.maxAbs as number);
    expect(statsFigures.bounds?.maxAbs).toBeGreaterThan(0);
    expect(statsFigures.normRatio).toBeCloseTo(truth?.normRatio as number, 9);
  }
});

test("what decode steps say needs whole logits: reduced ones are not decided", async () => {
  const prompts = join(ROOT, "fixtures/text/english.txt");
  capture("steps.arrow", "--prompts", prompts, "--dtype", "float32", "--decode", "2");
  const again = ["--tokens-from", "steps.arrow", "--dtype", "bfloat16", "--decode", "2"];
  capture("steps-topk.arrow", ...again, "--mode", "topk");
  const [code, { quality, findings }] = await compare("steps.arrow", "steps-topk.arrow");
  expect([code, quality.decode]).toEqual([3, null]);
  expect(findings.filter(({ rule }) => rule === "layer/undecided")).toMatchObject([
    { tensor: "logits", step: "decode", detail: { reason: "reduced" } },
  ]);
  expect(quality.notAvailable).toContainEqual({ figure: "decode", reason: "reduced-logits" });
});

test("hidden states alone pass without quality", async () => {
  const [code, result] = await compare("cpu.arrow", "hidden.arrow");
  expect([code, result.quality.perplexity]).toEqual([0, null]);
  expect(result.notCaptured.candidate).toContain("logits@0.0");
});
