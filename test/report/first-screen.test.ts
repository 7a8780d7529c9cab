/** What a reader sees without scrolling: the verdict, where it begins, how bad it is, and what to do next. */

import { expect, test } from "vitest";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { PLAIN } from "../../src/report/style.ts";
import { renderText } from "../../src/report/text.ts";
import { RESULTS } from "./results.ts";

const IN_DEPTH = "npu-diff inspect cpu.arrow npu.arrow --tensor";

/** Each result with its verdict, its origin, its size and its next step, as a person would tell them. */
const TOLD = [
  ["pass", ["PASS", "layer 1 output", "1.10 times the noise floor"]],
  [
    "fail by layer",
    ["FAIL", "layer 7 mlp", "67.2 times the noise floor", "npu-diff explain cause/saturation"],
  ],
  ["fail by quality", ["FAIL", "the layers hold", "0.0518 nats", "npu-diff explain quality/nll"]],
  [
    "fail by structure",
    ["FAIL", "layer 2 attn", "[61, 576]", "[61, 288]", "npu-diff explain structure/shape"],
  ],
  ["inconclusive", ["INCONCLUSIVE", "+0.08 %", "npu-diff explain limit/ppl-increase"]],
  ["not finite", ["FAIL", "layer 12 attn", "61 positions", `${IN_DEPTH} layers.12.attn`]],
  // Without a floor the prior is what an error is held to.
  ["no floor", ["FAIL", "layer 7 mlp", "1.4e-1", "1.2e-2", `${IN_DEPTH} layers.7.mlp`]],
  ["large", ["FAIL", "layer 123 mlp", "67.2 times the noise floor", `${IN_DEPTH} layers.123.mlp`]],
] as const;

/** The text with its line breaks as blanks: a sentence may go on in the next line. */
function firstLines(text: string, count: number): string {
  return text.split("\n").slice(0, count).join(" ").replaceAll(/\s+/g, " ");
}

test.each(TOLD)("the first 12 lines of the text: %s", (name, told) => {
  for (const columns of [80, 60]) {
    const text = renderText(RESULTS[name], { lang: "en", style: PLAIN, ascii: false, columns });
    expect(text.startsWith(`${told[0]}  `)).toBe(true);
    const first = firstLines(text, 12);
    for (const part of told) expect(first).toContain(part);
    const last = text.trimEnd().split("\n\n").at(-1) ?? "";
    for (const part of told) expect(firstLines(last, 99)).toContain(part);
  }
});

test.each(TOLD)("the first 25 lines of the Markdown: %s", (name, told) => {
  const text = renderMarkdown(RESULTS[name], { lang: "en" });
  expect(text).toMatch(new RegExp(`^### .*: ${told[0]}\n`));
  const first = firstLines(text, 25).replaceAll("\\", "");
  for (const part of told) expect(first).toContain(part);
  // Before any table.
  const before = firstLines(text.slice(0, text.indexOf("\n| ")), 25).replaceAll("\\", "");
  for (const part of told) expect(before).toContain(part);
});
