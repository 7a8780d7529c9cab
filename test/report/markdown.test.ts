import { expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { HOSTILE, RESULTS } from "./results.ts";

const CASES = Object.entries<ComparisonResult>(RESULTS).filter(([name]) => name !== "large");

test.each(
  CASES.flatMap(([name, result]) =>
    (["en", "zh"] as const).map((lang) => [name, lang, result] as const),
  ),
)("%s in %s", async (name, lang, result) => {
  const text = renderMarkdown(result, { lang });
  await expect(text).toMatchFileSnapshot(`snapshots/${name.replaceAll(" ", "-")}.${lang}.md`);
});

/** Cells of a row, as GitHub's tables split them. */
function cells(line: string): readonly string[] {
  return line.slice(1, -1).split(/(?<!\\)(?:\\\\)*\|/);
}

test.each(CASES)("every row of a table has the cells of its head: %s", (_name, result) => {
  const tables = renderMarkdown(result, { lang: "en" })
    .split("\n\n")
    .filter((block) => block.startsWith("|"));
  expect(tables).toHaveLength(result.quality.generation === null ? 2 : 3);
  for (const table of tables) {
    const counts = table
      .trim()
      .split("\n")
      .map((line) => cells(line).length);
    expect(new Set(counts).size).toBe(1);
    // Of continuations, keywords have a column where some are expected.
    const columns = result.quality.generation?.keywords == null ? 6 : 7;
    expect(counts[0]).toBe(table.includes("Prompt |") ? columns : 4);
  }
});

test("names open no markup, no HTML and mention nobody", () => {
  const text = renderMarkdown(HOSTILE, { lang: "en" });
  expect(text).not.toMatch(/<|@/);
  expect(text).not.toMatch(/(?<!\\)`/);
  expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test("a cell without a measurement says why", () => {
  const [, table = ""] = renderMarkdown(RESULTS["pass without logits"], { lang: "en" }).split(
    "\n\n",
  );
  const figures = table.split("\n").slice(2);
  expect(figures).toHaveLength(8);
  for (const line of figures) expect(line).toContain("not measured: no logits");
});
