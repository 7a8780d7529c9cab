/**
 * Reduced logits and statistics against what the whole data say
 * (`fixtures/reduced_cases.py`: mpmath, NumPy, SciPy).
 */

import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { Quality } from "../../src/core/quality.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { StatsBounds } from "../../src/core/stats-figures.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url).pathname;

interface Figures {
  readonly [name: string]: number | readonly number[] | Figures;
}

interface Expected {
  readonly logits: Record<"candidate" | "broken", Record<"leastKl" | "kl" | "lse", Figures>>;
  readonly tensors: Record<string, Record<keyof StatsBounds, number | "Infinity"> | null>;
}

const EXPECTED = JSON.parse(readFileSync(`${FIXTURES}reduced/expected.json`, "utf8")) as Expected;
const WHOLE = JSON.parse(readFileSync(`${FIXTURES}logits/expected.json`, "utf8")) as Figures;

/** Every path of numbers of `figures`. */
function* numbers(figures: Figures, path: string): Generator<readonly [string, number]> {
  for (const [name, value] of Object.entries(figures)) {
    if (typeof value === "number") yield [`${path}.${name}`, value];
    else yield* numbers(value as Figures, `${path}.${name}`);
  }
}

function at(quality: Quality, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (value as Figures)[key], quality);
}

const PAIRS = {
  "both reduced": ["reduced/reference", "reduced/candidate"],
  "only the candidate reduced": ["logits/reference", "reduced/candidate"],
  "only the reference reduced": ["reduced/reference", "logits/candidate"],
} as const;

describe.each(Object.entries(PAIRS))("%s", (_name, [reference, candidate]) => {
  let result: ComparisonResult;
  let quality: Quality;

  beforeAll(async () => {
    result = await compareDumps({
      reference: `${FIXTURES}${reference}.arrow`,
      candidate: `${FIXTURES}${candidate}.arrow`,
    });
    quality = result.quality;
  });

  // What whole logits say, but what only they can say.
  const same = [
    "perplexity",
    "perplexitySeed",
    "deltaP",
    "topKOverlap",
    "firstToken",
    "top1Agreement",
  ];
  const paths = same
    .flatMap((figure) => [...numbers(WHOLE[figure] as Figures, figure)])
    .filter(([path]) => path !== "top1Agreement.nearTies");

  test("there is something to compare", () => {
    expect(paths.length).toBeGreaterThan(30);
  });

  test.each(paths)("%s", (path, expected) => {
    const actual = at(quality, path) as number;
    expect(Math.abs(actual - expected)).toBeLessThanOrEqual(
      1e-8 * Math.max(1e-4, Math.abs(expected)),
    );
  });

  test("log-sum-exp", () => {
    const { meanAbs, maxAbs } = EXPECTED.logits.candidate.lse as {
      meanAbs: number;
      maxAbs: number;
    };
    expect(quality.lse?.meanAbs).toBeCloseTo(meanAbs, 10);
    expect(quality.lse?.maxAbs).toBeCloseTo(maxAbs, 10);
    expect(quality.lse?.positions).toBe(100);
  });

  test("what it cannot say is null, and said", () => {
    expect(quality).toMatchObject({ kl: null, flips: null, top1Agreement: { nearTies: null } });
    expect(quality.notAvailable).toEqual(
      ["kl", "top1Agreement.nearTies", "flips"].map((figure) => ({
        figure,
        reason: "reduced-logits",
      })),
    );
    const reasons = result.rules
      .filter(({ applied }) => !applied)
      .map(({ rule, reason }) => [rule, reason]);
    expect(reasons).toEqual([
      ["quality/kl-ratio", "reduced-logits"],
      ["quality/flips", "reduced-logits"],
      ["quality/real-flips", "reduced-logits"],
    ]);
  });
});

describe("the least KL divergence", () => {
  const leastOf = async (candidate: "candidate" | "broken") => {
    const { quality } = await compareDumps({
      reference: `${FIXTURES}reduced/reference.arrow`,
      candidate: `${FIXTURES}reduced/${candidate}.arrow`,
    });
    const { leastKl, kl } = EXPECTED.logits[candidate] as Record<string, Record<string, number>>;
    if (quality.klLowerBound === null || leastKl === undefined || kl === undefined) {
      throw new Error("no bound");
    }
    return { bound: quality.klLowerBound, leastKl, kl };
  };

  test.each(["candidate", "broken"] as const)(
    "of %s is the numerical minimum",
    async (candidate) => {
      const { bound, leastKl, kl } = await leastOf(candidate);
      for (const figure of ["mean", "max"] as const) {
        const least = leastKl[figure] as number;
        // Never above it, and below it only by the rounding that it allows for.
        expect(bound[figure]).toBeLessThanOrEqual(least + 1e-9);
        expect(bound[figure]).toBeGreaterThan(least * (1 - 1e-3));
        expect(bound[figure]).toBeLessThanOrEqual(kl[figure] as number);
      }
      expect(bound.se).toBeCloseTo(leastKl["se"] as number, 4);
      expect(bound.positions).toBe(100);
    },
  );

  test.each([
    ["logits/reference", "reduced/candidate"],
    ["reduced/reference", "logits/candidate"],
  ])("is below the truth for %s and %s too", async (reference, candidate) => {
    const { quality } = await compareDumps({
      reference: `${FIXTURES}${reference}.arrow`,
      candidate: `${FIXTURES}${candidate}.arrow`,
    });
    const { mean, max } = EXPECTED.logits.candidate.kl as { mean: number; max: number };
    expect(quality.klLowerBound?.mean).toBeLessThanOrEqual(mean);
    expect(quality.klLowerBound?.mean).toBeGreaterThan(mean / 2);
    expect(quality.klLowerBound?.max).toBeLessThanOrEqual(max);
  });
});

describe("statistics", () => {
  const dump = (form: "stats" | "dense", side: string) =>
    `${FIXTURES}reduced/${form}-${side}.arrow`;
  const results = new Map<string, ComparisonResult>();
  const forms = [
    ["stats", "stats"],
    ["dense", "stats"],
    ["stats", "dense"],
  ] as const;

  beforeAll(async () => {
    for (const [reference, candidate] of forms) {
      results.set(
        `${reference} ${candidate}`,
        await compareDumps({
          reference: dump(reference, "reference"),
          candidate: dump(candidate, "candidate"),
        }),
      );
    }
  });

  const tensorOf = (form: string, name: string) => {
    const tensor = results.get(form)?.tensors.find((one) => one.name === name);
    if (tensor?.statsFigures == null) throw new Error(`${name} has no statistics`);
    return { ...tensor, statsFigures: tensor.statsFigures };
  };

  describe.each(forms)("%s and %s", (reference, candidate) => {
    const form = `${reference} ${candidate}`;

    test.each(Object.keys(EXPECTED.tensors))(
      "nothing is claimed of «%s» beyond the truth",
      (name) => {
        const truth = EXPECTED.tensors[name] ?? null;
        const { bounds } = tensorOf(form, name).statsFigures;
        if (truth === null) {
          expect(name === "one nan" ? bounds : null).toBeNull();
          return;
        }
        if (bounds === null) throw new Error("no bounds");
        for (const figure of ["relL2", "tokenRelL2Max", "maxAbs", "mse"] as const) {
          expect(bounds[figure], figure).toBeLessThanOrEqual(Number(truth[figure]));
        }
        expect(bounds.cosine).toBeGreaterThanOrEqual(Number(truth.cosine) - 1e-15);
      },
    );

    test.each([
      // By hand: ‖x‖ − ‖y‖ alone, the means alone, zero against anything, constants.
      ["scaled", { relL2: 0.25, maxAbs: 0.5989494323730469, cosine: 1 }],
      ["shifted", { mse: 0.25, maxAbs: 0.5 }],
      ["zeroed", { relL2: 1, tokenRelL2Max: 1, cosine: 0 }],
      ["from zero", { relL2: Number.POSITIVE_INFINITY }],
      ["constant", { maxAbs: 0.5, relL2: 1 / 6 }],
    ] as const)("«%s» is proved as wrong as it is", (name, figures) => {
      const { bounds } = tensorOf(form, name).statsFigures;
      for (const [figure, value] of Object.entries(figures)) {
        const found = bounds?.[figure as keyof StatsBounds] as number;
        if (value === Number.POSITIVE_INFINITY) expect(found).toBe(value);
        else expect(Math.abs(found - value)).toBeLessThan(1e-6);
      }
    });

    test("the verdicts are those that can be given", () => {
      const verdicts = Object.fromEntries(
        Object.keys(EXPECTED.tensors).map((name) => [name, tensorOf(form, name).verdict]),
      );
      expect(verdicts).toEqual({
        equal: "inconclusive",
        noise: "inconclusive",
        scaled: "fail",
        shifted: "fail",
        negated: "fail",
        permuted: "inconclusive",
        zeroed: "fail",
        "from zero": "fail",
        wider: "fail",
        far: "fail",
        large: "fail",
        "one nan": "fail",
        // The counts agree, the rest of the statistics cannot unless the places differ.
        "other nan": "fail",
        clamped: "fail",
        constant: "fail",
      });
    });
  });

  test("dense data agree with the statistics of their file", () => {
    for (const name of Object.keys(EXPECTED.tensors)) {
      const [a, b] = ["stats stats", "dense stats"].map(
        (form) => tensorOf(form, name).statsFigures,
      );
      for (const key of ["min", "max", "nan", "posInf", "negInf"] as const) {
        expect(a?.reference[key]).toBe(b?.reference[key]);
      }
      expect(b?.reference.rms).toBeCloseTo(
        a?.reference.rms ?? Number.NaN,
        a?.reference.rms === 0 ? 12 : -25,
      );
      expect((b?.reference.mean ?? 0) / (a?.reference.mean ?? 1) || 1).toBeCloseTo(1, 9);
    }
  });

  test("reasons of the failures", () => {
    const rules = (name: string): readonly (readonly [string, number | null])[] =>
      (results.get("stats stats")?.findings ?? [])
        .filter(({ tensor, level }) => tensor === name && level === "error")
        .map(({ rule, value }) => [rule, value]);
    expect(rules("one nan")).toEqual([["finite/mismatched", 1]]);
    expect(rules("clamped").map(([rule]) => rule)).toContain("finite/saturation");
    expect(rules("from zero").map(([rule]) => rule)).toContain("layer/infinite");
    expect(rules("zeroed").map(([rule]) => rule)).toEqual(["layer/prior-token"]);
  });
});
