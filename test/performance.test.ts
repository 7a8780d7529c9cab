/** Performance of dumps and of vLLM's own JSON, read and paired as NumPy and plain division have it. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type {
  PerformanceMetric,
  PerformanceResult,
  PerformanceSpread,
} from "../src/core/performance.ts";
import { openPerformance } from "../src/dump/performance/open-performance.ts";
import { comparePerformance } from "../src/measure/performance.ts";
import { cli } from "./support/cli.ts";
import { python } from "./support/python.ts";
import { scratch } from "./support/scratch.ts";

interface Bench {
  readonly ttft_ms: PerformanceSpread;
  readonly tpot_ms: PerformanceSpread;
  readonly e2e_ms: PerformanceSpread;
  readonly output_tokens_per_s: number;
  readonly requests_per_s: number;
  readonly speed_up: readonly number[];
  readonly throughput: readonly number[];
}

interface Served extends Pick<Bench, "ttft_ms" | "tpot_ms" | "e2e_ms"> {
  readonly itl_ms: PerformanceSpread;
  readonly output_tokens: PerformanceSpread;
  readonly said: Readonly<Record<string, number>>;
}

const VLLM_BENCH = fileURLToPath(new URL("../fixtures/vllm-bench", import.meta.url));
const { folder } = scratch();
const expected = JSON.parse(python("bench_dumps.py", folder, VLLM_BENCH)) as {
  readonly reference: Bench;
  readonly candidate: Bench;
  readonly "0.18": Served;
  readonly "0.32": Served;
};

function performanceOf(reference: string | null, candidate: string | null): PerformanceResult {
  const open = (path: string | null) => (path === null ? null : openPerformance(path));
  const result = comparePerformance({ reference: open(reference), candidate: open(candidate) });
  if (result === null) throw new Error("nothing was measured");
  return result;
}

function metricOf(
  { metrics }: Pick<PerformanceResult, "metrics">,
  name: PerformanceMetric["metric"],
): PerformanceMetric {
  const found = metrics.find(({ metric }) => metric === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

function isNumPys(spread: PerformanceSpread | null | undefined, numpy: PerformanceSpread): void {
  expect(spread?.count).toBe(numpy.count);
  for (const figure of ["mean", "min", "max", "p50", "p99"] as const) {
    const [found, wanted] = [spread?.[figure] ?? Number.NaN, numpy[figure] ?? Number.NaN];
    expect(Math.abs(found / wanted - 1), figure).toBeLessThan(1e-12);
  }
}

describe("two dumps of npu-dump bench", () => {
  const paths = [join(folder, "cpu-bench.arrow"), join(folder, "npu-bench.arrow")] as const;
  const result = performanceOf(...paths);

  test("have NumPy's statistics, NaN left out, and ratios of means", () => {
    for (const name of ["ttft_ms", "tpot_ms", "e2e_ms"] as const) {
      const { reference, candidate, ratio, better } = metricOf(result, name);
      isNumPys(reference?.spread, expected.reference[name]);
      isNumPys(candidate?.spread, expected.candidate[name]);
      expect(ratio).toBeCloseTo(expected.candidate[name].mean / expected.reference[name].mean, 12);
      expect(better).toBe("lower");
    }
    expect(metricOf(result, "tpot_ms").reference?.spread?.count).toBe(16);
  });

  test("have scalars, of which more is better or less", () => {
    const rate = metricOf(result, "output_tokens_per_s");
    expect(rate.reference).toEqual({
      value: expected.reference.output_tokens_per_s,
      spread: null,
    });
    expect(rate.ratio).toBe(
      expected.candidate.output_tokens_per_s / expected.reference.output_tokens_per_s,
    );
    expect(rate.better).toBe("higher");
    expect(metricOf(result, "weights_bytes")).toMatchObject({ better: "lower", ratio: 1 });
  });

  test("say why a metric is not there", () => {
    expect(metricOf(result, "kv_cache_tokens")).toMatchObject({
      reference: null,
      candidate: null,
      ratio: null,
      absent: { reference: "there is no such cache", candidate: "there is no such cache" },
    });
  });

  test("are matched point by point, with each side's speed-up over its smallest batch", () => {
    const { reference, candidate } = expected;
    expect(result.sweeps.map(({ batch }) => batch)).toEqual([1, 2, 8, 16]);
    const of = (batch: number) => result.sweeps.find((point) => point.batch === batch);
    expect(of(1)?.speedUp).toEqual({ reference: 1, candidate: 1 });
    expect(of(2)?.speedUp).toEqual({ reference: reference.speed_up[1], candidate: null });
    expect(of(8)?.speedUp).toEqual({
      reference: reference.speed_up[2],
      candidate: candidate.speed_up[1],
    });
    const eight = of(8) ?? { metrics: [] };
    expect(metricOf(eight, "output_tokens_per_s").ratio).toBe(
      (candidate.throughput[1] ?? 0) / (reference.throughput[2] ?? 1),
    );
    const sixteen = of(16) ?? { metrics: [] };
    expect(metricOf(sixteen, "output_tokens_per_s")).toMatchObject({
      reference: null,
      candidate: { value: candidate.throughput[2] },
      ratio: null,
    });
  });

  test("tell conditions that differ, and requests that failed", () => {
    expect(result.differences).toEqual([
      { condition: "engine", reference: "transformers", candidate: "vllm" },
    ]);
    expect([result.reference?.failed, result.candidate?.failed]).toEqual([null, 3]);
  });
});

describe.each(["0.18", "0.32"] as const)("vllm bench serve %s", (version) => {
  const detailed = performanceOf(null, join(VLLM_BENCH, `${version}-detailed.json`));
  const { said, ...lists } = expected[version];

  test("has the statistics of its requests that were answered", () => {
    for (const [name, numpy] of Object.entries(lists)) {
      isNumPys(metricOf(detailed, name as keyof typeof lists).candidate?.spread, numpy);
    }
  });

  test("says of them what vLLM says itself", () => {
    const own = [
      ["ttft_ms", "ttft"],
      ["tpot_ms", "tpot"],
      ["itl_ms", "itl"],
    ] as const;
    for (const [metric, name] of own) {
      const spread = metricOf(detailed, metric).candidate?.spread;
      const relative = (found: number | null | undefined, key: string) =>
        Math.abs((found ?? Number.NaN) / (said[key] ?? Number.NaN) - 1);
      // Where it keeps no latencies, vLLM's own tpot ends a little before the last pause.
      const tolerance = version === "0.18" && metric === "tpot_ms" ? 1e-4 : 1e-9;
      expect(relative(spread?.mean, `mean_${name}_ms`), name).toBeLessThan(tolerance);
      expect(relative(spread?.p50, `median_${name}_ms`), name).toBeLessThan(tolerance);
      expect(relative(spread?.p99, `p99_${name}_ms`), name).toBeLessThan(tolerance);
    }
    expect(metricOf(detailed, "total_tokens_per_s").candidate?.value).toBe(
      said["total_token_throughput"],
    );
  });

  test("without its lists keeps what it says", () => {
    const plain = performanceOf(null, join(VLLM_BENCH, `${version}-plain.json`));
    const json = JSON.parse(
      readFileSync(join(VLLM_BENCH, `${version}-plain.json`), "utf8"),
    ) as Record<string, number>;
    expect(metricOf(plain, "ttft_ms").candidate).toEqual({
      value: json["mean_ttft_ms"],
      spread: {
        count: 5,
        mean: json["mean_ttft_ms"],
        min: null,
        max: null,
        p50: json["median_ttft_ms"],
        p99: json["p99_ttft_ms"],
      },
    });
    expect(plain.candidate).toMatchObject({
      source: "vllm-bench-serve",
      engine: "openai",
      point: { requests: 6, concurrency: 2, outputTokens: 5 },
      completed: 5,
      failed: 1,
    });
  });
});

describe("compare", () => {
  const [reference, candidate] = [join(folder, "cpu.arrow"), join(folder, "npu.arrow")];

  test("takes the dump's own figures where no file is given, and never judges them", async () => {
    const plain = await compareDumps({ reference, candidate: reference });
    const { performance, verdict, findings, rules } = await compareDumps({ reference, candidate });
    expect(plain.performance).toBeNull();
    expect(performance).toMatchObject({
      reference: null,
      metrics: [{ metric: "ttft_ms", reference: null, candidate: { value: 5 }, ratio: null }],
    });
    expect([verdict, rules]).toEqual([plain.verdict, plain.rules]);
    expect(findings.filter(({ rule }) => rule.startsWith("input/performance"))).toEqual([]);
  });

  test("takes the files that are given, and notes what was not alike", async () => {
    const { performance, verdict, findings } = await compareDumps({
      reference,
      candidate,
      referencePerformance: join(folder, "cpu-bench.arrow"),
      candidatePerformance: join(VLLM_BENCH, "0.32-detailed.json"),
    });
    expect(performance?.reference?.file).toBe("cpu-bench.arrow");
    expect(performance?.candidate?.file).toBe("0.32-detailed.json");
    expect(verdict).toBe((await compareDumps({ reference, candidate })).verdict);
    const told = findings.filter(({ rule }) => rule.startsWith("input/performance"));
    expect(told.map(({ level, detail }) => [level, detail["condition"]])).toEqual([
      ["info", "source"],
      ["info", "engine"],
      ["info", "inputTokens"],
      ["info", "outputTokens"],
      ["info", "requests"],
      ["info", "concurrency"],
      ["warning", undefined],
    ]);
  });

  test("of performance alone says what to do", async () => {
    const alone = await cli(["compare", "cpu-bench.arrow", "npu-bench.arrow"], { cwd: folder });
    expect([alone.code, alone.stdout]).toEqual([2, ""]);
    expect(alone.stderr).toMatch(
      /^error\[nothing-aligned\]: the dumps hold performance figures alone[^]*help: npu-diff inspect cpu-bench\.arrow npu-bench\.arrow/,
    );
    const one = await cli(["compare", "cpu.arrow", "npu-bench.arrow"], { cwd: folder });
    expect(one.code).toBe(2);
    expect(one.stderr).toContain("help: give it with --candidate-performance");
  });

  test("never replaces a file that it reads", async () => {
    const args = ["compare", "cpu.arrow", "npu.arrow", "--candidate-performance", "bench.json"];
    writeFileSync(join(folder, "bench.json"), "{}");
    const { code, stderr } = await cli([...args, "-o", "bench.json"], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error\[usage\]: a report would replace another file/);
  });
});

describe("inspect", () => {
  const inspect = async (...args: readonly string[]) => cli(["inspect", ...args], { cwd: folder });

  test("of one shows its tables", async () => {
    const { code, stdout } = await inspect("cpu-bench.arrow");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {4}reference +cpu-bench\.arrow · transformers · batch 1/m);
    expect(stdout).toMatch(/^ {4}TTFT, ms ↓ +[\d.]+ \[[\d.]+, [\d.]+\]$/m);
    expect(stdout).toMatch(/^ {8}8 +128 +20 +[\d.]+ +[\d.]+x$/m);
  });

  test("of two shows both, in text, Markdown and JSON", async () => {
    const json = join(VLLM_BENCH, "0.32-plain.json");
    const text = await inspect("cpu-bench.arrow", json, "--ascii", "--lang", "zh");
    expect(text.stdout).toMatch(/首 token 延迟 \(TTFT\), ms v +[\d.]+ /);
    const md = await inspect("cpu-bench.arrow", "npu-bench.arrow", "--format", "md");
    const ratio = expected.candidate.ttft_ms.mean / expected.reference.ttft_ms.mean;
    expect(md.stdout).toMatch(
      new RegExp(`^\\| TTFT, ms ↓ \\|.*\\| ${Number(ratio.toPrecision(3))} \\|$`, "m"),
    );
    const parsed = JSON.parse(
      (await inspect("cpu-bench.arrow", "npu-bench.arrow", "--json")).stdout,
    ) as { readonly performance: PerformanceResult };
    expect(parsed.performance.metrics.length).toBeGreaterThan(5);
    expect([text.code, md.code]).toEqual([0, 0]);
  });

  test("of two refuses dumps that hold more, of one Markdown without figures", async () => {
    const more = await inspect("cpu-bench.arrow", "npu.arrow");
    expect([more.code, more.stdout]).toEqual([2, ""]);
    expect(more.stderr).toMatch(/^error\[usage\]: [^]*help: add --tensor NAME/);
    const none = await inspect("cpu.arrow", "--format", "md");
    expect([none.code, none.stdout]).toEqual([2, ""]);
    expect(none.stderr).toMatch(/^error\[usage\]: only performance figures/);
  });
});
