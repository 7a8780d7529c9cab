/** Both continuations of each prompt: whole comparisons, with parts missing or at odds. */

import { describe, expect, test } from "vitest";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { PLAIN } from "../../src/report/style.ts";
import { renderText } from "../../src/report/text.ts";
import { comparer, first, generation, INPUT, rulesOf } from "../support/compare-spoken.ts";
import { type Spoken } from "../support/spoken-run.ts";

const compare = comparer();

describe("continuations", () => {
  const said: Spoken = {
    prompt: "The capital of France is",
    input: INPUT,
    ids: [7, 8, 9],
    text: " Paris, of course",
    tokenTexts: [" Paris", ",", " of course"],
  };

  test("that are the same leave nothing to be told, and prove no tensor", async () => {
    const result = await compare([said, said], [said, said]);
    expect(generation(result)).toMatchObject({
      samples: 2,
      exact: 2,
      byText: 0,
      firstDivergence: null,
      divergences: { nearTies: 0, real: 0, unknown: 0 },
      keywords: null,
      omitted: 0,
    });
    expect(first(result)).toMatchObject({
      identical: true,
      divergence: null,
      firstTokenAgrees: true,
    });
    expect(result.quality.firstToken).toMatchObject({ agreed: 2, samples: 2, from: "generated" });
    expect(result.verdict).toBe("inconclusive");
    expect(rulesOf(result, "warning")).toEqual(["quality/undecided"]);
  });

  test("show both texts, the tokens and the place where they part", async () => {
    const other = {
      ...said,
      ids: [7, 5, 9],
      text: " Paris! Of",
      tokenTexts: [" Paris", "!", " Of"],
    };
    const one = first(await compare([said], [other]));
    expect(one.prompt).toEqual({ text: said.prompt, omitted: 0 });
    expect(one.reference).toEqual({
      tokens: 3,
      characters: 17,
      text: { text: " Paris, of course", omitted: 0 },
      firstToken: { id: 7, text: " Paris" },
    });
    expect(one.divergence).toMatchObject({
      token: 1,
      character: 6,
      shared: { text: " Paris", omitted: 0 },
      reference: { token: { id: 8, text: "," }, ended: false, text: { text: ", of course" } },
      candidate: { token: { id: 5, text: "!" }, ended: false, text: { text: "! Of" } },
      margin: { nearTie: null, reason: "no-step-logits" },
    });
  });

  test.each([
    ["ids", { ids: [7, 8] }, { token: 2, reference: { ended: false }, candidate: { ended: true } }],
    ["an empty list", { ids: [] }, { token: 0, candidate: { ended: true, token: null } }],
    [
      "text",
      { ids: undefined, text: " Paris" },
      { token: null, character: 6, candidate: { ended: true }, reference: { ended: false } },
    ],
    ["an empty text", { ids: undefined, text: "" }, { token: null, character: 0 }],
  ])("that end early part where they end: %s", async (_name, change, expected) => {
    const result = await compare([said], [{ ...said, ...change } as Spoken]);
    expect(first(result).divergence).toMatchObject(expected);
    expect(generation(result).divergences.unknown).toBe(1);
  });

  test("that end with an end token part at it", async () => {
    const result = await compare([said], [{ ...said, ids: [7, 0], text: " Paris" }]);
    expect(first(result).divergence).toMatchObject({
      token: 1,
      candidate: { ended: false, token: { id: 0 } },
    });
  });

  test("are compared by text where a side tells no ids", async () => {
    const { prompt = "", input = [], text: saidText = "" } = said;
    const text: Spoken = { prompt, input, text: saidText };
    const result = await compare([said, said], [text, { ...text, text: " Paris; of" }]);
    expect(generation(result)).toMatchObject({ samples: 2, exact: 1, byText: 2 });
    expect(generation(result).listed.map(({ divergence }) => divergence?.margin.reason)).toEqual([
      undefined,
      "by-text",
    ]);
    expect(result.quality.firstToken).toBeNull();
    expect(result.quality.notAvailable).toContainEqual({
      figure: "firstToken",
      reason: "no-generated-ids",
    });
  });

  test("of which one side has ids and the other a text are not compared", async () => {
    const { prompt = "", input = [], text: saidText = "" } = said;
    const text: Spoken = { prompt, input, text: saidText };
    const ids: Spoken = { prompt, input, ids: [7, 8, 9] };
    const result = await compare([ids], [text]);
    expect(generation(result)).toMatchObject({ samples: 0, exact: 0 });
    expect(first(result)).toMatchObject({
      identical: null,
      divergence: null,
      firstTokenAgrees: null,
    });
    expect(result.verdict).toBe("inconclusive");
  });

  test("of other prompts on each side are counted, and no share is given of a part", async () => {
    const at = (sample: number): Spoken => ({ ...said, sample });
    const fed = (sample: number): Spoken => ({ sample, input: INPUT });
    const result = await compare(
      [at(0), at(1), at(2), fed(3)],
      [at(0), fed(1), fed(2), at(3)],
      {},
      { limits: { minFirstToken: 0.1 } },
    );
    expect(generation(result)).toMatchObject({
      samples: 1,
      exact: 1,
      only: { reference: 2, candidate: 1 },
    });
    expect(result.quality.firstToken).toBeNull();
    expect(result.quality.notAvailable).toContainEqual({
      figure: "firstToken",
      reason: "some-continuations",
    });
    expect(result.verdict).toBe("inconclusive");
  });

  test("that were drawn are shown, and neither agree nor differ", async () => {
    const drawn = { sampling: { temperature: 0.7 } };
    const other = { ...said, ids: [4, 5], text: "other" };
    const result = await compare([said], [other], { candidate: drawn });
    expect(generation(result)).toMatchObject({ samples: 0, exact: 0, sampled: ["candidate"] });
    expect(first(result)).toMatchObject({
      identical: null,
      divergence: null,
      firstTokenAgrees: null,
    });
    expect(first(result).candidate?.text?.text).toBe("other");
    expect(result.quality.firstToken).toBeNull();
    expect(result.quality.notAvailable).toContainEqual({ figure: "firstToken", reason: "sampled" });
    expect(renderMarkdown(result, { lang: "en" })).toContain("not expected to agree");
  });

  test("at temperature 0 are greedy", async () => {
    const run = { sampling: { temperature: 0 } };
    expect(generation(await compare([said], [said], { reference: run }))).toMatchObject({
      exact: 1,
      sampled: [],
    });
  });
});

test("of many prompts those that a reader asks for first are listed, and the rest is counted", async () => {
  const count = 3000;
  const say = (change: (sample: number) => string | null): readonly Spoken[] =>
    Array.from({ length: count }, (_, sample) => ({
      input: [1],
      ids: [1, change(sample) === null ? 2 : 3],
      text: change(sample) ?? "Paris",
    }));
  const expectation = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [String(i), ["Paris"]]),
  );
  const result = await compare(
    say(() => null),
    say((sample) => (sample === 2500 ? "Rome" : sample % 40 === 7 ? "Paris!" : null)),
    { reference: { expect: expectation } },
  );
  const { listed, omitted, exact, samples, keywords, divergences } = generation(result);
  expect(samples).toBe(count);
  expect(exact).toBe(count - 76);
  expect(divergences.unknown).toBe(76);
  expect(keywords).toMatchObject({ keywords: count, lost: 1, firstLost: 2500 });
  expect(listed).toHaveLength(50);
  expect(omitted).toBe(count - 50);
  expect(listed.map(({ sample }) => sample)).toContain(2500);
  expect(listed.every(({ identical }) => identical === false)).toBe(true);
  const text = renderText(result, { lang: "en", style: PLAIN, ascii: false, columns: 80 });
  expect(text).toContain("more prompts: 71;");
  expect(renderMarkdown(result, { lang: "en" })).toContain("prompts that are not shown: 2980");
});
