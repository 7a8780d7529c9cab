/**
 * Decode, forced references and isolated replay on the tiny model of the
 * fixtures: captured and replayed by the real `npu-dump`, compared by the real
 * `npu-diff`.
 */

import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { bothTools, HELD_OUT, ROOT, TINY_LLAMA } from "../support/both-tools.ts";

/** Prompts, and tokens decoded after each. */
const PROMPTS = 6;
const STEPS = 4;

const { python, tinyDump, compare: comparePair, compareText } = bothTools();

function npuDump(command: "run" | "replay", name: string, ...args: readonly string[]): void {
  tinyDump(command, ...args, "-o", `${name}.arrow`);
}

beforeAll(() => {
  const prompts = ["--prompts", HELD_OUT, "--limit", `${PROMPTS}`];
  const decode = ["--decode", `${STEPS}`];
  npuDump("run", "cpu", ...prompts, ...decode, "--dtype", "float32", "--attn", "eager");
  const bf16 = (attention: string) => ["--dtype", "bfloat16", "--attn", attention];
  const same = ["--tokens-from", "cpu.arrow"];
  npuDump("run", "floor", ...same, ...decode, ...bf16("sdpa"));
  npuDump("run", "candidate", ...same, ...decode, ...bf16("eager"));
  npuDump("run", "prompts", ...same, ...bf16("eager"));
  for (const dump of ["candidate", "floor"]) {
    npuDump("replay", `${dump}.forced`, `${dump}.arrow`, "--dtype", "float32");
  }
  npuDump("replay", "isolated", "cpu.arrow", ...bf16("eager"));
  npuDump("replay", "isolated.floor", "cpu.arrow", ...bf16("sdpa"));
  for (const phase of ["prefill", "decode"]) {
    const script = join(ROOT, "test/e2e/decode_fault.py");
    python(script, TINY_LLAMA, "cpu.arrow", `wrong.${phase}.arrow`, "1", phase);
  }
}, 600_000);

/** Decode steps of each prompt, by the capture side's own reader. */
function decodedSteps(): readonly number[] {
  const script = `import json, npu_dump
keys = [key for key in npu_dump.load("cpu.arrow") if key[0] == "input_ids" and key[2] > 0]
print(json.dumps([sum(key[1] == sample for key in keys) for sample in range(${PROMPTS})]))`;
  return JSON.parse(python("-c", script)) as number[];
}

async function compare(
  candidate: string,
  ...options: readonly string[]
): Promise<readonly [number | null, ComparisonResult]> {
  return comparePair("cpu.arrow", `${candidate}.arrow`, ...options);
}

const FLOOR = ["--floor", "floor.arrow"];
const FORCED = ["--forced", "candidate.forced.arrow", "--forced", "floor.forced.arrow"];

function groups(result: ComparisonResult): readonly unknown[] {
  return result.groups.map(({ step, verdict, origin, throughCache }) => [
    step,
    verdict,
    origin?.tensor ?? null,
    throughCache,
  ]);
}

test("a correct engine passes in both groups", async () => {
  const [code, result] = await compare("candidate", ...FLOOR);
  expect(result.findings.filter(({ level }) => level === "error")).toEqual([]);
  expect(groups(result)).toEqual([
    ["prefill", "pass", null, false],
    ["decode", "pass", null, false],
  ]);
  expect(code).toBe(0);
  const steps = decodedSteps();
  // Some continuations end early.
  expect(new Set(steps).size).toBeGreaterThan(1);
  const { decode } = result.quality;
  expect(decode?.kl?.positions).toBe(steps.reduce((sum, count) => sum + count, 0));
  // The last step predicts a token that was never fed.
  expect(decode?.perplexity?.tokens).toBe(
    steps.reduce((sum, count) => sum + Math.max(0, count - 1), 0),
  );
});

describe("forced references", () => {
  test("give every module of a correct engine the floor's own error, in both groups", async () => {
    const [code, result] = await compare("candidate", ...FLOOR, ...FORCED);
    expect(code).toBe(0);
    expect(result.tensors).toHaveLength(30);
    for (const { name, own } of result.tensors) {
      expect(own?.gmOverFloor, name).toBeGreaterThan(0.7);
      expect(own?.gmOverFloor, name).toBeLessThan(1.4);
    }
  });

  test("show no growth with depth, where what is inherited grows", async () => {
    const [, { tensors }] = await compare("candidate", ...FLOOR, ...FORCED);
    const of = (name: string) => tensors.find((one) => one.name === name && one.step === "prefill");
    const [first, last] = [of("layers.0"), of("layers.3")];
    const plain = (last?.tokenRelL2?.gm ?? 0) / (first?.tokenRelL2?.gm ?? 1);
    const own = (last?.own?.gm ?? 0) / (first?.own?.gm ?? 1);
    expect(plain).toBeGreaterThan(1.3);
    expect(own).toBeLessThan(1.3);
  });
});

describe("a fault of one layer's MLP", () => {
  test("at decode alone: the prefill passes, decode names it", async () => {
    const [code, result] = await compare("wrong.decode", ...FLOOR);
    expect(groups(result)).toEqual([
      ["prefill", "pass", null, false],
      ["decode", "fail", "layers.1.mlp", false],
    ]);
    expect(result.origin).toMatchObject({ tensor: "layers.1.mlp", step: "decode" });
    expect(code).toBe(1);
  });

  test("in the prefill alone reaches the next layer of decode through the cache", async () => {
    const [code, result] = await compare("wrong.prefill", ...FLOOR);
    expect(groups(result)).toEqual([
      ["prefill", "fail", "layers.1.mlp", false],
      ["decode", "fail", "layers.2.attn", true],
    ]);
    const { stdout } = await compareText("cpu.arrow", "wrong.prefill.arrow", ...FLOOR);
    expect(stdout).toMatch(/prefill: layer 1 mlp diverges first/);
    expect(stdout).toMatch(/decode: layer 2 attn fails first; the prefill's error/);
    expect(code).toBe(1);
  });
});

test("a candidate that did not decode is no pass", async () => {
  const [code, result] = await compare("prompts", ...FLOOR);
  expect(code).toBe(1);
  expect(groups(result)).toEqual([
    ["prefill", "pass", null, false],
    ["decode", "fail", null, false],
  ]);
  expect(result.missing.candidate).toContain("input_ids@0.1");
});

test("an isolated replay is judged module by module, against floors of its kind only", async () => {
  const [code, result] = await compare("isolated", "--floor", "isolated.floor.arrow");
  expect(result.findings.filter(({ level }) => level === "error")).toEqual([]);
  expect(result.isolated).toBe(true);
  expect(result.quality.kl).toBeNull();
  expect(code).toBe(0);
  const plainFloor = await compareText("cpu.arrow", "isolated.arrow", ...FLOOR);
  expect(plainFloor.stderr).toMatch(/^error\[floor-incompatible\]/);
  expect(plainFloor.code).toBe(2);
});
