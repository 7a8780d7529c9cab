/** The model card as the library of another author renders it, and what it says of method and environment. */

import { join } from "node:path";
import { expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { readReports } from "../support/read-reports.ts";
import { scratch } from "../support/scratch.ts";
import { RESULTS } from "./results.ts";

const { folder } = scratch();

const COMMAND = "npu-diff compare cpu.arrow '<!-- npu-diff:end -->```.arrow'";
const PASS = withRuns(
  {
    model: {
      id: "org/tiny",
      architecture: "LlamaForCausalLM",
      layers: 30,
      heads: 9,
      kv_heads: 3,
      vocab_size: 49152,
      parameters: 134515008,
      hidden_size: 576,
    },
    device: { type: "cpu", name: "AMD EPYC" },
    dtype: "F32",
    engine: { name: "transformers", version: "4.57.6" },
    versions: { torch: "2.9.0", python: "3.11" },
  },
  {
    model: { id: "org/tiny", layers: 30, vocab_size: 49153 },
    device: { type: "npu", name: "Ascend910B2", soc: "Ascend910_9391", memory_bytes: 64e9 },
    dtype: "BF16",
    engine: { name: "vllm", version: "0.18.0", graph: true },
    versions: { torch: "2.9.0", torch_npu: "2.9.0.post1", nested: { no: "cell" } },
  },
);

function withRuns(
  reference: Readonly<Record<string, unknown>>,
  candidate: Readonly<Record<string, unknown>>,
): ComparisonResult {
  const result = RESULTS.pass;
  const { inputs } = result;
  return {
    ...result,
    inputs: {
      ...inputs,
      reference: { ...inputs.reference, run: reference },
      candidate: { ...inputs.candidate, run: candidate },
    },
  };
}

const readings = readReports(join(folder, "cards"), {
  "en.md": renderMarkdown(PASS, { lang: "en", command: COMMAND }),
  "zh.md": renderMarkdown(PASS, { lang: "zh", command: COMMAND }),
});

/** Cells of each row of each table of rendered Markdown. */
function tablesOf(html: string): readonly (readonly (readonly string[])[])[] {
  return [...html.matchAll(/<table>(.*?)<\/table>/gs)].map(([, table = ""]) =>
    [...table.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = ""]) =>
      [...row.matchAll(/<t[hd]>(.*?)<\/t[hd]>/gs)].map(([, cell = ""]) => cell),
    ),
  );
}

test.each(["en", "zh"])("what is folded is rendered: a table in each (%s)", (lang) => {
  const html = readings[`${lang}.md`]?.html ?? "";
  const folds = [...html.matchAll(/<details>(.*?)<\/details>/gs)].map(([, fold = ""]) => fold);
  const rows = folds.map((fold) => tablesOf(fold).map((table) => table.length - 1));
  const layers = PASS.tensors.filter(({ name }) => /^(?:embed|norm|layers\.\d+)$/.test(name));
  expect(rows).toEqual([[layers.length], [PASS.rules.length]]);
  expect(tablesOf(html)).toHaveLength(7);
});

test("the environment holds what was recorded, and nothing else", () => {
  const [, , , model = [], sides = []] = tablesOf(readings["en.md"]?.html ?? "");
  expect(model).toEqual([
    ["Model", "reference", "candidate"],
    ["Model", "org/tiny", "org/tiny"],
    ["Architecture", "LlamaForCausalLM", "—"],
    ["Parameters", "134515008", "—"],
    ["Layers", "30", "30"],
    ["Hidden size", "576", "—"],
    ["Attention heads", "9", "—"],
    ["KV heads", "3", "—"],
    ["Vocabulary", "49152", "49153"],
  ]);
  expect(sides).toEqual([
    ["Item", "reference", "candidate"],
    ["File", PASS.inputs.reference.file, PASS.inputs.candidate.file],
    ["Device type", "cpu", "npu"],
    ["Device", "AMD EPYC", "Ascend910B2"],
    ["SoC", "—", "Ascend910_9391"],
    ["Device memory", "—", "64.0 GB"],
    ["Precision", "F32", "BF16"],
    ["Engine", "transformers", "vllm"],
    ["Engine version", "4.57.6", "0.18.0"],
    ["Graph mode", "—", "yes"],
    ["python", "3.11", "—"],
    ["torch", "2.9.0", "2.9.0"],
    ["torch_npu", "—", "2.9.0.post1"],
  ]);
});

test("the noise of the format is that of its formula, at the model's depth", () => {
  const [, , , , , format = [], noise = []] = tablesOf(readings["en.md"]?.html ?? "");
  expect(format.flat().join(" ")).toContain("1 sign, 8 exponent, 7 mantissa");
  expect(noise.map(([tensor]) => tensor)).toEqual([
    "Tensor",
    "embed",
    "layers.0",
    "layers.29",
    "layers.29.attn",
    "layers.29.mlp",
    "norm",
    "logits",
  ]);
  const gm = PASS.tensors.find(({ name }) => name === "layers.29")?.tokenRelL2?.gm ?? Number.NaN;
  const [, expected, allowed, measured] = noise[3] ?? [];
  expect(Number(measured) / gm).toBeCloseTo(1, 1);
  expect(Number(allowed) / Number(expected)).toBeCloseTo(2, 0);
});

test("without a format or a depth that is known there is no theory", () => {
  const unknown = renderMarkdown(withRuns({ dtype: "F32" }, { dtype: "I8" }), { lang: "en" });
  expect(unknown).not.toContain("Number format");
  const depthless = renderMarkdown(withRuns({ dtype: "BF16" }, { dtype: "BF16" }), { lang: "en" });
  expect(depthless).toContain("do not say how many layers");
  expect(depthless).not.toContain("| Expected |");
});

test("the method says what decided and what was not measured", () => {
  const method = (name: keyof typeof RESULTS): string =>
    renderMarkdown(RESULTS[name], { lang: "en" }).split("#### Method\n")[1] ?? "";
  expect(method("pass")).toContain("over the noise floor");
  expect(method("pass")).toContain("floor.arrow");
  expect(method("no floor")).toContain("no noise floor was given");
  expect(method("fail with own errors")).toContain("each module makes by itself");
  expect(method("pass")).toMatch(/nothing is said of it: .*generated texts/);
  expect(method("pass with texts")).not.toMatch(/nothing is said of it: .*generated texts/);
  expect(method("with decode")).toContain("forced to the same tokens");
});

test("the command is the shell's, on one line, and ends neither its block nor the section", () => {
  const html = readings["en.md"]?.html ?? "";
  const block = /<pre><code class="language-sh">(.*?)\n<\/code><\/pre>\s*$/s.exec(html)?.[1] ?? "";
  expect(block).toContain("npu-diff compare cpu.arrow");
  expect(block).not.toContain("\n");
  const text = renderMarkdown(PASS, { lang: "en", command: COMMAND });
  expect(text).not.toContain("<!--");
  expect(text).toContain("'<!''-- npu-diff:end -->```.arrow'");
});
