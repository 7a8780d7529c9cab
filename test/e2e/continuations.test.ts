/** Continuations of the tiny model: captured by the real `npu-dump`, their margins recomputed by NumPy. */

import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { bothTools, HELD_OUT, ROOT } from "../support/both-tools.ts";

const TOKENS = 40;

const { python, tinyDump, compare } = bothTools();

beforeAll(() => {
  const run = (name: string, ...args: readonly string[]): void => {
    tinyDump("run", "--select", "logits", "--decode", String(TOKENS), ...args, "-o", name);
  };
  run("cpu.arrow", "--prompts", HELD_OUT, "--dtype", "float32");
  const bf16 = ["--tokens-from", "cpu.arrow", "--dtype", "bfloat16"];
  run("npu.arrow", ...bf16, "--generate", String(TOKENS), "--attn", "eager");
  run("floor.arrow", ...bf16, "--attn", "sdpa");
}, 240_000);

test("every place at which they part, and its margin, is NumPy's", async () => {
  const [, result] = await compare("cpu.arrow", "npu.arrow", "--floor", "floor.arrow");
  const script = join(ROOT, "test/e2e/continuations.py");
  type Parting = readonly [step: number, reference: number, candidate: number, z: number];
  const expected = JSON.parse(python(script, "cpu.arrow", "npu.arrow", "floor.arrow")) as Readonly<
    Record<string, Parting | null>
  >;
  const listed = result.quality.generation?.listed ?? [];
  expect(listed.map(({ sample }) => String(sample))).toEqual(Object.keys(expected));
  const parting = Object.values(expected).filter((one) => one !== null);
  expect(parting.length).toBeGreaterThan(0);
  expect(result.quality.generation).toMatchObject({
    samples: listed.length,
    exact: listed.length - parting.length,
    firstDivergence: { min: Math.min(...parting.map(([step]) => step)) },
    divergences: {
      nearTies: parting.filter(([, , , z]) => z < 4).length,
      real: parting.filter(([, , , z]) => z >= 4).length,
    },
  });
  for (const { sample, divergence, identical } of listed) {
    const one = expected[String(sample)] ?? null;
    expect(identical).toBe(one === null);
    if (one === null) continue;
    const [step, reference, candidate, z] = one;
    expect(divergence?.token).toBe(step);
    expect(divergence?.margin.sigmaFrom).toBe("floor");
    expect(divergence?.margin.reference?.nats).toBeCloseTo(reference, 9);
    expect(divergence?.margin.candidate?.nats).toBeCloseTo(candidate, 9);
    expect(divergence?.margin.z).toBeCloseTo(z, 6);
  }
});

test("the lists of the steps themselves tell the same where no logits are stored", async () => {
  const [, whole] = await compare("cpu.arrow", "npu.arrow");
  for (const [name, dtype, args] of [
    ["cpu.lists.arrow", "float32", []],
    ["npu.lists.arrow", "bfloat16", ["--attn", "eager"]],
  ] as const) {
    const generate = ["--tokens-from", "cpu.arrow", "--generate", String(TOKENS), "--top-k", "20"];
    tinyDump("run", "--select", "norm", ...generate, "--dtype", dtype, ...args, "-o", name);
  }
  const [, lists] = await compare("cpu.lists.arrow", "npu.lists.arrow");
  const tokens = ({ quality }: ComparisonResult) =>
    quality.generation?.listed.map(({ divergence }) => divergence?.token ?? null);
  expect(tokens(lists)).toEqual(tokens(whole));
  const margins = lists.quality.generation?.listed.flatMap(({ divergence }, i) => {
    const other = whole.quality.generation?.listed[i]?.divergence;
    return divergence == null || other == null ? [] : [[divergence.margin, other.margin] as const];
  });
  for (const [mine, other] of margins ?? []) {
    expect(mine.sigmaFrom).toBe("lists");
    expect(mine.reference?.nats).toBeCloseTo(other.reference?.nats ?? Number.NaN, 4);
  }
}, 120_000);
