/** The verdict on what the model says: by interval, by point, and on decode steps. */

import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { Finding } from "../src/core/findings.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { createDumpWriter } from "../src/dump/write-dump.ts";
import { renderMarkdown } from "../src/report/markdown.ts";
import { PLAIN } from "../src/report/style.ts";
import { renderText } from "../src/report/text.ts";
import { scratch } from "./support/scratch.ts";

const files = scratch();

/** Rise of the loss of one prediction, in nats. */
type Loss = number;

interface Rows {
  readonly sample: number;
  readonly step: number;
  readonly losses: readonly Loss[];
}

/**
 * Logits over two tokens of which the first is always the true one: both
 * equally likely in the reference, and so that the loss rises by each of
 * `losses` in the candidate. The last row predicts nothing.
 */
function write(id: string, dtype: "F32" | "BF16", rows: readonly Rows[]): string {
  const path = files.path();
  const writer = createDumpWriter(path, { tool: { name: "test", version: "1" }, id, dtype });
  for (const { sample, step, losses } of rows) {
    const logits = [...losses, 0].flatMap((loss) => {
      const odds = Math.exp(Math.LN2 + loss) - 1;
      return [50 - Math.log(odds) / 2, 50 + Math.log(odds) / 2];
    });
    // A prompt holds one id more than it predicts; a decode step is fed with one.
    const tokens = step === 0 ? losses.length + 1 : 1;
    const shown = Float64Array.from(step === 0 ? logits : logits.slice(0, 2));
    writer.write({
      name: "input_ids",
      kind: "tokens",
      dtype: "I64",
      sample,
      step,
      shape: [tokens],
      bytes: new Uint8Array(new BigInt64Array(tokens).buffer),
    });
    writer.write({
      name: "logits",
      dtype: "F64",
      sample,
      step,
      shape: [tokens, 2],
      bytes: new Uint8Array(shown.buffer),
    });
  }
  writer.close();
  return path;
}

/** One prompt of each list of losses. */
function prompts(samples: readonly (readonly Loss[])[]): readonly Rows[] {
  return samples.map((losses, sample) => ({ sample, step: 0, losses }));
}

async function compareRows(
  rows: readonly Rows[],
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  const right = rows.map((one) => ({ ...one, losses: one.losses.map(() => 0) }));
  return compareDumps({
    reference: write("a", "F32", right),
    candidate: write("b", "BF16", rows),
    ...options,
  });
}

const compare = async (
  samples: readonly (readonly Loss[])[],
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> => compareRows(prompts(samples), options);

function found(result: ComparisonResult, rule: string): readonly Finding[] {
  return result.findings.filter((one) => one.rule === rule);
}

/** Eight samples of one prediction: mean `mean`, and a standard error of `mean / z`. */
function losses(mean: number, z: number): readonly (readonly Loss[])[] {
  // ±s about the mean, half and half: SE² = G/(G−1) · G s² / G², s = SE · √(G−1).
  const spread = (mean / z) * Math.sqrt(7);
  return Array.from({ length: 8 }, (_, index) => [mean + (index % 2 === 0 ? spread : -spread)]);
}

describe("the loss", () => {
  test.each([
    [0.0139, 3.3, "error", 3],
    [0.0076, 2.5, "warning", 2],
  ] as const)("of %f nats at z = %f is an %s", async (mean, z, level, limit) => {
    const result = await compare(losses(mean, z));
    const [finding, ...others] = found(result, "quality/nll");
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ level, limit, limitFrom: "method" });
    expect(finding?.value).toBeCloseTo(z, 6);
    expect(finding?.detail["deltaNll"]).toBeCloseTo(mean, 9);
    expect(result.verdict).toBe(level === "error" ? "fail" : "pass");
  });

  test.each([
    ["beyond chance but too small to matter", 0.0045, 2.5],
    ["far beyond chance but too small to matter", 0.0045, 40],
    ["large but within chance", 0.03, 1.9],
    ["better", -0.03, 5],
  ])("%s: nothing", async (_name, mean, z) => {
    expect(found(await compare(losses(mean, z)), "quality/nll")).toEqual([]);
  });
});

describe("a limit on perplexity by interval", () => {
  // t(7) = 2.3646, so that the interval is 0.0045 ± 0.00426 nats; too small for the built-in rule.
  const samples = losses(0.0045, 2.5);

  test.each([
    [0.009, "pass", undefined],
    [0.006, "inconclusive", "warning"],
    [0.003, "inconclusive", "warning"],
    [0.0002, "fail", "error"],
  ] as const)("at %f: %s", async (maxPplIncrease, verdict, level) => {
    const result = await compare(samples, { limits: { maxPplIncrease } });
    expect(result.verdict).toBe(verdict);
    expect(found(result, "limit/ppl-increase")[0]?.level).toBe(level);
    expect(result.rules.find(({ rule }) => rule === "limit/ppl-increase")?.decide).toBe("interval");
  });

  test.each([0.006, 0.003])(
    "as many tokens as it asks for decide %f, fewer do not",
    async (limit) => {
      const options = { limits: { maxPplIncrease: limit } };
      const copies = (count: number): readonly (readonly Loss[])[] =>
        Array.from({ length: count }, () => samples).flat();
      const [finding] = found(await compare(samples, options), "limit/ppl-increase");
      const needed = finding?.detail["tokensNeeded"] as number;
      expect(needed).toBeGreaterThan(samples.length);
      const enough = Math.ceil(needed / samples.length);
      expect((await compare(copies(enough), options)).verdict).not.toBe("inconclusive");
      expect((await compare(copies(enough - 1), options)).verdict).toBe("inconclusive");
    },
  );

  test("by point, on request and below six samples, and marked as such", async () => {
    for (const [given, decide] of [
      [samples, "point"],
      [samples.slice(0, 5), "interval"],
    ] as const) {
      const result = await compare(given, { limits: { maxPplIncrease: 0.05 }, decide });
      const applied = result.rules.find(({ rule }) => rule === "limit/ppl-increase");
      expect(applied?.decide).toBe("point");
      expect(renderMarkdown(result, { lang: "en" })).toContain("+5.0 % (point value)");
      expect(renderMarkdown(result, { lang: "zh" })).toContain("(点值)");
    }
    const broken = await compare(samples, { limits: { maxPplIncrease: 0.003 }, decide: "point" });
    expect(found(broken, "limit/ppl-increase")[0]).toMatchObject({
      level: "error",
      detail: { decide: "point" },
    });
    const options = { lang: "en", style: PLAIN, ascii: false, columns: 100 } as const;
    expect(renderText(broken, options)).toContain("limit +0.30 % (point value)");
  });
});

test("as many samples as it asks for decide a share, one fewer does not", async () => {
  // The last row of every sample agrees: 8 of 8, Wilson from 0.676.
  const samples = losses(0.0045, 2.5);
  const options = { limits: { minFirstToken: 0.9 } };
  const result = await compare(samples, options);
  expect(result.verdict).toBe("inconclusive");
  const needed = found(result, "limit/first-token")[0]?.detail["samplesNeeded"] as number;
  const of = (count: number): readonly (readonly Loss[])[] =>
    Array.from({ length: count }, (_, index) => samples[index % 8] ?? []);
  expect((await compare(of(needed), options)).verdict).toBe("pass");
  expect((await compare(of(needed - 1), options)).verdict).toBe("inconclusive");
});

describe("a limit holds for the decode steps, too", () => {
  /** Prompts that are right, and decode steps whose loss rises. */
  const rows = losses(0.0076, 2.5).flatMap(([loss = 0], sample): readonly Rows[] => [
    { sample, step: 0, losses: [0, 0] },
    ...[1, 2, 3].map((step) => ({ sample, step, losses: [loss] })),
  ]);

  test.each([
    [0.05, "pass"],
    [0.01, "inconclusive"],
    [0.0004, "fail"],
  ] as const)("perplexity at %f: %s", async (maxPplIncrease, verdict) => {
    const result = await compareRows(rows, { limits: { maxPplIncrease } });
    expect(result.verdict).toBe(verdict);
    expect(result.groups.map(({ step, verdict: ofGroup }) => [step, ofGroup])).toEqual([
      ["prefill", "pass"],
      ["decode", verdict],
    ]);
    expect(found(result, "limit/ppl-increase").map(({ step }) => step)).toEqual(
      verdict === "pass" ? [] : ["decode"],
    );
    const held = result.rules.filter(({ rule }) => rule === "limit/ppl-increase");
    expect(held.map(({ step, decide }) => [step, decide])).toEqual([
      [null, "interval"],
      ["decode", "interval"],
    ]);
  });

  test("reports say which of the two breaks it", async () => {
    const result = await compareRows(rows, { limits: { maxKl: 1e-6 } });
    const table = renderMarkdown(result, { lang: "en" }).split("\n");
    const outcome = (start: string): string | undefined =>
      table.find((line) => line.startsWith(start));
    expect(outcome("| limit/kl |")).toContain("holds");
    expect(outcome("| limit/kl (decode) |")).toContain("broken");
    const text = renderText(result, { lang: "en", style: PLAIN, ascii: false, columns: 100 });
    expect(text).toMatch(/KL.*\(?.*limit.*pass/);
    expect(text).toMatch(/FAIL {2}decode: /);
  });
});
