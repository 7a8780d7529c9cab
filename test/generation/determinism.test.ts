/** Runs that are repeated: whole comparisons, with repetitions that differ, are lacking, or are none. */

import { describe, expect, test } from "vitest";
import type { SideDeterminism } from "../../src/core/determinism.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { PLAIN } from "../../src/report/style.ts";
import { renderText } from "../../src/report/text.ts";
import { comparer, INPUT, rulesOf } from "../support/compare-spoken.ts";
import type { Spoken } from "../support/spoken-run.ts";

const compare = comparer();

/** Equal logits let a comparison pass. */
const LOGITS = [
  [0, 1, 2, 3],
  [3, 2, 1, 0],
  [1, 0, 3, 2],
];

/** A run of `samples` prompts, each continued as `ids` says, by repetition. */
function run(
  samples: number,
  repeats: number,
  ids: (sample: number, repeat: number) => readonly number[] = () => [7, 8, 9],
): Spoken[] {
  return Array.from({ length: samples * repeats }, (_, i) => {
    const [sample, repeat] = [i % samples, Math.floor(i / samples)];
    const told = { sample, repeat, input: INPUT, ids: ids(sample, repeat) };
    return repeat === 0 ? { ...told, logits: LOGITS } : told;
  });
}

const ALIKE = { batch: 1, order: "forward" };
const OTHERWISE = { batch: 8, order: "reverse" };

function fed(...schedule: readonly unknown[]): Readonly<Record<string, unknown>> {
  return { determinism: { repeats: schedule.length, stored: "continuations", schedule } };
}

async function determinismOf(
  candidate: readonly Spoken[],
  metadata: Readonly<Record<string, unknown>>,
  options: Parameters<typeof compare>[3] = {},
) {
  const samples = candidate.filter(({ repeat }) => repeat === 0).length;
  const result = await compare(run(samples, 1), candidate, { candidate: metadata }, options);
  const rule = result.rules.find((one) => one.rule === "quality/determinism");
  return { result, rule, determinism: result.quality.determinism?.candidate ?? null };
}

function figuresOf(side: SideDeterminism | null): readonly (readonly unknown[] | null)[] {
  const all = [side, side?.runToRun ?? null, side?.batch ?? null];
  return all.map((one) => one && [one.comparisons, one.identical, one.samples]);
}

describe("repetitions", () => {
  test("that all agree pass", async () => {
    const { result, rule, determinism } = await determinismOf(
      run(8, 3),
      fed(ALIKE, ALIKE, OTHERWISE),
    );
    expect(result.verdict).toBe("pass");
    expect(determinism).toMatchObject({ repeats: 3, share: 1, firstDifference: null });
    // scipy.stats.binomtest(8, 8).proportion_ci(method="wilson")
    expect(determinism?.ci95?.[0]).toBeCloseTo(0.6755924, 7);
    expect(determinism?.ci95?.[1]).toBe(1);
    expect(figuresOf(determinism)).toEqual([
      [2, 8, 8],
      [1, 8, 8],
      [1, 8, 8],
    ]);
    expect(rule).toMatchObject({ applied: true, limit: 0.99, limitFrom: "method" });
    expect(rulesOf(result, "info")).toContain("input/repeats");
    expect(renderText(result, { lang: "en", style: PLAIN, ascii: true, columns: 80 })).toContain(
      "candidate: repeated 1 time, 8 of 8 prompts continue alike",
    );
  });

  test("fed alike that differ fail, and the place is told", async () => {
    const candidate = run(8, 3, (sample, repeat) =>
      sample >= 5 && repeat === 1 ? [7, 8 + sample, 9] : [7, 8, 9],
    );
    const top = (first: number, second: number) => [
      [[7, -0.1]],
      [
        [first, -0.75],
        [second, -1],
      ],
      [[9, -0.1]],
    ];
    const withLists = candidate.map((one) =>
      one.sample === 5
        ? { ...one, top: padded(top(one.ids?.[1] ?? 0, one.repeat === 1 ? 8 : 13)) }
        : one,
    );
    const { result, rule, determinism } = await determinismOf(
      withLists,
      fed(ALIKE, ALIKE, OTHERWISE),
    );
    expect(result.verdict).toBe("fail");
    expect(rulesOf(result, "error")).toEqual(["quality/determinism"]);
    expect(rule?.applied).toBe(true);
    expect(determinism?.share).toBe(0.625);
    // scipy.stats.binomtest(5, 8).proportion_ci(method="wilson")
    expect(determinism?.ci95?.[0]).toBeCloseTo(0.3057424, 6);
    expect(determinism?.ci95?.[1]).toBeCloseTo(0.8631557, 6);
    expect(figuresOf(determinism)).toEqual([
      [2, 5, 8],
      [1, 5, 8],
      [1, 8, 8],
    ]);
    expect(determinism?.firstDifference).toMatchObject({
      ...{ sample: 5, repeat: 1, against: 0, token: 1 },
      ...{ expected: { id: 8, text: null }, found: { id: 13, text: null } },
      margin: { reference: { nats: 0.25 }, candidate: { nats: 0.25 } },
    });
    for (const lang of ["en", "zh"] as const) {
      const lines = renderText(result, { lang, style: PLAIN, ascii: true, columns: 80 });
      const text = lines.replaceAll(/\s+/g, " ");
      expect(text).toContain("8 / 13");
      expect(text).toContain("99.0 %");
      expect(renderMarkdown(result, { lang })).toContain("62.5 %");
    }
  });

  test("that differ in other batches alone are a warning", async () => {
    const { result, determinism } = await determinismOf(
      run(4, 5, (sample, repeat) =>
        sample === 2 && repeat > 1 && repeat % 2 === 0 ? [7] : [7, 8],
      ),
      fed(ALIKE, ALIKE, OTHERWISE, ALIKE, OTHERWISE),
    );
    expect(result.verdict).toBe("pass");
    expect(rulesOf(result, "warning")).toContain("quality/batch-variance");
    expect(figuresOf(determinism)).toEqual([
      [4, 3, 4],
      // Repetition 4 agrees with repetition 2, which was fed as it was.
      [3, 4, 4],
      [1, 3, 4],
    ]);
    expect(determinism?.firstDifference).toMatchObject({
      ...{ sample: 2, repeat: 2, against: 0, token: 1, found: null },
      margin: { reason: "ended" },
    });
  });

  test("of a server are alike where as many prompts were asked about at a time", async () => {
    const asked = (concurrency: number, order: string) => ({ concurrency, order });
    const candidate = run(4, 4, (_, repeat) => (repeat === 2 ? [7] : [7, 8]));
    const { determinism } = await determinismOf(
      candidate,
      fed(asked(2, "forward"), asked(2, "forward"), asked(1, "forward"), asked(2, "reverse")),
    );
    expect(figuresOf(determinism)).toEqual([
      [3, 0, 4],
      [1, 4, 4],
      [2, 0, 4],
    ]);
  });

  test.each([
    ["nothing", {}],
    ["no schedule", { determinism: { repeats: 2 } }],
    ["half a schedule", { determinism: { repeats: 2, schedule: [ALIKE] } }],
    ["an entry that says nothing", fed(ALIKE, { batch: "8", order: "reverse" })],
    ["no object", { determinism: "deterministic" }],
  ])("of which the dump says %s all count", async (_name, metadata) => {
    const { result, determinism } = await determinismOf(
      run(4, 2, (sample, repeat) => [sample, repeat && sample === 3 ? 1 : 2]),
      metadata,
    );
    expect(rulesOf(result, "error")).toContain("quality/determinism");
    expect(figuresOf(determinism)).toEqual([[1, 3, 4], null, null]);
  });

  test("in other batches alone decide where they agree, else leave it open", async () => {
    const schedule = fed(ALIKE, OTHERWISE);
    expect((await determinismOf(run(4, 2), schedule)).result.verdict).toBe("pass");
    const differing = run(4, 2, (_sample, repeat) => [repeat]);
    const { result, rule } = await determinismOf(differing, schedule);
    expect(result.verdict).toBe("inconclusive");
    expect(rule).toMatchObject({ applied: false, reason: "other-batches" });
    const text = renderText(result, { lang: "en", style: PLAIN, ascii: true, columns: 80 });
    expect(text).toContain("--repeats 3");
  });

  test("are compared by text where no ids are stored", async () => {
    const spoken = (text: string) =>
      [0, 1].map((repeat) => ({
        ...{ sample: 0, repeat, input: INPUT },
        ...{ text: repeat === 0 ? "one" : text, ...(repeat === 0 ? { logits: LOGITS } : {}) },
      }));
    expect((await determinismOf(spoken("one"), {})).determinism?.identical).toBe(1);
    const other = await determinismOf(spoken("two"), {});
    expect(other.determinism?.firstDifference).toMatchObject({ token: null, found: null });
    expect(other.result.verdict).toBe("fail");
  });

  test("of the reference are shown, and warned of", async () => {
    const noisy = run(4, 2, (_sample, repeat) => [repeat]);
    const reference = await compare(
      noisy,
      run(4, 1, () => [0]),
    );
    expect(reference.verdict).toBe("pass");
    expect(rulesOf(reference, "warning")).toContain("quality/determinism");
    expect(reference.quality.determinism).toMatchObject({
      reference: { identical: 0 },
      candidate: null,
    });
    expect(reference.rules).toContainEqual(
      expect.objectContaining({ rule: "quality/determinism", reason: "no-repeats" }),
    );
    // One dump with itself is under test.
    expect((await compare(noisy, noisy)).verdict).toBe("fail");
  });

  test("prove nothing of the other side", async () => {
    const texts = (ids: readonly number[]) => withoutLogits(run(2, 2, () => ids));
    const result = await compare(texts([1, 2]), texts([3, 4]));
    expect(result.quality.determinism?.candidate?.share).toBe(1);
    expect(result.verdict).toBe("inconclusive");
  });

  test("of a sampled run are not judged", async () => {
    const { result, rule, determinism } = await determinismOf(
      run(4, 2, (_sample, repeat) => [repeat]),
      { sampling: { temperature: 0.7 } },
    );
    expect(result.verdict).toBe("pass");
    expect(determinism).toBeNull();
    expect(rule).toMatchObject({ applied: false, reason: "sampled" });
    expect(result.quality.notAvailable).toContainEqual({
      figure: "determinism.candidate",
      reason: "sampled",
    });
  });
});

describe("a limit of the user", () => {
  const oneOfFour = run(4, 2, (sample, repeat) => [sample === 0 ? repeat : 2]);

  test.each([
    [0.75, "pass"],
    [0.76, "fail"],
    [1, "fail"],
    [0, "pass"],
  ])("%f: %s", async (minDeterminism, verdict) => {
    const { result, rule } = await determinismOf(oneOfFour, {}, { limits: { minDeterminism } });
    expect(result.verdict).toBe(verdict);
    expect(rule).toMatchObject({ applied: true, limit: minDeterminism, limitFrom: "flag" });
  });

  test.each([
    ["is not repeated", run(4, 1), {}],
    ["is sampled", run(4, 2), { sampling: { temperature: 1 } }],
  ])("is not kept where the run %s", async (_name, candidate, metadata) => {
    const options = { limits: { minDeterminism: 0.5 } };
    const { result } = await determinismOf(candidate, metadata, options);
    expect(rulesOf(result, "error")).toEqual(["quality/determinism"]);
  });
});

describe("repetitions that are not whole", () => {
  const whole = run(4, 3);
  const without = (leave: (one: Spoken) => boolean): Spoken[] => whole.filter((one) => !leave(one));

  test.each<[string, readonly Spoken[], Readonly<Record<string, unknown>>]>([
    ["lack a prompt", without(({ sample, repeat }) => sample === 3 && repeat === 2), {}],
    ["lack one in between", without(({ repeat }) => repeat === 1), {}],
    ["are fewer than promised", without(({ repeat }) => repeat === 2), fed(ALIKE, ALIKE, ALIKE)],
    ["were promised, and are not there", run(4, 1), fed(ALIKE, ALIKE)],
    ["are more than promised", whole, fed(ALIKE, ALIKE)],
    ["hold a prompt more", [...whole, { sample: 9, repeat: 1, ids: [1] }], {}],
    ["have a number beyond any run", [...run(4, 1), ...at(2 ** 31 - 1)], {}],
    [
      "hold texts for ids",
      whole.map((one) =>
        one.repeat === 2 ? { ...one, ids: undefined, text: "a" } : one,
      ) as Spoken[],
      {},
    ],
  ])("and %s leave it open", async (_name, candidate, metadata) => {
    const { result, rule, determinism } = await determinismOf(candidate, metadata);
    expect(determinism).toBeNull();
    expect(result.verdict).toBe("inconclusive");
    expect(rule).toMatchObject({ applied: false, reason: "some-repeats" });
    expect(result.findings).toContainEqual(
      expect.objectContaining({
        rule: "quality/undecided",
        detail: { side: "candidate", reason: "some-repeats" },
      }),
    );
  });

  function at(repeat: number): Spoken[] {
    return withoutLogits(run(4, 1)).map((one) => ({ ...one, repeat }));
  }

  test.each([
    ["other ids", { input: [1, 2, 4] }],
    ["fewer ids", { input: [1, 2] }],
    ["another prompt", { prompt: "Another" }],
  ])("or were fed with %s are refused", async (_name, change) => {
    const told = whole.map((one) => ({ ...one, prompt: "A prompt" }));
    const candidate = told.map((one) =>
      one.repeat === 2 && one.sample === 1 ? { ...one, ...change } : one,
    );
    await expect(determinismOf(candidate, {})).rejects.toMatchObject({ code: "tokens-differ" });
  });

  test("or hold no ids are refused", async () => {
    const candidate = whole.map((one) =>
      one.repeat === 1 ? { ...one, ids: [2 ** 53] as readonly number[] } : one,
    );
    await expect(determinismOf(candidate, {})).rejects.toMatchObject({ code: "dump-corrupt" });
  });

  test("or are more than any run has are refused", async () => {
    const many = Array.from({ length: 1001 }, (_, repeat) => at(repeat)[0] as Spoken);
    const candidate = [...run(4, 1), ...many.slice(1)];
    await expect(determinismOf(candidate, {})).rejects.toMatchObject({ code: "dump-too-large" });
  });
});

function withoutLogits(spoken: readonly Spoken[]): Spoken[] {
  return spoken.map(({ sample, repeat, input, ids }) => ({ sample, repeat, input, ids }) as Spoken);
}

/** Rows of one width. */
function padded(
  rows: readonly (readonly (readonly number[])[])[],
): readonly (readonly (readonly [number, number])[])[] {
  return rows.map((row) =>
    Array.from({ length: 2 }, (_, i) => {
      const [id = 1000 + i, logprob = -9] = row[i] ?? [];
      return [id, logprob] as const;
    }),
  );
}
