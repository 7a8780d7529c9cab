/** Keywords that a continuation must contain, and prompts that stand in for token ids. */

import { describe, expect, test } from "vitest";
import { PLAIN } from "../../src/report/style.ts";
import { renderText } from "../../src/report/text.ts";
import {
  comparer,
  first,
  generation,
  INPUT,
  type Runs,
  rulesOf,
} from "../support/compare-spoken.ts";
import { type Spoken } from "../support/spoken-run.ts";

const compare = comparer();

describe("keywords", () => {
  const expects = (...keywords: readonly string[]): Runs => ({
    reference: { expect: { "0": keywords } },
  });
  const say = (text: string): readonly Spoken[] => [{ prompt: "p", input: INPUT, ids: [1], text }];

  test("that both hold pass", async () => {
    const result = await compare(say("in Paris"), say("Paris!"), expects("Paris"));
    expect(result.verdict).toBe("pass");
    expect(generation(result).keywords).toEqual({
      keywords: 1,
      reference: 1,
      candidate: 1,
      lost: 0,
      open: 0,
      firstLost: null,
      firstOpen: null,
    });
    expect(result.rules.find(({ rule }) => rule === "quality/keywords")).toMatchObject({
      applied: true,
      limit: 0,
      limitFrom: "flag",
    });
  });

  test("that the candidate lost fail", async () => {
    const result = await compare(say("in Paris"), say("in London"), expects("Paris", "in"));
    expect(result.verdict).toBe("fail");
    expect(result.findings.find(({ rule }) => rule === "quality/keywords")).toMatchObject({
      level: "error",
      value: 1,
      limit: 0,
      sample: 0,
      detail: { keywords: 2 },
    });
    const text = renderText(result, { lang: "en", style: PLAIN, ascii: false, columns: 80 });
    expect(text).toContain("keywords: reference 2 of 2, candidate 1 of 2, 1 lost");
    expect(text).toMatch(/Paris yes\/no/);
  });

  test("that the reference lacks too are not the candidate's fault", async () => {
    const result = await compare(say("London"), say("Rome"), expects("Paris"));
    expect(result.verdict).toBe("pass");
    expect(generation(result).keywords).toMatchObject({ reference: 0, candidate: 0, lost: 0 });
  });

  test.each([
    ["case counts", "paris", "Paris", false],
    ["composed and decomposed are one", "cafe\u0301", "caf\u00e9", true],
    ["CJK", "答案是巴黎。", "巴黎", true],
    ["across a line", "a\nb", "a\nb", true],
    ["a pattern is no pattern", "Paris", "P.*s", false],
    ["nothing", "", "Paris", false],
  ])("are looked for as they are written: %s", async (_name, text, keyword, found) => {
    const result = await compare(say(text), say(text), expects(keyword));
    expect(first(result).keywords[0]?.candidate).toBe(found);
  });

  test("are taken from either side", async () => {
    const result = await compare(say("Paris"), say("Rome"), {
      reference: { expect: { "0": ["Paris"] } },
      candidate: { expect: { "0": ["Rome", "Paris"] } },
    });
    expect(first(result).keywords.map(({ keyword }) => keyword.text)).toEqual(["Paris", "Rome"]);
    expect(generation(result).keywords).toMatchObject({ keywords: 2, lost: 1 });
  });

  const silent: readonly Spoken[] = [{ prompt: "p", input: INPUT, ids: [1] }];
  test.each([
    ["the candidate's text is missing", say("Paris"), silent, "inconclusive"],
    [
      "the reference's text is missing and the candidate lacks it",
      silent,
      say("Rome"),
      "inconclusive",
    ],
    ["the reference's text is missing and the candidate has it", silent, say("Paris"), "pass"],
    ["the candidate's text is missing, which the reference lacks too", say("Rome"), silent, "pass"],
    ["both texts are missing", silent, silent, "inconclusive"],
  ])("%s: %s", async (_name, reference, candidate, verdict) => {
    const result = await compare(reference, candidate, expects("Paris"));
    expect(result.verdict).toBe(verdict);
    expect(rulesOf(result, "warning").includes("quality/undecided")).toBe(
      verdict === "inconclusive",
    );
  });

  test("of a prompt that nobody continued are open", async () => {
    const result = await compare(say("Paris"), say("Paris"), {
      reference: { expect: { "0": ["Paris"], "7": ["Rome"] } },
    });
    expect(result.verdict).toBe("inconclusive");
    expect(generation(result).keywords).toMatchObject({ open: 1, firstOpen: 7 });
  });

  test("of what was drawn are counted and not judged", async () => {
    const result = await compare(say("Paris"), say("Rome"), {
      reference: { expect: { "0": ["Paris"] }, sampling: { temperature: 1 } },
    });
    expect(generation(result).keywords).toMatchObject({ reference: 1, candidate: 0 });
    expect(result.rules.find(({ rule }) => rule === "quality/keywords")).toMatchObject({
      applied: false,
      reason: "sampled",
    });
    expect(rulesOf(result, "error")).toEqual([]);
    const text = renderText(result, { lang: "en", style: PLAIN, ascii: false, columns: 80 });
    expect(text).toMatch(/keywords: .* 1 lost +not judged/);
  });

  test.each([
    [["Paris"]],
    ["Paris"],
    [{ "0": "Paris" }],
    [{ "0": [1] }],
    [{ first: ["Paris"] }],
    [{ "0": null }],
  ])("that are none are refused: %j", async (expectation) => {
    const runs = { candidate: { expect: expectation } };
    await expect(compare(say("a"), say("a"), runs)).rejects.toMatchObject({
      code: "dump-metadata",
    });
  });
});

describe("without token ids", () => {
  const text = (prompt: string | undefined, said: string): Spoken => ({
    ...(prompt === undefined ? {} : { prompt }),
    text: said,
  });

  test("equal prompts let continuations be compared, with a warning", async () => {
    const reference = [{ ...text("p", "a"), input: INPUT, ids: [1] }];
    for (const sides of [
      [reference, [text("p", "b")]],
      [[text("p", "b")], reference],
      [[text("p", "a")], [text("p", "b")]],
    ] as const) {
      const result = await compare(sides[0], sides[1]);
      expect(generation(result)).toMatchObject({ samples: 1, exact: 0, byText: 1 });
      expect(rulesOf(result, "warning")).toContain("input/prompts-only");
      expect(rulesOf(result, "warning")).not.toContain("input/unverified");
      expect(result.verdict).toBe("inconclusive");
    }
  });

  test("decode steps of the other side are not missing", async () => {
    const steps = [{ fed: 1, logits: [1, 2] }];
    const reference = [{ ...text("p", "Paris"), input: INPUT, ids: [1, 1], steps }];
    const result = await compare(reference, [text("p", "in Paris")], {
      reference: { expect: { "0": ["Paris"] }, capture: { select: ["logits"] } },
    });
    expect(result.missing.candidate).toEqual([]);
    expect(result.notCaptured.candidate).toEqual(["input_ids@0.1", "logits@0.1"]);
    expect(result.verdict).toBe("pass");
  });

  test.each([
    ["differ", "q"],
    ["are missing", undefined],
  ])("prompts that %s are refused", async (_name, prompt) => {
    const reference = [{ ...text("p", "a"), input: INPUT }];
    await expect(compare(reference, [text(prompt, "a")])).rejects.toMatchObject({
      code: "tokens-differ",
    });
  });

  test("a side that holds tensors is refused whatever its prompts are", async () => {
    const reference = [{ ...text("p", "a"), input: [1], logits: [[1, 2]] }];
    const candidate = [{ ...text("p", "a"), logits: [[1, 2]] }];
    await expect(compare(reference, candidate)).rejects.toMatchObject({ code: "tokens-differ" });
  });
});
