/** The report as one page: what it says, what it may do, and what it must not. */

import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { EnvironmentDifference } from "../../src/core/inputs.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderHtml } from "../../src/report/html/page.ts";
import { type Page, readPage } from "./page.ts";
import {
  comparison,
  EVIL,
  FAIL_BY_KEYWORDS,
  FAIL_BY_LAYER,
  FAIL_BY_QUALITY,
  FAIL_BY_STRUCTURE,
  FAIL_WITH_OWN,
  HOSTILE,
  INCONCLUSIVE,
  ISOLATED,
  LARGE,
  NO_FLOOR,
  NON_FINITE,
  STATISTICS,
  tensor,
  WITH_DECODE,
} from "./results.ts";

const COMMAND = "npu-diff compare cpu.arrow npu.arrow --floor floor.arrow";

function page(result: ComparisonResult, lang: "en" | "zh" = "en"): Page {
  return readPage(renderHtml(result, { lang, command: COMMAND }));
}

const RESULTS = {
  pass: comparison(),
  "a failing layer": FAIL_BY_LAYER,
  "failing quality": FAIL_BY_QUALITY,
  "failing structure": FAIL_BY_STRUCTURE,
  "own errors": FAIL_WITH_OWN,
  "lost keywords": FAIL_BY_KEYWORDS,
  inconclusive: INCONCLUSIVE,
  statistics: STATISTICS,
  "no finite numbers": NON_FINITE,
  "no floor": NO_FLOOR,
  "a replay": ISOLATED,
  "decode steps": WITH_DECODE,
  "1,200 tensors": LARGE,
  hostile: HOSTILE,
} as const;

/** Everything that the page may consist of: no frame, object, link or image from elsewhere, no handler. */
const TAGS =
  "a article body button caption code div dd dl dt figcaption figure form g h1 h2 h3 head header html input label li main mark meta nav noscript option output p path rect section select span svg table tbody td text th thead title tr ul";
const ATTRIBUTES =
  "aria-hidden aria-label aria-labelledby autocomplete charset class content d data-count data-dark data-done data-light data-sort hidden height href http-equiv id lang name placeholder role scope spellcheck tabindex text-anchor type value viewBox width x y";

describe.each(Object.entries(RESULTS))("the page of %s", (_name, result) => {
  test.each(["en", "zh"] as const)("is well formed and asks for nothing, in %s", (lang) => {
    const { source, tags, attributes } = page(result, lang);
    expect([...tags].filter((tag) => !TAGS.split(" ").includes(tag))).toEqual([]);
    expect([...attributes].filter((one) => !ATTRIBUTES.split(" ").includes(one))).toEqual([]);
    expect(source.match(/\b(?:https?|ftp|file):/g)).toBeNull();
    expect([...source.matchAll(/href="([^"]*)"/g)].every(([, to]) => to?.startsWith("#"))).toBe(
      true,
    );
  });

  test("is the same each time", () => {
    expect(page(result).source).toBe(page(result).source);
  });

  test("leads with the verdict", () => {
    const heading = /<h1>([^]*?)<\/h1>/.exec(page(result).source)?.[1] ?? "";
    const words = { pass: "PASS", fail: "FAIL", inconclusive: "INCONCLUSIVE" };
    expect(heading).toContain(`</span> ${words[result.verdict]}</span>`);
  });
});

test("nothing runs but its own script and style, by their hashes", () => {
  const { source, style, script } = page(FAIL_BY_LAYER);
  const hash = (text: string): string =>
    `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(source)?.[1];
  expect(policy).toBe(
    `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; img-src data:; base-uri 'none'; form-action 'none'`,
  );
  expect(style.length).toBeGreaterThan(1000);
  expect(script.length).toBeGreaterThan(1000);
});

test("verdict, first faulty module, how bad and what next come before everything else", () => {
  const { text } = page(FAIL_BY_LAYER);
  const shown = text.slice(0, text.indexOf("All tensors"));
  for (const fact of [
    "layer 7 mlp diverges first: 67.2 times the noise floor",
    "412 elements in 11 channels stop at a size of 65504",
    "npu-diff explain cause/saturation",
    "67.2 × floor",
    "12.41 → 13.07",
    "29 / 30",
  ]) {
    expect(shown).toContain(fact);
  }
  expect(text).toContain(COMMAND);
});

test("the language of the words is the language of the page", () => {
  const { source, text } = page(FAIL_BY_LAYER, "zh");
  expect(source).toContain('<html lang="zh-CN">');
  expect(text).toContain("第 7 层 mlp 最先出现偏差");
  expect(text).toContain("最先出错的模块");
});

test("every tensor has a row, and the chart the worst of each layer", () => {
  const { source } = page(FAIL_BY_LAYER);
  const rows = source.slice(source.indexOf('<table id="tensors"')).match(/<tr class=/g);
  expect(rows).toHaveLength(FAIL_BY_LAYER.tensors.length);
  const curve = /<path class="line error" d="([^"]*)"/.exec(source)?.[1] ?? "";
  // embed, 30 layers, norm, logits
  expect(curve.match(/[ML]/g)).toHaveLength(33);
  const heights = [...curve.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
  // The further up the larger: the origin is the largest of all.
  expect(heights.indexOf(Math.min(...heights))).toBe(8);
});

test("what was not measured leaves a gap, and NaN lies above everything", () => {
  const tensors = [1, 2, Number.NaN, 3].map((ratio, layer) =>
    tensor(`layers.${layer}`, layer, ratio),
  );
  const gap = { ...tensor("layers.4", 4, 1), tokenRelL2: null, floor: null, relL2: null };
  const { source } = page(comparison({ tensors: [...tensors, gap, tensor("layers.5", 5, 1)] }));
  const curve = /<path class="line error" d="([^"]*)"/.exec(source)?.[1] ?? "";
  expect(curve.match(/M/g)).toHaveLength(2);
  const heights = [...curve.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
  expect(heights[2]).toBe(Math.min(...heights));
  expect(source).not.toContain('"NaN');
});

describe("a stranger's text", () => {
  const differences: readonly EnvironmentDifference[] = [
    { key: `run.${EVIL}`, reference: '"><img src=x onerror=alert(1)>', candidate: { a: EVIL } },
  ];
  const hostile = {
    ...FAIL_BY_KEYWORDS,
    ...HOSTILE,
    quality: FAIL_BY_KEYWORDS.quality,
    environment: { differences },
    tensors: [...HOSTILE.tensors, tensor("x".repeat(10_240), null, 2), tensor("'\"&<>`", 3, 1)],
  } satisfies ComparisonResult;

  test("stays text", () => {
    const { text, source } = page(hostile);
    expect(text).toContain("<script>alert(1)</script>");
    expect(text).toContain('"><img src=x onerror=alert(1)>');
    expect(text).toContain("'\"&<>`");
    expect(source.match(/<script/g)).toHaveLength(1);
  });

  test("shows what cannot be seen, and is cut where it is long", () => {
    const { text } = page(hostile);
    // Control characters, escape sequences and bidirectional overrides.
    expect(text.match(/[\p{Cc}\p{Cf}]/gu)?.every((one) => one === "\n")).toBe(true);
    expect(text).toContain("\\x1b[31mred");
    expect(text).toContain("\\u202eevil");
    expect(text).not.toContain("x".repeat(100));
  });
});

test("1,200 tensors make less than 500 KB", () => {
  expect(LARGE.tensors).toHaveLength(1200);
  expect(Buffer.byteLength(page(LARGE).source)).toBeLessThan(500_000);
});

test("without a command nothing is said of one", () => {
  const { text } = readPage(renderHtml(comparison(), { lang: "en", command: null }));
  expect(text).not.toContain("Repeat this comparison");
});
