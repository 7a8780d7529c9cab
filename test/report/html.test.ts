/** The report as one page: what it says, what it may do, and what it must not. */

import { createHash } from "node:crypto";
import { crc32, inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { EnvironmentDifference } from "../../src/core/inputs.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderHtml } from "../../src/report/html/page.ts";
import { type Page, readPage, unexpected } from "./page.ts";
import {
  RESULTS as ALL,
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
  withTokens,
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
  performance: ALL["pass with performance"],
  "performance of one side": ALL["fail with performance"],
  "1,200 tensors": withTokens(LARGE, { tokens: 512 }),
  "single tokens": withTokens(FAIL_BY_LAYER, { tokens: 61 }),
  "single tokens without a floor": withTokens(NO_FLOOR, { tokens: 61 }),
  "single tokens that are no numbers": withTokens(NON_FINITE, { tokens: 61 }),
  hostile: withTokens(HOSTILE, { tokens: 8, text: EVIL }),
} as const;

describe.each(Object.entries(RESULTS))("the page of %s", (_name, result) => {
  test.each(["en", "zh"] as const)("is well formed and asks for nothing, in %s", (lang) => {
    const read = page(result, lang);
    expect(unexpected(read)).toEqual([]);
    expect(read.source.match(/\b(?:https?|ftp|file):/g)).toBeNull();
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
  const rows = source.slice(source.indexOf('<table class="tensors"')).match(/<tr class=/g);
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

test("1,200 tensors of 512 tokens make less than 500 KB", () => {
  expect(LARGE.tensors).toHaveLength(1200);
  const { source } = page(withTokens(LARGE, { tokens: 512 }));
  expect(source).toContain("Every tensor at every token of prompt 3: 512 tokens, 1200 tensors.");
  expect(Buffer.byteLength(source)).toBeLessThan(500_000);
});

describe("the picture of layers by tokens", () => {
  /** Indexes of its cells and the colours that they have, as zlib and the PNG standard read them. */
  function picture(source: string): { readonly rows: Uint8Array[]; readonly palette: Uint8Array } {
    const [, , url = ""] =
      /<image href="data:[^"]*"[^]*?<image href="(data:image\/png;base64,([^"]*))"/.exec(source) ??
      [];
    const png = Buffer.from(url, "base64");
    expect(png.subarray(1, 4).toString()).toBe("PNG");
    const chunks = new Map<string, Buffer>();
    for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
      const size = png.readUInt32BE(at);
      const body = png.subarray(at + 4, at + 8 + size);
      expect(crc32(body)).toBe(png.readUInt32BE(at + 8 + size));
      chunks.set(body.subarray(0, 4).toString(), body.subarray(4));
    }
    const width = chunks.get("IHDR")?.readUInt32BE(0) ?? 0;
    const lines = inflateSync(chunks.get("IDAT") ?? "");
    const rows: Uint8Array[] = [];
    for (let at = 0; at < lines.length; at += width + 1)
      rows.push(lines.subarray(at + 1, at + 1 + width));
    return { rows, palette: chunks.get("PLTE") ?? Buffer.alloc(0) };
  }

  test("has a row for each tensor, and shades by decades of the floor", () => {
    const result = withTokens(FAIL_BY_LAYER, { tokens: 60 });
    const { source } = page(result);
    const { rows } = picture(source);
    expect(rows).toHaveLength(93);
    // 0.98 × 0.5 … 67.2 × 1.48 times the floor: decades from 0.1 to 100.
    const shade = (times: number): number => Math.round(((Math.log10(times) + 1) / 3) * 239);
    const origin = result.tensors.findIndex(({ role }) => role === "origin");
    expect(rows[origin]?.[0]).toBe(shade(67.2 * 0.5));
    expect(rows[origin]?.[30]).toBe(shade(67.2));
    expect(rows[1]?.[30]).toBe(shade(0.98 + 0.02));
    expect(source).toContain('aria-label="Colour scale from 0.10 to 100 × floor"');
  });

  test("is dark to bright, and what is no number has a colour of its own", () => {
    const base = withTokens(FAIL_BY_LAYER, { tokens: 4 });
    const errors = base.details?.tokenErrors;
    if (errors == null) throw new Error("no tokens");
    const rows = errors.rows.map((row, i) =>
      i === 0 ? { ...row, relL2: [null, Number.NaN, Number.POSITIVE_INFINITY, 0] } : row,
    );
    const drawn = {
      ...base,
      details: { tokenErrors: { ...errors, rows }, tensors: [], positions: [] },
    };
    const { rows: cells, palette } = picture(page(drawn).source);
    expect([...(cells[0] ?? [])]).toEqual([255, 254, 254, 0]);
    expect([...palette.subarray(0, 3)]).toEqual([0x00, 0x22, 0x4e]);
    expect([...palette.subarray(239 * 3, 240 * 3)]).toEqual([0xfe, 0xe8, 0x38]);
    const lightness = Array.from(
      { length: 240 },
      (_, i) =>
        0.2126 * (palette[3 * i] ?? 0) +
        0.7152 * (palette[3 * i + 1] ?? 0) +
        0.0722 * (palette[3 * i + 2] ?? 0),
    );
    expect(lightness.every((one, i) => i === 0 || one >= (lightness[i - 1] ?? 0) - 0.5)).toBe(true);
  });

  test("names its tokens, whatever they hold", () => {
    const { source, text } = page(withTokens(HOSTILE, { tokens: 8, text: "</script><b>\u202e" }));
    const island = /<script type="application\/json">([^<]*)<\/script>/.exec(source)?.[1] ?? "";
    const { bins } = JSON.parse(island) as { readonly bins: readonly (readonly string[])[] };
    expect(bins[2]).toEqual(["token 2", '"</script><b>\\u202e"']);
    expect(text).toContain('"</script><b>\\u202e"');
  });
});

test("without a command nothing is said of one", () => {
  const { text } = readPage(renderHtml(comparison(), { lang: "en", command: null }));
  expect(text).not.toContain("Repeat this comparison");
});

describe("performance", () => {
  test("has both sides, ratios and sweeps with their units, and why a figure is lacking", () => {
    const { text, source } = page(ALL["pass with performance"]);
    const section = source.slice(source.indexOf('<section id="performance"'));
    const tables = section.slice(0, section.indexOf("</section>")).split("<table").slice(1);
    const rows = tables.map((table) =>
      table
        .slice(0, table.indexOf("</table>"))
        .split("<tr>")
        .slice(1)
        .map((row) =>
          row
            .split(/<t[hd][^>]*>/)
            .slice(1)
            .map((cell) => cell.replaceAll(/<[^>]*>/g, "").trim()),
        ),
    );
    const find = (name: string): readonly string[] | undefined =>
      rows.flat().find(([first]) => first === name);
    expect(find("TTFT, ms ↓")).toEqual([
      ...["TTFT, ms ↓", "1970.0", "1900.5", "2100.3", "52.13", "50.1", "58.75", "0.0265"],
    ]);
    expect(find("Output tok/s ↑")).toEqual(["Output tok/s ↑", "19.49", "351.2", "18"]);
    expect(find("KV cache tokens ↑")?.slice(1)).toEqual([
      ...["not measured: transformers has no such cache", "4453376", "—"],
    ]);
    // Sweeps by batch and by output: a row for each point.
    const sweeps = rows.filter(([head]) => head?.[0] === "Batch");
    expect(sweeps.map(({ length }) => length - 1)).toEqual([3, 1]);
    expect(text).toContain("18 answered");
  });

  test("is no section where nothing was measured", () => {
    expect(page(FAIL_BY_LAYER).source).not.toContain('id="performance"');
  });
});
