/** Jobs and dumps at the edges of what the kernel is made for, by what they must say. */

import { afterAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../../src/compare.ts";
import type { FloatDType } from "../../../src/core/dtype.ts";
import { END_TO_END } from "../../../src/dump/join.ts";
import { createDumpWriter } from "../../../src/dump/write-dump.ts";
import { Helpers } from "../../../src/measure/kernel/helpers.ts";
import type { Job } from "../../../src/measure/kernel/job.ts";
import { JobStream } from "../../../src/measure/kernel/job-stream.ts";
import { runWithOracle } from "../../../src/measure/kernel/oracle.ts";
import {
  AT,
  ROW_NUMBERS,
  resultLayout,
  SIDE_LOGITS,
  TOTALS,
} from "../../../src/measure/kernel/results.ts";
import { JobRunner } from "../../../src/measure/kernel/run-job.ts";
import { compileKernel } from "../../../src/measure/kernel/wasm.ts";
import { type PlannedJob, saturationOf } from "../../../src/measure/plan.ts";
import { scratch } from "../../support/scratch.ts";
import { addNoise, toyTensors, writeToyRun } from "../../support/toy-run.ts";
import { encode, JobFile, Random } from "./random-job.ts";

const files = scratch();
const file = new JobFile(files.path(".bin"));
afterAll(() => {
  file.close();
});
const runner = new JobRunner(compileKernel());

/** One row of a reference beside one of a candidate. */
function pairJob(
  x: readonly number[],
  y: readonly number[],
  dtype: FloatDType,
  logits: boolean,
): Job {
  const sides = [x, y].map((values) => encode(dtype, Float64Array.from(values)));
  const ranges = file.write(new Random(1), sides, 1);
  return {
    rows: 1,
    width: x.length,
    sides: ranges.map((side) => ({ dtype, factor: 1, join: END_TO_END, strands: [side] })),
    ...saturationOf(dtype),
    bits: false,
    truth: logits ? [0] : null,
    leastRowError: null,
  };
}

/** What the kernel and the plain path say. */
function both(job: Job): readonly Float64Array[] {
  const { length } = resultLayout(job);
  const [kernel, plain] = [new Float64Array(length), new Float64Array(length)];
  runner.run(job, kernel);
  runWithOracle(job, plain);
  return [kernel, plain];
}

function kls(x: readonly number[], y: readonly number[]): readonly number[] {
  const at = TOTALS + ROW_NUMBERS + SIDE_LOGITS.kl;
  return both(pairJob(x, y, "F32", true)).map((result) => result[at] as number);
}

/** `length` values that no exponential of which is lost, with some replaced. */
function row(length: number, replaced: Readonly<Record<number, number>>): number[] {
  return Array.from({ length }, (_, i) => replaced[i] ?? Math.sin(i));
}

const { NEGATIVE_INFINITY: NONE } = Number;

describe("a token that the candidate has masked", () => {
  test("makes KL infinite if the reference can say it", () => {
    for (const length of [64, 3000]) {
      expect(kls(row(length, {}), row(length, { 7: NONE }))).toEqual([Infinity, Infinity]);
    }
  });

  test("adds nothing if the reference masks it too, by −∞ or by a number far below", () => {
    for (const masked of [NONE, -1e4, -3e38]) {
      for (const length of [64, 3000]) {
        const [kernel, plain] = kls(row(length, { 7: masked }), row(length, { 7: NONE }));
        expect(kernel).toBeCloseTo(0, 12);
        expect(plain).toBeCloseTo(0, 12);
      }
    }
  });

  test("adds nothing if a larger logit comes only later", () => {
    const x = row(3000, { 2999: 1000 });
    const [kernel, plain] = kls(x, row(3000, { 7: NONE, 2999: 1000 }));
    expect(kernel).toBeCloseTo(0, 12);
    expect(plain).toBeCloseTo(0, 12);
  });
});

test("the centred error of logits that are all off by much keeps its digits", () => {
  const x = Array.from(
    { length: 700 },
    (_, i) => 256 * Math.sin(i) - ((256 * Math.sin(i)) % 2 ** -8),
  );
  const y = x.map((value, i) => value + 2 ** 20 + (i % 2 === 0 ? 1 : -1));
  const at = TOTALS + ROW_NUMBERS + SIDE_LOGITS.sigma;
  for (const result of both(pairJob(x, y, "F64", true))) expect(result[at]).toBeCloseTo(1, 9);
});

test("saturation is where the candidate sits at its largest value and the reference has another", () => {
  const { maxFinite } = saturationOf("F16");
  const saturated = (x: readonly number[], y: readonly number[]): readonly number[] =>
    both(pairJob(x, y, "F16", false)).map((result) => result[AT.saturated] as number);
  expect(saturated([1, 2, 3], [maxFinite, 2, -maxFinite])).toEqual([2, 2]);
  // An infinite reference differs in kind; whatever stands beside it changes nothing.
  const far = row(400, { 0: Infinity, 300: maxFinite });
  expect(saturated(far, row(400, { 0: maxFinite, 300: maxFinite }))).toEqual([0, 0]);
});

/** Writes a layer that is right, and one tensor more. */
function withTensor(id: string, name: string, shape: readonly number[]): string {
  const path = files.path();
  const writer = createDumpWriter(path, { tool: "test", id, dtype: "F32" });
  const layer = Float32Array.from({ length: 32 }, (_, i) => i + (id === "ref" ? 0 : 1e-7 * i));
  const bytes = new Uint8Array(layer.buffer);
  writer.write({ name: "layers.0", dtype: "F32", sample: 0, step: 0, shape: [4, 8], bytes });
  writer.write({ name, dtype: "F32", sample: 0, step: 0, shape, bytes: new Uint8Array(0) });
  writer.close();
  return path;
}

test("rows without columns are nothing, however many a file claims", async () => {
  for (const shape of [
    [2 ** 40, 0],
    [0, 2 ** 30],
  ]) {
    const reference = withTensor("ref", "layers.1", shape);
    const result = await compareDumps({
      reference,
      candidate: withTensor("cand", "layers.1", shape),
    });
    expect(result.tensors.map(({ name, cosine }) => [name, cosine === null])).toEqual([
      ["layers.0", false],
      ["layers.1", true],
    ]);
    expect(result.verdict).not.toBe("pass");
  }
});

test("logits without a vocabulary say nothing of quality", async () => {
  const [reference, candidate] = [
    withTensor("ref", "logits", [4, 0]),
    withTensor("cand", "logits", [4, 0]),
  ];
  const { quality, findings } = await compareDumps({ reference, candidate });
  expect([quality.kl, quality.top1Agreement, quality.firstToken]).toEqual([null, null, null]);
  expect(findings.filter(({ rule }) => rule === "quality/undefined")).toEqual([]);
});

test("what stops a plan is told after the jobs before it", async () => {
  const job = pairJob([1, 2], [1, 2], "F32", false);
  function* plan(): Generator<PlannedJob, void, undefined> {
    for (let i = 0; i < 3; i += 1) yield { job, sides: [], parts: [], present: [] };
    throw new Error("stopped");
  }
  const sizes = { jobNumbers: 100, resultNumbers: resultLayout(job).length };
  for (const threads of [1, 3]) {
    const stream = new JobStream(plan(), new Helpers(threads, Number.MAX_SAFE_INTEGER), sizes);
    try {
      for (let i = 0; i < 3; i += 1) expect((await stream.next()).job).toBe(job);
      await expect(stream.next()).rejects.toThrow("stopped");
    } finally {
      await stream.close();
    }
  }
});

test("more floors than could say anything more are refused", async () => {
  const reference = files.path();
  writeToyRun(reference, toyTensors(), { id: "ref" });
  const noisy = toyTensors();
  addNoise(noisy, 1e-6, 1);
  const candidate = files.path();
  writeToyRun(candidate, noisy, { id: "cand" });
  const floors = Array.from({ length: 15 }, () => candidate);
  await expect(compareDumps({ reference, candidate, floors })).rejects.toMatchObject({
    code: "usage",
  });
});
