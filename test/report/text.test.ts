import { describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { PLAIN, type Style } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";
import { renderText } from "../../src/report/text.ts";
import { comparison, EVIL, HOSTILE, RESULTS, tensor } from "./results.ts";

const CASES = Object.entries<ComparisonResult>(RESULTS);

const VARIANTS = {
  "en-80": { lang: "en", ascii: false, columns: 80, style: PLAIN },
  "zh-80": { lang: "zh", ascii: false, columns: 80, style: PLAIN },
  "en-60-ascii": { lang: "en", ascii: true, columns: 60, style: PLAIN },
} as const;

const EN = VARIANTS["en-80"];

/** Marks instead of colours, so that a test can see them. */
const MARKED: Style = {
  bold: (text) => `[bold]${text}[/]`,
  dim: (text) => `[dim]${text}[/]`,
  red: (text) => `[red]${text}[/]`,
  green: (text) => `[green]${text}[/]`,
  yellow: (text) => `[yellow]${text}[/]`,
};

describe.each(Object.entries(VARIANTS))("%s", (variant, options) => {
  test.each(CASES)("%s", async (name, result) => {
    const text = renderText(result, options);
    await expect(text).toMatchFileSnapshot(`snapshots/${name.replaceAll(" ", "-")}.${variant}.txt`);
  });

  // A single word of a stranger may be longer than a line, and so may a command, which is copied: neither is broken.
  test.each(CASES.filter(([name]) => name !== "hostile"))("%s fits", (_name, result) => {
    const lines = renderText(result, options).split("\n");
    const broken = lines.filter((line) => !/^ *(next|下一步)[:：]/.test(line));
    expect(broken.filter((line) => width(line) > options.columns)).toEqual([]);
  });

  test.each(CASES)("%s ends with one newline and has no trailing spaces", (_name, result) => {
    const text = renderText(result, options);
    expect(text).toMatch(/[^\s]\n$/);
    expect(text).not.toMatch(/[ \t]\n/);
  });
});

test("--ascii leaves no other character where names have none", () => {
  // Continuations keep their own characters as well.
  const results = CASES.filter(([name]) => name !== "hostile" && name !== "fail by keywords");
  for (const [, result] of results) {
    expect(renderText(result, VARIANTS["en-60-ascii"])).toMatch(/^[\u0000-\u007f]*$/);
  }
});

test("a pass is two lines", () => {
  for (const name of ["pass", "pass by prior", "pass without logits"] as const) {
    expect(renderText(RESULTS[name], EN).trimEnd().split("\n")).toHaveLength(2);
  }
});

test("names cannot act on the terminal", () => {
  const text = renderText(HOSTILE, EN);
  expect(EVIL).toMatch(/[\u001b\u202e]/u);
  expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test("the origin is bold, what follows dim, and the verdict has its colour", () => {
  const lines = renderText(RESULTS["fail by layer"], { ...EN, style: MARKED }).split("\n");
  expect(lines.find((line) => line.includes("> "))).toMatch(/^\[bold\] {2}>.*origin\[\/\]$/);
  expect(lines.filter((line) => line.includes("inherited")).length).toBeGreaterThan(0);
  for (const line of lines.filter((one) => one.includes("inherited"))) {
    expect(line).toMatch(/^\[dim\].*\[\/\]$/);
  }
  expect(lines.find((line) => line.includes("diverges first"))).toMatch(/^\[bold\]\[red\]FAIL/);
});

test("the curve and the floor share one scale", () => {
  const lines = renderText(RESULTS["fail by layer"], EN).split("\n");
  const [error = "", floor = ""] = lines.filter((line) => /[▁-█]/u.test(line));
  // Before the origin the two are alike; behind it the error is at the top, the floor is not.
  expect(error).toContain("█");
  expect(floor).not.toContain("█");
});

test("a row shows the worst figures of what it folds", () => {
  const tensors = [
    tensor("layers.0", 0, 1, { cosine: 0.5, relL2: 0.25, maxAbs: 1 }),
    tensor("layers.1", 1, 1.2, { cosine: 0.75, relL2: 0.125, maxAbs: 8 }),
  ];
  const text = renderText(comparison({ verdict: "inconclusive", tensors }), EN);
  expect(text).toMatch(/0-1 {2}2 tensors {2}0\.500000 {2}2\.5e-1 {3}8\.0e\+0 {5}1\.20 {2}pass/);
});

test("a value that rounds to its limit shows which of the two is larger", () => {
  expect(renderText(HOSTILE, EN)).toContain("1.5004 times the noise floor, limit 1.5");
});

test("names that are too long keep what tells them apart", () => {
  const prefix = "model.decoder.blocks.attention.projection.";
  const tensors = ["query", "keys"].map((end, i) =>
    tensor(prefix + end, null, 9, { verdict: "fail", role: i === 0 ? "origin" : "inherited" }),
  );
  const lines = renderText(comparison({ verdict: "fail", tensors }), EN).split("\n");
  expect(lines.filter((line) => line.includes("query"))).toHaveLength(1);
  expect(lines.filter((line) => line.includes("keys"))).toHaveLength(1);
});

test("a table of many different rows is cut and says so", () => {
  const tensors = Array.from({ length: 200 }, (_, layer) =>
    tensor(`layers.${layer}`, layer, 2, { verdict: layer % 2 === 0 ? "pass" : "fail" }),
  );
  const text = renderText(comparison({ verdict: "fail", tensors }), EN);
  expect(text).toContain("176 more rows, all in --format json");
  expect(text.split("\n").length).toBeLessThan(60);
});
