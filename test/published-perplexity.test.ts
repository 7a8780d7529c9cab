/** A published precision table: perplexity 12.7600 on the CPU and 12.8067 on the NPU, 395 tokens in 30 passages. */

import { expect, test } from "vitest";
import type { ComparisonResult } from "../src/core/result.ts";
import { createDumpWriter } from "../src/dump/write-dump.ts";
import { cli } from "./support/cli.ts";
import { random, scratch } from "./support/scratch.ts";

const files = scratch();
const PASSAGES = 30;
const TOKENS = 395;
/** 5 passages of 14 tokens and 25 of 13; the first of each is predicted by nothing. */
const LENGTHS = Array.from({ length: PASSAGES }, (_, i) => (i < TOKENS - 13 * PASSAGES ? 14 : 13));
const PREDICTED = TOKENS - PASSAGES;
const CPU = 12.76;
const NPU = 12.8067;
/** Student's t of 29 degrees of freedom, 97.5 % (SciPy). */
const T29 = 2.045229642132703;

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Losses of every predicted token, in nats, whose mean is exactly that of the perplexity. */
function losses(perplexity: number, of: (passage: number, token: number) => number): number[][] {
  const raw = LENGTHS.map((length, i) => Array.from({ length: length - 1 }, (_, t) => of(i, t)));
  const shift = Math.log(perplexity) - mean(raw.flat());
  return raw.map((row) => row.map((loss) => loss + shift));
}

function write(device: string, rows: readonly (readonly number[])[]): string {
  const path = files.path();
  const writer = createDumpWriter(path, {
    tool: { name: "test", version: "1" },
    id: `${device}-${path}`,
    dtype: "BF16",
    device: { type: device },
    capture: { select: ["token_logprob"] },
  });
  rows.forEach((loss, sample) => {
    const ids = BigInt64Array.from([0, ...loss], (_, token) => BigInt(7 * token + sample));
    const logprobs = Float64Array.from([Number.NaN, ...loss.map((value) => -value)]);
    const common = { sample, step: 0, shape: [ids.length] };
    writer.write({ ...common, name: "input_ids", kind: "tokens", dtype: "I64", bytes: bytes(ids) });
    const output = { name: "token_logprob", kind: "topk", dtype: "F64" } as const;
    writer.write({ ...common, ...output, bytes: bytes(logprobs) });
  });
  writer.close();
  return path;
}

const bytes = (values: BigInt64Array | Float64Array): Uint8Array => new Uint8Array(values.buffer);

/** A pair whose passages differ in how much the loss rises, by ± `spread` nats a token. */
function pair(spread: number): {
  readonly paths: readonly [string, string];
  readonly rises: readonly number[];
} {
  const next = random(3);
  const common = LENGTHS.map((length) => Array.from({ length }, () => 4 * next()));
  const cpu = losses(CPU, (passage, token) => common[passage]?.[token] ?? Number.NaN);
  const npu = losses(
    NPU,
    (passage, token) =>
      (cpu[passage]?.[token] ?? Number.NaN) + (passage % 2 === 0 ? 1 : -1) * spread,
  );
  const rises = npu.map((row, i) =>
    row.reduce((sum, loss, t) => sum + loss - (cpu[i]?.[t] ?? Number.NaN), 0),
  );
  return { paths: [write("cpu", cpu), write("npu", npu)], rises };
}

const LIMIT = ["--max-ppl-increase", "0.5%"];

test("the published row, and by the value alone it is within 0.5 %", async () => {
  const { paths } = pair(0.02);
  const argv = ["compare", ...paths, ...LIMIT, "--decide", "point", "--format", "md"];
  const { code, stdout, stderr } = await cli(argv);
  const row = /^\| Perplexity.*$/m.exec(stdout)?.[0];
  expect(row).toBe("| Perplexity (PPL) ↓ | 12.7600 | 12.8067 | Δ = +0.0467 (+0.37 %) |");
  expect(stdout).toContain(
    "| limit/ppl-increase | +0.50 % (point value) | set by the user | holds |",
  );
  expect(stdout).toContain("30 prompts, 395 tokens");
  expect([code, stderr]).toEqual([0, ""]);
});

test("in Chinese", async () => {
  const { paths } = pair(0.02);
  const argv = ["compare", ...paths, ...LIMIT, "--decide", "point", "--format", "md"];
  const { stdout } = await cli([...argv, "--lang", "zh"]);
  expect(stdout).toContain(
    "| 困惑度 Perplexity (PPL) ↓ | 12.7600 | 12.8067 | Δ = +0.0467 (+0.37 %) |",
  );
  expect(stdout).toContain("### 精度对比：通过");
});

test.each([
  [0.0005, "pass", 0],
  [0.02, "inconclusive", 3],
] as const)(
  "where passages differ by ± %f nats, the interval says %s",
  async (spread, verdict, status) => {
    const { paths, rises } = pair(spread);
    const { code, stdout } = await cli(["compare", ...paths, ...LIMIT, "--json"]);
    const result = JSON.parse(stdout) as ComparisonResult;
    const { perplexity } = result.quality;
    expect(perplexity?.reference).toBeCloseTo(CPU, 12);
    expect(perplexity?.candidate).toBeCloseTo(NPU, 12);
    expect([perplexity?.tokens, perplexity?.samples]).toEqual([PREDICTED, PASSAGES]);
    // The mean of clusters: residuals summed by passage, G / (G - 1), Student's t.
    const rise = rises.reduce((sum, value) => sum + value, 0) / PREDICTED;
    expect(rise).toBeCloseTo(Math.log(NPU / CPU), 12);
    const squares = rises.map((value, i) => (value - ((LENGTHS[i] ?? 0) - 1) * rise) ** 2);
    const variance = (squares.reduce((sum, value) => sum + value, 0) * PASSAGES) / (PASSAGES - 1);
    const half = (T29 * Math.sqrt(variance)) / PREDICTED;
    expect(perplexity?.ci95?.[0]).toBeCloseTo(Math.expm1(rise - half), 8);
    expect(perplexity?.ci95?.[1]).toBeCloseTo(Math.expm1(rise + half), 8);
    expect(Math.expm1(rise + half) < 0.005).toBe(verdict === "pass");
    expect([result.verdict, code]).toEqual([verdict, status]);
  },
);
