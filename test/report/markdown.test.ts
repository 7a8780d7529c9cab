import { expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { TensorResult } from "../../src/core/tensor-result.ts";
import { lensSections } from "../../src/report/lens/markdown.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { MESSAGES } from "../../src/report/messages/index.ts";
import { performanceSections } from "../../src/report/performance/markdown.ts";
import { ruleRows } from "../../src/report/rule-rows.ts";
import { FAIL_BY_LAYER, HOSTILE, RESULTS } from "./results.ts";

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
  const steps = new Set(layerOutputs(result).map(({ step }) => step));
  const ofPerformance = new Set(
    performanceSections(result.performance, "en").map((lines) => lines.join("\n")),
  );
  const lens = lensSections(result.lens, "en").map((lines) => lines.join("\n"));
  const others = tables
    .filter((table) => !ofPerformance.has(table.trim()))
    .filter((table) => !lens.includes(table.trim()));
  // Figures, limits, the model, the environment, the number format and its noise; of many
  // limits those that decide stand by themselves.
  const limits = others.filter((table) => table.startsWith("| Rule |")).length;
  const outcomes = new Set(
    ruleRows(result, MESSAGES.en).map(({ outcome }) => /broken|undecided/.test(outcome)),
  );
  expect(limits).toBe(result.rules.length > 8 ? outcomes.size : 1);
  const rest = others.length - limits;
  expect(rest).toBe((result.quality.generation === null ? 5 : 6) + steps.size);
  for (const table of tables) {
    const counts = table
      .trim()
      .split("\n")
      .map((line) => cells(line).length);
    expect(new Set(counts).size).toBe(1);
    if (!others.includes(table)) continue;
    // Of continuations, keywords have a column where some are expected.
    const columns = result.quality.generation?.keywords == null ? 6 : 7;
    const [, head = ""] = /^\| (.*?) \|/.exec(table) ?? [];
    const known = {
      Layer: 8,
      Item: table.includes("Captured with") ? 3 : 4,
      Property: 2,
      Model: 2,
    };
    const expected = Object.entries(known).find(([word]) => word === head)?.[1] ?? 4;
    expect(counts[0]).toBe(table.includes("Prompt |") ? columns : expected);
  }
});

/** The residual stream after each layer. */
function layerOutputs({ tensors }: ComparisonResult): readonly TensorResult[] {
  return tensors.filter(({ name, layer }) => layer !== null && name === `layers.${layer}`);
}

test("every layer has a row with its figures, and the verdict on what is in it", () => {
  const result = RESULTS["fail by layer"];
  const text = renderMarkdown(result, { lang: "en" });
  const table = text.split("\n\n").find((block) => block.startsWith("| Layer |")) ?? "";
  const rows = table.trim().split("\n").slice(2);
  const stream = result.tensors.filter(({ name }) => /^(?:embed|norm|layers\.\d+)$/.test(name));
  expect(rows).toHaveLength(stream.length);
  stream.forEach((tensor, i) => {
    const [layer, mean, min, mse, maxAbs, relL2, overFloor, verdict] = cells(rows[i] ?? "");
    expect(layer?.trim()).toBe(String(tensor.layer ?? tensor.name));
    expect(Number(mean)).toBeCloseTo(tensor.tokenCosine?.mean ?? Number.NaN, 6);
    expect(Number(min)).toBeCloseTo(tensor.tokenCosine?.min ?? Number.NaN, 6);
    const close = (cell: string | undefined, value: number | null): void => {
      expect(Number(cell) / (value ?? Number.NaN)).toBeCloseTo(1, 1);
    };
    close(mse, tensor.mse);
    close(maxAbs, tensor.maxAbs);
    close(relL2, tensor.relL2);
    close(overFloor, tensor.floorRatio);
    // The MLP of layer 7 is the origin; the layer's attention passes, and its output inherits.
    const word =
      tensor.layer === 7
        ? "**FAIL, origin**"
        : tensor.verdict === "pass"
          ? "pass"
          : "**FAIL, inherited**";
    expect(verdict?.trim()).toBe(word);
  });
});

test("names open no markup, no HTML and mention nobody", () => {
  const text = renderMarkdown(HOSTILE, { lang: "en" });
  expect(text.replaceAll(/^<\/?details>$|^<summary>[^<>]*<\/summary>$/gm, "")).not.toMatch(/<|@/);
  // The next command is code where nothing in it could end the code.
  expect(text.replace(/^- next: `[\w ./*:=,+-]+`$/m, "")).not.toMatch(/(?<!\\)`/);
  expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test("a cell without a measurement says why", () => {
  const blocks = renderMarkdown(RESULTS["pass without logits"], { lang: "en" }).split("\n\n");
  const table = blocks.find((block) => block.startsWith("| Item |")) ?? "";
  const figures = table.split("\n").slice(2);
  expect(figures).toHaveLength(8);
  for (const line of figures) expect(line).toContain("not measured: no logits");
});

test("what is broken or stays open stands before the fold, whose title counts the rest", () => {
  for (const [, result] of CASES) {
    const text = renderMarkdown(result, { lang: "en" });
    const [open = "", folded] = text.split("<summary>All other limits (");
    const marked = text.match(/\| (?:\*\*broken\*\*|undecided) \|/g)?.length ?? 0;
    if (folded === undefined) continue;
    expect(open.match(/\| (?:\*\*broken\*\*|undecided) \|/g)).toHaveLength(marked);
    expect(Number.parseInt(folded, 10)).toBe(result.rules.length - marked);
  }
  const failing = renderMarkdown(FAIL_BY_LAYER, { lang: "zh" });
  const layers = layerOutputs(FAIL_BY_LAYER).filter(({ verdict }) => verdict === "fail").length;
  expect(failing).toContain(`（32 行，${String(layers + 1)} 行不通过）`);
});
