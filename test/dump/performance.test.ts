/** Performance figures that lie, break off or are too many: an error in three parts, never a figure. */

import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { DType } from "../../src/core/dtype.ts";
import { NpuDiffError } from "../../src/core/errors.ts";
import { openPerformance } from "../../src/dump/performance/open-performance.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { comparePerformance } from "../../src/measure/performance.ts";
import { cli } from "../support/cli.ts";
import { errorOf, scratch } from "../support/scratch.ts";

const files = scratch();

type Tensor = readonly [name: string, values: readonly number[] | number, dtype?: DType];

function bench(performance: unknown, ...tensors: readonly Tensor[]): string {
  const name = files.path();
  const run = { tool: "test", id: "1", dtype: "F32", performance } as const;
  const writer = createDumpWriter(name, run);
  for (const [tensor, values, dtype = "F64"] of tensors) {
    const list = typeof values === "number" ? [values] : values;
    const bytes = dtype === "F64" ? Float64Array.from(list) : BigInt64Array.from(list, BigInt);
    writer.write({
      name: tensor,
      dtype,
      shape: typeof values === "number" ? [] : [list.length],
      bytes: new Uint8Array(bytes.buffer),
      sample: -1,
    });
  }
  writer.close({ tensors: tensors.length });
  return name;
}

function refusal(name: string): NpuDiffError {
  const error = errorOf(() => openPerformance(name));
  if (!(error instanceof NpuDiffError)) throw new Error("it was not refused");
  expect(error.facts.map(({ label }) => label)).toEqual(["file", "found", "expected"]);
  expect(error.help).not.toBe("");
  return error;
}

describe("a dump", () => {
  const POINT = { kind: "batch", batch: 1, input_tokens: 8, output_tokens: 8 };

  test.each<readonly [string, unknown, readonly Tensor[], RegExp]>([
    ["without figures", {}, [["perf.of_tomorrow", 1]], /holds no performance figures/],
    ["with a negative time", {}, [["perf.ttft_ms", [1, -1]]], /cannot have been measured/],
    ["with an infinite time", {}, [["perf.ttft_ms", [Infinity]]], /cannot have been measured/],
    ["of integers", {}, [["perf.ttft_ms", [1], "I64"]], /no list of numbers/],
    [
      "with a point that is not described",
      { sweep: [POINT] },
      [["perf.sweep.1.e2e_ms", [1]]],
      /not described/,
    ],
    [
      "with a point of no kind",
      { sweep: [{ ...POINT, kind: 7 }] },
      [["perf.sweep.0.e2e_ms", [1]]],
      /does not say of which/,
    ],
    [
      "with one point twice",
      { sweep: [POINT, { ...POINT }] },
      [["perf.sweep.0.e2e_ms", [1]]],
      /are the same/,
    ],
    [
      "with too many points",
      { sweep: Array.from({ length: 1025 }, (_, batch) => ({ ...POINT, batch })) },
      [["perf.e2e_ms", [1]]],
      /too long/,
    ],
    [
      "with too many values",
      {},
      [
        ["perf.e2e_ms", new Array<number>(2 ** 21).fill(1)],
        ["perf.ttft_ms", new Array<number>(2 ** 21 + 1).fill(1)],
      ],
      /too many performance figures/,
    ],
  ])("%s is refused", (_what, performance, tensors, message) => {
    const error = refusal(bench(performance, ...tensors));
    expect([error.code, error.message]).toEqual([
      "performance-invalid",
      expect.stringMatching(message),
    ]);
  });

  test("whose metadata are of other types is read without them", () => {
    const said = {
      engine: { name: 1 },
      point: { batch: "8", input_tokens: -1, requests: Number.MAX_VALUE },
      warmup: null,
      ignore_eos: "yes",
      absent: { load_s: 3, weights_bytes: "x".repeat(1000), unknown: "?" },
    };
    const source = openPerformance(bench(said, ["perf.load_s", 1], ["perf.sweep.00.load_s", 2]));
    expect(source.side).toMatchObject({ engine: null, warmup: null, ignoreEos: null });
    expect(source.side.point).toMatchObject({ batch: null, inputTokens: null });
    expect([...source.absent]).toEqual([["weights_bytes", "x".repeat(200)]]);
    expect([...source.measured.keys()]).toEqual(["load_s"]);
  });

  test("of nothing but NaN has no figure, and no ratio", () => {
    const nothing = openPerformance(bench({}, ["perf.tpot_ms", [Number.NaN, Number.NaN]]));
    const something = openPerformance(bench({}, ["perf.tpot_ms", [2, Number.NaN]]));
    const metrics = comparePerformance({ reference: something, candidate: nothing })?.metrics;
    expect(metrics).toMatchObject([
      {
        reference: { value: 2, spread: { count: 1, min: 2, max: 2, p50: 2, p99: 2 } },
        candidate: { value: Number.NaN, spread: { count: 0, min: Number.NaN, p99: Number.NaN } },
        ratio: null,
      },
    ]);
  });

  test("with a figure of zero has no ratio to it", () => {
    const zero = openPerformance(bench({}, ["perf.load_s", 0]));
    const one = openPerformance(bench({}, ["perf.load_s", 1]));
    expect(comparePerformance({ reference: zero, candidate: one })?.metrics[0]?.ratio).toBeNull();
    expect(comparePerformance({ reference: one, candidate: zero })?.metrics[0]?.ratio).toBe(0);
  });
});

describe("JSON", () => {
  const GOOD = {
    duration: 2,
    completed: 2,
    failed: 1,
    num_prompts: 3,
    total_input_tokens: 10,
    total_output_tokens: 4,
    request_throughput: 1,
    output_throughput: 2,
    total_token_throughput: 7,
    ttfts: [0.5, 0, 0.25],
    itls: [[0.25], [], [0.5, 0.25]],
    input_lens: [4, 5, 6],
    output_lens: [2, 0, 3],
    errors: ["", "no room", ""],
    mean_ttft_ms: 375,
  };

  test("that is as it should be is read", () => {
    const { measured, side } = openPerformance(files.file(JSON.stringify(GOOD), ".any"));
    expect(measured.get("ttft_ms")).toEqual({
      kind: "values",
      values: Float64Array.of(500, 250),
    });
    expect(measured.get("e2e_ms")).toEqual({ kind: "values", values: Float64Array.of(750, 1000) });
    expect(measured.get("tpot_ms")).toEqual({ kind: "values", values: Float64Array.of(250, 375) });
    expect(side).toMatchObject({ completed: 2, failed: 1, point: { inputTokens: 5 } });
  });

  test("of Python's own numbers is read: what is NaN is not known", () => {
    const text = JSON.stringify({ ...GOOD, ttfts: undefined, itls: undefined, mean_tpot_ms: 0 });
    const { measured } = openPerformance(
      files.file(text.replace('"mean_tpot_ms":0', '"mean_tpot_ms":NaN')),
    );
    expect([...measured.keys()]).toEqual([
      "ttft_ms",
      "output_tokens_per_s",
      "total_tokens_per_s",
      "requests_per_s",
    ]);
  });

  test("of which no request was answered has no latency", () => {
    const none = { duration: 1, completed: 0, failed: 3, request_throughput: 0, mean_ttft_ms: 0 };
    const { measured, side } = openPerformance(files.file(JSON.stringify(none)));
    expect([...measured.keys()]).toEqual(["requests_per_s"]);
    expect([side.completed, side.failed]).toEqual([0, 3]);
  });

  test.each<readonly [string, Record<string, unknown>, RegExp]>([
    ["another throughput", { output_throughput: 20 }, /contradicts itself in output_throughput/],
    ["another rate", { request_throughput: 9 }, /contradicts itself in request_throughput/],
    ["another mean", { mean_ttft_ms: 3 }, /contradicts itself in mean_ttft_ms/],
    ["fewer pauses", { itls: [[0.25]] }, /in the number of requests/],
    ["an answer that failed", { errors: ["", "", "x"] }, /in the number of requests/],
    ["a negative pause", { itls: [[-1], [], [1, 1]] }, /cannot have been measured/],
    ["a hole in a list", { ttfts: [0.5, null, 0.25] }, /cannot have been measured/],
    ["no list", { output_lens: "many" }, /no list of output_lens/],
    ["an end before its beginning", { latencies: [0.1, 0, 1] }, /before its first token/],
    ["no duration", { duration: 0 }, /does not say its duration/],
    ["words for numbers", { completed: "2" }, /does not say its completed/],
  ])("with %s is refused", (_what, change, message) => {
    const error = refusal(files.file(JSON.stringify({ ...GOOD, ...change })));
    expect([error.code, error.message]).toEqual([
      "performance-invalid",
      expect.stringMatching(message),
    ]);
  });

  test.each([
    ["breaks off", JSON.stringify(GOOD).slice(0, -9), /not one whole JSON object/],
    ["is two results", `${JSON.stringify(GOOD)}\n${JSON.stringify(GOOD)}`, /not one whole/],
    ["is a list", "[1, 2]", /not a JSON object/],
    ["is of something else", '{"a": 1}', /does not say its completed/],
    ["is nested deep", `{"a":${"[".repeat(100)}${"]".repeat(100)}}`, /nested too deep/],
  ])("that %s is refused", (_what, text, message) => {
    const error = refusal(files.file(text));
    expect([error.code, error.message]).toEqual([
      "performance-invalid",
      expect.stringMatching(message),
    ]);
  });

  test("that is huge is refused before it is read", () => {
    const name = files.file("{");
    truncateSync(name, 64 * 1024 * 1024 + 1);
    expect(refusal(name).message).toMatch(/too large/);
  });

  test("on the command line is an error of status 2, without a stack", async () => {
    writeFileSync(
      join(files.folder, "lie.json"),
      JSON.stringify({ ...GOOD, output_throughput: 20 }),
    );
    const { code, stdout, stderr } = await cli(["inspect", "lie.json"], { cwd: files.folder });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error\[performance-invalid\]: lie\.json contradicts itself/);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test("__proto__ in it changes nothing", () => {
    const text = JSON.stringify(GOOD).replace("{", '{"__proto__": {"backend": "evil"},');
    expect(openPerformance(files.file(text)).side.engine).toBeNull();
  });
});
