/** What reduced captures decide and what they cannot: whole comparisons, one thing changed in each. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import {
  asStats,
  dense,
  hidden,
  logitsOf,
  type ReducedTensor,
  reduced,
  VOCABULARY,
  writeReduced,
} from "./support/reduced-run.ts";
import { scratch } from "./support/scratch.ts";

const folder = scratch();

interface Sides {
  readonly reference: readonly ReducedTensor[];
  readonly candidate: readonly ReducedTensor[];
  readonly floor?: readonly ReducedTensor[];
  readonly select?: readonly string[] | null;
}

async function compare(
  { reference, candidate, floor, select }: Sides,
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  const paths = [folder.path(), folder.path(), folder.path()] as const;
  writeReduced(paths[0], "a", reference);
  writeReduced(paths[1], "b", candidate, ...(select === undefined ? [] : [select]));
  if (floor !== undefined) writeReduced(paths[2], "c", floor);
  return compareDumps({
    reference: paths[0],
    candidate: paths[1],
    floors: floor === undefined ? [] : [paths[2]],
    ...options,
  });
}

function rules(result: ComparisonResult, level = "error"): readonly string[] {
  return [...new Set(result.findings.filter((one) => one.level === level).map(({ rule }) => rule))];
}

/** Changes one tensor of one sample. */
function changed(
  tensors: readonly ReducedTensor[],
  name: string,
  change: (tensor: ReducedTensor) => Partial<ReducedTensor>,
  sample = 2,
): ReducedTensor[] {
  return tensors.map((tensor) =>
    tensor.name === name && tensor.sample === sample ? { ...tensor, ...change(tensor) } : tensor,
  );
}

const LOGITS = logitsOf();
const CLOSE = logitsOf(1e-4);
const FAR = logitsOf(6, 3);
const LAYER = hidden("layers.0");

describe("reduced logits", () => {
  const pair = { reference: reduced(LOGITS, 10), candidate: reduced(CLOSE, 10) };

  test("decide perplexity, agreement and overlap by themselves", async () => {
    const result = await compare(pair);
    expect(result.verdict).toBe("pass");
    expect(result.tensors).toEqual([]);
    expect(result.quality).toMatchObject({
      top1Agreement: { positions: 24, share: 1, strict: 1 },
      topKOverlap: { k5: 1, k10: 1 },
      firstToken: { agreed: 6, samples: 6, from: "logits" },
      kl: null,
    });
    expect(result.quality.perplexity?.tokens).toBe(18);
    expect(result.rules.find(({ rule }) => rule === "quality/nll")?.applied).toBe(true);
  });

  test("fail where the true tokens became less likely everywhere", async () => {
    const worse = reduced(LOGITS, 10).map((tensor) =>
      ["token_logprob", "topk_logprobs"].includes(tensor.name)
        ? { ...tensor, values: tensor.values.map((value) => value - 0.1) }
        : tensor,
    );
    const result = await compare({ ...pair, candidate: worse });
    expect(rules(result)).toEqual(["quality/nll"]);
  });

  test("are the same whichever side stores its logits whole", async () => {
    const [whole, left, right] = [
      await compare({ reference: dense(LOGITS), candidate: dense(CLOSE) }),
      await compare({ reference: dense(LOGITS), candidate: reduced(CLOSE, 10) }),
      await compare({ reference: reduced(LOGITS, 10), candidate: dense(CLOSE) }),
    ];
    const mean = whole.quality.kl?.mean as number;
    for (const { quality, verdict } of [left, right]) {
      expect(verdict).toBe("pass");
      expect(quality.perplexity?.candidate).toBeCloseTo(
        whole.quality.perplexity?.candidate as number,
        10,
      );
      expect(quality.klLowerBound?.mean).toBeLessThanOrEqual(mean);
    }
    expect(whole.quality).toMatchObject({ klLowerBound: null, lse: null, notAvailable: [] });
  });

  test.each([
    ["within reach", CLOSE, 1, "inconclusive", "warning"],
    ["below what the lists prove", FAR, 1e-3, "fail", "error"],
  ] as const)("a limit of KL %s", async (_name, logits, maxKl, verdict, level) => {
    const result = await compare(
      { ...pair, candidate: reduced(logits, 10) },
      { limits: { maxKl }, decide: "point" },
    );
    expect(result.verdict).toBe(verdict);
    const finding = result.findings.find(({ rule }) => rule === "limit/kl");
    expect(finding).toMatchObject({
      level,
      value: result.quality.klLowerBound?.mean,
      detail: { bound: "lower", reason: "reduced-logits" },
    });
  });

  test("limits on what they hold are kept or broken as always", async () => {
    const limits = { maxPplIncrease: 0.01, minTop1: 0.5, minFirstToken: 0.5 };
    expect((await compare(pair, { limits })).verdict).toBe("pass");
    const far = { ...pair, candidate: reduced(FAR, 10) };
    const broken = await compare(far, {
      limits: { minTop1: 1, minFirstToken: 1 },
      decide: "point",
    });
    expect(rules(broken)).toEqual(expect.arrayContaining(["limit/top1", "limit/first-token"]));
  });

  test.each([
    ["maxPplIncrease", "token_logprob", "no-token-logprob"],
    ["minTop1", "topk_logprobs", "no-topk"],
    ["minFirstToken", "topk_ids", "no-topk"],
  ] as const)("a limit %s without %s is no pass", async (limit, name, reason) => {
    const without = (tensors: readonly ReducedTensor[]) =>
      tensors.filter((tensor) => tensor.name !== name);
    const result = await compare(
      {
        reference: [...LAYER, ...without(pair.reference)],
        candidate: [...LAYER, ...without(pair.candidate)],
      },
      { limits: { [limit]: 0 } },
    );
    expect(result.verdict).toBe("inconclusive");
    expect(result.findings.find(({ rule }) => rule.startsWith("limit/"))?.detail).toEqual({
      reason,
    });
    expect(result.quality.notAvailable.map((one) => one.reason)).toContain(reason);
  });

  test("k may differ; a list of one leaves ties and depth open, an empty one everything", async () => {
    const three = await compare({ ...pair, candidate: reduced(CLOSE, 3) });
    expect(three.quality.topKOverlap).toEqual({ k5: null, k10: null });
    expect(three.quality.top1Agreement?.share).toBe(1);
    const one = await compare({
      ...pair,
      candidate: reduced(FAR, 1),
      reference: reduced(LOGITS, 1),
    });
    expect(one.quality).toMatchObject({ top1Agreement: null, firstToken: null });
    expect(one.quality.notAvailable).toContainEqual({
      figure: "top1Agreement",
      reason: "tied-topk",
    });
    const none = await compare({ ...pair, candidate: reduced(CLOSE, 0) });
    expect(none.quality).toMatchObject({ top1Agreement: null, klLowerBound: null });
    expect(none.quality.notAvailable).toContainEqual({ figure: "klLowerBound", reason: "no-topk" });
    expect(none.verdict).toBe("pass");
  });

  test("equal logits at the top are ties, as far as the lists go", async () => {
    const tied = LOGITS.map((rows) =>
      rows.map((row) => {
        const first = row.indexOf(Math.max(...row));
        return row.with((first + 1) % VOCABULARY, row[first] as number);
      }),
    );
    const other = tied.map((rows) =>
      rows.map((row) => {
        const ids = row.flatMap((value, id) => (value === Math.max(...row) ? [id] : []));
        return row.with(ids[0] as number, (row[ids[0] as number] as number) - 1e-3);
      }),
    );
    const result = await compare({ reference: reduced(tied, 4), candidate: reduced(other, 4) });
    expect(result.quality.top1Agreement).toMatchObject({ share: 1, strict: 0 });
  });

  test.each(["topk_logprobs", "token_logprob", "lse"])("a NaN in %s is a failure", async (name) => {
    const broken = changed(pair.candidate, name, ({ values }) => ({
      values: values.with(values.length - 1, Number.NaN),
    }));
    for (const reference of [pair.reference, dense(LOGITS)]) {
      const result = await compare({ reference, candidate: broken });
      expect(result.verdict).toBe("fail");
      expect(rules(result)).toContain("quality/undefined");
    }
  });

  test("a sample that one side lacks is missing, or no figure is given", async () => {
    const lacking = pair.candidate.filter(
      ({ name, sample }) => name !== "token_logprob" || sample !== 3,
    );
    const sides = {
      reference: [...LAYER, ...pair.reference],
      candidate: [...LAYER, ...lacking],
    };
    const result = await compare(sides);
    expect(rules(result)).toEqual(["structure/missing"]);
    expect(result.missing.candidate).toEqual(["token_logprob@3.0"]);
    expect(result.quality.perplexity).toBeNull();
    const unselected = await compare({ ...sides, select: ["layers.0", "topk_*", "lse"] });
    expect(unselected.verdict).toBe("inconclusive");
    expect(unselected.notCaptured.candidate).toEqual(["token_logprob@3.0"]);
    expect(unselected.quality.perplexity).toBeNull();
  });

  test("whole logits that the other side stores reduced are not missing there", async () => {
    const result = await compare({ reference: dense(LOGITS), candidate: reduced(CLOSE, 10) });
    expect(result.missing).toEqual({ reference: [], candidate: [] });
    expect(result.notCaptured.candidate).toHaveLength(6);
  });

  test("--skip logits leaves them out", async () => {
    const sides = {
      reference: [...LAYER, ...pair.reference],
      candidate: [...LAYER, ...pair.candidate],
    };
    const result = await compare(sides, { skip: ["logits"] });
    expect(result.quality).toMatchObject({ perplexity: null, notAvailable: [] });
  });

  test.each<[string, string, (tensor: ReducedTensor) => Partial<ReducedTensor>, RegExp]>([
    [
      "an id twice",
      "topk_ids",
      ({ values }) => ({ values: values.with(1, values[0] as number) }),
      /twice/,
    ],
    ["a negative id", "topk_ids", ({ values }) => ({ values: values.with(1, -1) }), /outside/],
    [
      "an id beyond the vocabulary",
      "topk_ids",
      ({ values }) => ({ values: values.with(1, 99) }),
      /outside/,
    ],
    [
      "a probability above 1",
      "topk_logprobs",
      ({ values }) => ({ values: values.with(0, 0.5) }),
      /no log-prob/,
    ],
    [
      "probabilities of more than 1",
      "topk_logprobs",
      ({ values }) => ({ values: values.map(() => -0.1) }),
      /no probab/,
    ],
    [
      "a rising order",
      "topk_logprobs",
      ({ values }) => ({ values: values.toReversed() }),
      /falling/,
    ],
    [
      "a true token above 1",
      "token_logprob",
      ({ values }) => ({ values: values.with(1, 3) }),
      /no log-prob/,
    ],
    ["ids of floats", "topk_ids", () => ({ dtype: "F32" }), /does not fit/],
    ["log-probabilities of integers", "topk_logprobs", () => ({ dtype: "I32" }), /does not fit/],
    [
      "another number of tokens",
      "token_logprob",
      ({ values }) => ({ shape: [4], values: values.slice(0, 4) }),
      /does not fit/,
    ],
    [
      "another k than its ids",
      "topk_logprobs",
      ({ values }) => ({ shape: [5, 2], values: values.slice(0, 10) }),
      /does not fit/,
    ],
    ["one axis too many", "lse", ({ shape }) => ({ shape: [...shape, 1] }), /does not fit/],
    ["statistics alone", "lse", (tensor) => asStats([tensor])[0] ?? {}, /does not fit/],
  ])("%s is refused", async (_name, name, change, what) => {
    const candidate = changed(pair.candidate, name, change);
    await expect(compare({ reference: dense(LOGITS), candidate })).rejects.toMatchObject({
      code: "dump-corrupt",
      message: expect.stringMatching(what) as string,
    });
  });

  test("a list of more tokens than anybody stores is refused", async () => {
    const k = 2 ** 16 + 1;
    const values = Array.from({ length: k }, (_, id) => id);
    const lists = reduced(CLOSE, 10).flatMap((tensor): ReducedTensor[] => {
      const { name, shape } = tensor;
      if (!name.startsWith("topk")) return [tensor];
      const rows = shape[0] ?? 0;
      const row = name === "topk_ids" ? values : values.map((id) => -20 - id);
      return [
        { ...tensor, shape: [rows, k], values: Array.from({ length: rows }, () => row).flat() },
      ];
    });
    await expect(compare({ ...pair, candidate: lists })).rejects.toMatchObject({
      code: "dump-corrupt",
      message: expect.stringContaining("too many tokens") as string,
    });
  });
});

describe("tensors stored as statistics", () => {
  const EMBED = hidden("embed");
  const sides = (change: (value: number) => number, both = true): Sides => ({
    reference: [...EMBED, ...(both ? asStats(LAYER) : LAYER)],
    candidate: [...EMBED, ...asStats(hidden("layers.0", change))],
  });
  const same = sides((value) => value * (1 + 2 ** -26));
  const layer = (result: ComparisonResult) =>
    result.tensors.find(({ name }) => name === "layers.0");

  test("make a comparison that nothing fails inconclusive, and say what is open", async () => {
    const result = await compare(same);
    expect(result.verdict).toBe("inconclusive");
    expect(result.findings.find(({ rule }) => rule === "layer/undecided")).toMatchObject({
      level: "warning",
      tensor: "layers.0",
      detail: {
        reason: "statistics",
        open: "layer/prior, layer/prior-sample, layer/prior-token",
      },
    });
    expect(layer(result)).toMatchObject({ relL2: null, tokenRelL2: null, nonFinite: null });
    expect(layer(result)?.statsFigures?.normRatio).toBeCloseTo(1, 7);
  });

  test("fail what they prove, against dense data too", async () => {
    for (const both of [true, false]) {
      const result = await compare(sides((value) => value * 1.5, both));
      expect(result.verdict).toBe("fail");
      expect(rules(result)).toEqual(["layer/prior-token"]);
      expect(result.origin?.tensor).toBe("layers.0");
    }
  });

  test("do not fall back to the prior where a floor has the tensor", async () => {
    const floor = [
      ...hidden("embed", (value) => value * (1 + 2 ** -24)),
      ...hidden("layers.0", (value) => value * 1.0001),
    ];
    const result = await compare({ ...sides((value) => value * 1.5, false), floor });
    expect(layer(result)?.verdict).toBe("inconclusive");
    expect(result.verdict).toBe("inconclusive");
    expect(result.findings.find(({ rule }) => rule === "layer/undecided")?.detail["open"]).toMatch(
      /^layer\/floor-ratio,/,
    );
  });

  test.each([
    [{ maxRelL2: 0.4 }, "limit/rel-l2"],
    [{ maxAbs: 0.2 }, "limit/max-abs"],
    [{ maxMse: 0.01 }, "limit/mse"],
  ] as const)("%o of the user is broken by a bound, or open", async (limits, rule) => {
    const broken = await compare(
      sides((value) => value * 1.5),
      { limits },
    );
    expect(rules(broken)).toContain(rule);
    expect(broken.findings.find((one) => one.rule === rule)?.detail).toEqual({ bound: "lower" });
    const open = await compare(same, { limits });
    expect(open.verdict).toBe("inconclusive");
    expect(open.findings.find((one) => one.rule === "layer/undecided")?.detail["open"]).toContain(
      rule,
    );
  });

  test("a cosine below the user's limit is proved by means and deviations", async () => {
    const limits = { minCosine: 0.9 };
    const turned = sides((value) => 5 + value / 100);
    expect(rules(await compare(turned, { limits }))).toContain("limit/cosine");
    expect((await compare(same, { limits })).verdict).toBe("inconclusive");
  });

  test.each([
    ["a NaN", Number.NaN],
    ["an infinity", Number.POSITIVE_INFINITY],
  ])("%s on one side only fails the finite rule", async (_name, value) => {
    const candidate = asStats(
      changed(LAYER, "layers.0", ({ values }) => ({ values: values.with(3, value) })),
    );
    const result = await compare({ reference: asStats(LAYER), candidate });
    expect(rules(result)).toEqual(["finite/mismatched"]);
    expect(result.findings[0]).toMatchObject({ value: 1, detail: { bound: "lower" } });
    expect(layer(result)?.statsFigures?.bounds).toBeNull();
  });

  test("as many NaN on both sides leave the finite rule open", async () => {
    const holed = asStats(
      changed(LAYER, "layers.0", ({ values }) => ({ values: values.with(3, Number.NaN) })),
    );
    const result = await compare({
      reference: [...EMBED, ...holed],
      candidate: [...EMBED, ...holed],
    });
    expect(result.verdict).toBe("inconclusive");
    expect(result.findings.find(({ rule }) => rule === "layer/undecided")?.detail["open"]).toMatch(
      /^finite\/mismatched,/,
    );
  });

  test("a tensor without a finite value is undecided, not equal", async () => {
    const none = asStats(
      LAYER.map((tensor) => ({ ...tensor, values: tensor.values.map(() => Number.NaN) })),
    );
    const result = await compare({
      reference: [...EMBED, ...none],
      candidate: [...EMBED, ...none],
    });
    expect(layer(result)).toMatchObject({
      verdict: "inconclusive",
      statsFigures: { bounds: null },
    });
    expect(layer(result)?.statsFigures?.reference.rms).toBeNaN();
  });

  test("--preset exact is broken by other extremes, and never kept", async () => {
    const options = { preset: "exact" } as const;
    const equal = {
      reference: [...EMBED, ...asStats(LAYER)],
      candidate: [...EMBED, ...asStats(LAYER)],
    };
    expect((await compare(equal, options)).verdict).toBe("inconclusive");
    expect(
      rules(
        await compare(
          sides((value) => value * 1.01),
          options,
        ),
      ),
    ).toEqual(["exact/bits"]);
  });

  test("a row of zeros that the candidate does not have is infinitely wrong", async () => {
    const zeros = asStats(hidden("layers.0", () => 0));
    const result = await compare({ reference: zeros, candidate: asStats(LAYER) });
    expect(rules(result)).toContain("layer/infinite");
    expect(layer(result)?.statsFigures?.bounds?.relL2).toBe(Number.POSITIVE_INFINITY);
  });

  test("numbers whose squares leave float64 are bounded all the same", async () => {
    const wide = (factor: number): ReducedTensor[] =>
      hidden("layers.0").map((tensor) => ({
        ...tensor,
        dtype: "F64",
        values: tensor.values.map((value) => value * factor),
      }));
    for (const size of [1e300, 1e-300]) {
      // By the writer's own rule: scaled before squaring.
      const [one, ...rest] = asStats(wide(1));
      const scaled = [one, ...rest].flatMap((tensor): ReducedTensor[] =>
        tensor?.stats === undefined
          ? []
          : [
              {
                ...tensor,
                stats: {
                  ...tensor.stats,
                  min: tensor.stats.min * size,
                  max: tensor.stats.max * size,
                  mean: tensor.stats.mean * size,
                  rms: tensor.stats.rms * size,
                },
              },
            ],
      );
      const result = await compare({ reference: scaled, candidate: wide(1.5 * size) });
      expect(layer(result)?.statsFigures?.bounds?.relL2).toBeCloseTo(0.5, 6);
      expect(layer(result)?.statsFigures?.normRatio).toBeCloseTo(1.5, 6);
    }
  });

  test.each([
    ["more NaN than elements", { nan: 1000 }],
    ["a mean outside", { mean: 5 }],
    ["a smallest above the largest", { min: 9 }],
    ["a negative root mean square", { rms: -1 }],
    ["a root mean square below the mean", { rms: 0 }],
    ["an infinite root mean square", { rms: Number.POSITIVE_INFINITY }],
    ["no smallest", { min: Number.NaN }],
    ["an infinite largest", { max: Number.POSITIVE_INFINITY }],
  ])("%s is refused", async (_name, stats) => {
    const candidate = changed(asStats(LAYER), "layers.0", (tensor) => ({
      stats: { ...(tensor.stats ?? raise()), ...stats },
    }));
    await expect(compare({ reference: LAYER, candidate })).rejects.toMatchObject({
      code: "dump-corrupt",
      message: expect.stringContaining("contradict") as string,
    });
  });

  test("bounds are never beyond the truth", async () => {
    // Of about one size, so that the bounds come near, and of many sizes.
    const size = fc.constantFrom(1, 1e-3, 1e3);
    const value = fc.tuple(fc.integer({ min: -8, max: 8 }), size).map(([n, by]) => n * by);
    const values = fc.array(value, { minLength: 6, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(values, values, async (xs, ys) => {
        const side = (from: readonly number[]) =>
          LAYER.map((tensor) => ({
            ...tensor,
            values: tensor.values.map((_, i) => Math.fround(from[i % from.length] as number)),
          }));
        const [reference, candidate] = [side(xs), side(ys)];
        const result = await compare({
          reference: [...EMBED, ...asStats(reference)],
          candidate: [...EMBED, ...asStats(candidate)],
        });
        const bounds = layer(result)?.statsFigures?.bounds ?? raise();
        const x = reference.flatMap((tensor) => tensor.values);
        const y = candidate.flatMap((tensor) => tensor.values);
        const d = y.map((v, i) => v - (x[i] as number));
        const squares = (of: readonly number[]) => of.reduce((sum, v) => sum + v * v, 0);
        const product = x.reduce((sum, v, i) => sum + v * (y[i] as number), 0);
        expect(bounds.maxAbs).toBeLessThanOrEqual(Math.max(...d.map(Math.abs)));
        expect(bounds.mse).toBeLessThanOrEqual(squares(d) / d.length);
        if (squares(x) === 0) return;
        expect(bounds.relL2).toBeLessThanOrEqual(Math.sqrt(squares(d) / squares(x)));
        if (squares(y) === 0) return;
        const cosine = product / Math.sqrt(squares(x) * squares(y));
        expect(bounds.cosine).toBeGreaterThanOrEqual(Math.min(1, cosine) - 1e-15);
      }),
      { numRuns: 60 },
    );
  });

  test("statistics alone, which nothing breaks, are inconclusive and shown", async () => {
    const result = await compare({ reference: asStats(LAYER), candidate: asStats(LAYER) });
    expect(result.verdict).toBe("inconclusive");
    expect(layer(result)?.statsFigures?.normRatio).toBe(1);
  });

  test("logits as statistics are a tensor like the others, and no quality", async () => {
    const result = await compare({
      reference: [...EMBED, ...asStats(dense(LOGITS))],
      candidate: [...EMBED, ...asStats(dense(CLOSE))],
    });
    expect(result.verdict).toBe("inconclusive");
    expect(result.quality.perplexity).toBeNull();
    expect(result.tensors.at(-1)).toMatchObject({ name: "logits", verdict: "inconclusive" });
  });
});

function raise(): never {
  throw new Error("no statistics");
}
