/** The page of a check: what it says of its pairs, what it may do, and how large it becomes. */

import { describe, expect, test } from "vitest";
import { type CheckResult, type PairOutcome, worstOf } from "../../src/core/check-result.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderCheckHtml } from "../../src/report/check/html.ts";
import { HOSTILE_TEXTS } from "./hostile.ts";
import { type Page, readPage, unexpected } from "./page.ts";
import {
  comparison,
  EVIL,
  FAIL_BY_LAYER,
  FAIL_WITH_OWN,
  HOSTILE,
  INCONCLUSIVE,
  LARGE,
  withTokens,
} from "./results.ts";

function pairOf(name: string, result: ComparisonResult): PairOutcome {
  return { name, verdict: result.verdict, result, error: null };
}

function gone(name: string, text: string): PairOutcome {
  const facts = [{ label: text, text }];
  const error = { code: "file-not-found" as const, what: text, facts, help: text };
  return { name, verdict: "error", result: null, error };
}

function checkOf(pairs: readonly PairOutcome[]): CheckResult {
  return {
    schemaVersion: 1,
    verdict: worstOf(pairs.map(({ verdict }) => verdict)),
    config: "npu-diff.jsonc",
    baseline: { file: "npu-diff.baseline.json", state: "compared" },
    pairs,
  };
}

function page(check: CheckResult, lang: "en" | "zh" = "en"): Page {
  const commandOf = (pair: string | null): string => `npu-diff check ${pair ?? ""}`.trimEnd();
  return readPage(renderCheckHtml(check, { lang, commandOf }));
}

const CHECK = checkOf([
  pairOf("good", comparison()),
  pairOf("bad", withTokens(FAIL_BY_LAYER, { tokens: 61 })),
  pairOf("own", withTokens(FAIL_WITH_OWN, { tokens: 8 })),
  pairOf("open", INCONCLUSIVE),
  gone("gone", "cpu.arrow does not exist"),
]);

/** The reports that the page holds, by the names in their headings. */
function folds(source: string): ReadonlyMap<string, string> {
  return new Map(
    source
      .split('<details class="pair"')
      .slice(1)
      .map((fold) => [/<h2>([^ <]*)/.exec(fold)?.[1] ?? "", fold]),
  );
}

/** The cells of a row of the first table. */
function rowOf(source: string, name: string): readonly string[] {
  const rows = source.slice(0, source.indexOf("</table>")).split("<tr>").slice(2);
  const row = rows.find((one) => one.includes(`>${name}<`)) ?? "";
  return row
    .split(/<t[dh][^>]*>/)
    .slice(1)
    .map((cell) => cell.replaceAll(/<[^>]*>/g, "").trim());
}

describe.each(["en", "zh"] as const)("in %s", (lang) => {
  test.each(
    Object.entries({
      "all verdicts": CHECK,
      nothing: checkOf([]),
      hostile: checkOf(
        Object.values({ ...HOSTILE_TEXTS, evil: EVIL }).flatMap((text) => [
          pairOf(text, withTokens(HOSTILE, { tokens: 8, text })),
          gone(text, text),
        ]),
      ),
    }),
  )("the page of %s asks for nothing, and holds nothing of a stranger's", (_name, check) => {
    const read = page(check, lang);
    expect(unexpected(read)).toEqual([]);
    expect(read.text.match(/[\p{Cc}\p{Cf}]/gu)?.every((one) => one === "\n") ?? true).toBe(true);
    const scripts = read.source.match(/<script(?! type="application\/json")/g);
    expect(scripts).toHaveLength(1);
    const ids = [...read.source.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const targets = [...read.source.matchAll(/ href="#([^"]*)"/g)].map(([, id]) => id);
    expect(targets.filter((id) => !ids.includes(id))).toEqual([]);
    // Regions are told apart by their names.
    const regions = [...read.source.matchAll(/role="region" tabindex="0" aria-label="([^"]*)"/g)];
    const names = new Set(check.pairs.map(({ name }) => name));
    if (names.size === check.pairs.length) {
      expect(new Set(regions.map(([, label]) => label)).size).toBe(regions.length);
    }
  });
});

test("the first table has pair, verdict, first faulty module, how bad, and what next", () => {
  const { source, text } = page(CHECK);
  expect(rowOf(source, "bad")).toEqual([
    ...["bad", "▲ FAIL", "layer 7 mlp", "67.2"],
    "npu-diff explain cause/saturation",
  ]);
  expect(rowOf(source, "good").slice(0, 3)).toEqual(["good", "● PASS", "–"]);
  expect(rowOf(source, "open").slice(0, 2)).toEqual(["open", "◆ INCONCLUSIVE"]);
  expect(rowOf(source, "gone")).toEqual([
    ...["gone", "▲ ERROR", "file-not-found", "-", "cpu.arrow does not exist"],
  ]);
  const first = text.slice(0, text.indexOf("layer 7 mlp"));
  expect(first).toContain("5 pairs: 1 could not be compared, 2 failed, 1 inconclusive, 1 passed");
  expect(text).toContain("npu-diff.baseline.json");
});

test("each pair has its whole report, and the worst of them is open, beside what could not be compared", () => {
  const { source } = page(CHECK);
  const found = folds(source);
  expect([...found.keys()]).toEqual(CHECK.pairs.map(({ name }) => name));
  const bad = found.get("bad") ?? "";
  expect(bad.match(/<tr class=/g)).toHaveLength(FAIL_BY_LAYER.tensors.length);
  for (const part of ['class="cells"', 'class="chart"', "npu-diff check bad", "67.2 × floor"]) {
    expect(bad).toContain(part);
  }
  const opened = [...found].filter(([, fold]) => /^[^>]* open>/.test(fold));
  expect(opened.map(([name]) => name)).toEqual(["bad", "gone"]);
  const [only] = folds(page(checkOf([pairOf("good", comparison())])).source).values();
  expect(only).toMatch(/^[^>]* open>/);
});

test("what is not known is not said: no command of a stored result", () => {
  const source = renderCheckHtml(CHECK, { lang: "en", commandOf: () => null });
  expect(source).not.toContain("npu-diff check ");
  expect(source).not.toContain('id="repeat"');
});

describe("with pairs of 1,200 tensors of 512 tokens", () => {
  const large = withTokens(LARGE, { tokens: 512 });
  const many = (count: number): CheckResult =>
    checkOf([
      pairOf("good", comparison()),
      ...Array.from({ length: count }, (_, i) => pairOf(`p${String(i)}`, large)),
    ]);

  test("20 stay below 6.1 MB, each below 500 KB: the first are whole, the others brief", () => {
    const { source } = page(many(20));
    expect(Buffer.byteLength(source)).toBeLessThan(6_100_000);
    const found = [...folds(source)];
    expect(found).toHaveLength(21);
    expect(Math.max(...found.map(([, fold]) => Buffer.byteLength(fold)))).toBeLessThan(500_000);
    const whole = found.filter(([, fold]) => fold.includes('<table class="tensors"'));
    expect(whole.length).toBeGreaterThanOrEqual(8);
    const brief = found.filter(([, fold]) => fold.includes("are left out"));
    expect(whole.length + brief.length).toBe(21);
    // A brief one still says where and how bad, and how to see the rest.
    const [name, last = ""] = brief.at(-1) ?? [];
    for (const part of [
      "layer 123 mlp",
      'class="chart"',
      `npu-diff check ${String(name)} -o report.html`,
    ]) {
      expect(last).toContain(part);
    }
  });

  test("of 300 every pair has its row, and those without a report no link", () => {
    const { source } = page(many(300));
    expect(Buffer.byteLength(source)).toBeLessThan(6_200_000);
    const count = folds(source).size;
    expect(count).toBeLessThan(301);
    expect(source.match(/<a href="#pair-\d+">/g)).toHaveLength(count);
    expect(rowOf(source, "p299").slice(1, 3)).toEqual(["▲ FAIL", "layer 123 mlp"]);
  });
});
