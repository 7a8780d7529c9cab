/** Repeated runs of SmolLM2-135M-Instruct by the real `npu-dump`: one that repeats itself, and one with dropout. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { RepeatComparison } from "../../src/core/determinism.ts";
import { bothTools, ROOT } from "../support/both-tools.ts";

const PROMPTS = [
  "The capital of France is",
  "Machine learning is a branch of",
  "The meaning of life according to philosophy is",
  "Artificial intelligence will",
  "Python is a programming language used for",
  "The solar system consists of",
  "Quantum computing works by",
  "The theory of relativity was proposed by",
];

const { folder, run, python, compare } = bothTools();

interface Expected {
  readonly samples: number;
  readonly repeats: Readonly<
    Record<
      string,
      {
        readonly alike: number;
        readonly first: readonly [sample: number, token: number] | null;
        readonly largest: number;
      }
    >
  >;
}

function recompute(name: string): Expected {
  return JSON.parse(python(join(ROOT, "test/e2e/determinism.py"), name, "1", "2")) as Expected;
}

beforeAll(() => {
  const model = run(process.execPath, join(ROOT, "scripts/model.mjs")).trim();
  writeFileSync(join(folder, "prompts.txt"), `${PROMPTS.join("\n")}\n`);
  const options = ["--model", model, "--prompts", "prompts.txt", "--select", "logits"];
  const repeated = [...options, "--dtype", "float32", "--generate", "6", "--repeats", "3"];
  python("-m", "npu_dump", "run", ...repeated, "-o", "npu.arrow");
  python(join(ROOT, "test/e2e/noisy_engine.py"), ...repeated, "-o", "noisy.arrow");
}, 600_000);

describe.each([
  ["npu.arrow", 0],
  ["noisy.arrow", 1],
])("%s, compared with itself", (name, status) => {
  test("has the figures that NumPy has", async () => {
    const [code, result] = await compare(name, name);
    const { samples, repeats } = recompute(name);
    expect(samples).toBe(PROMPTS.length);
    const side = result.quality.determinism?.candidate;
    expect(result.quality.determinism?.reference).toEqual(side);
    const isAs = (found: RepeatComparison | null | undefined, repeat: string): void => {
      const expected = repeats[repeat];
      expect(found).toMatchObject({ comparisons: 1, samples, identical: expected?.alike });
      expect(found?.share).toBe((expected?.alike ?? Number.NaN) / samples);
      expect(found?.tensors.compared).toBe(samples);
      expect(found?.tensors.largest?.maxAbs).toBe(expected?.largest);
    };
    isAs(side?.runToRun, "1");
    isAs(side?.batch, "2");
    const first = Object.values(repeats).flatMap((one) => (one.first === null ? [] : [one.first]));
    const [sample, token] = first.sort((a, b) => a[0] - b[0])[0] ?? [];
    expect([side?.firstDifference?.sample, side?.firstDifference?.token]).toEqual([sample, token]);
    expect(code).toBe(status);
  });
});

test("a deterministic engine repeats itself to the bit", async () => {
  const [, result] = await compare("npu.arrow", "npu.arrow");
  const { runToRun } = result.quality.determinism?.candidate ?? {};
  expect(runToRun).toMatchObject({ share: 1, tensors: { compared: 8, identical: 8 } });
});

test("one with dropout does not", async () => {
  const [, result] = await compare("npu.arrow", "noisy.arrow");
  const { runToRun } = result.quality.determinism?.candidate ?? {};
  expect(runToRun?.share).toBeLessThan(1);
  expect(result.findings).toContainEqual(
    expect.objectContaining({
      rule: "quality/determinism",
      level: "error",
      value: runToRun?.share,
      limit: 0.99,
    }),
  );
});
