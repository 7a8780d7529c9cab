/** Uncertainties of real logits against SciPy and statsmodels (`fixtures/statistics_cases.py`). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));

interface Figures {
  readonly [name: string]: number | readonly number[] | Figures;
}

const EXPECTED = JSON.parse(
  readFileSync(`${FIXTURES}statistics/expected.json`, "utf8"),
) as Readonly<Record<string, Figures>>;

/** Every number, by its path. */
function numbers(value: unknown, path = ""): readonly (readonly [string, number])[] {
  if (typeof value === "number") return [[path, value]];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => numbers(inner, `${path}.${key}`));
}

describe.each(Object.entries(EXPECTED))("%s", (pair, expected) => {
  test("means, intervals, quantiles and expected flips are theirs", async () => {
    const { quality } = await compareDumps({
      reference: `${FIXTURES}pairs/clean/reference.arrow`,
      candidate: `${FIXTURES}pairs/${pair}/candidate.arrow`,
      floors: [`${FIXTURES}pairs/clean/floor.arrow`],
    });
    const { perplexity, kl, top1Agreement, firstToken, flips } = quality;
    const deltaNll = perplexity?.deltaNll;
    const measured = new Map(
      numbers({ deltaNll, kl, top1Agreement, firstToken, flips }).map(([path, value]) => [
        path,
        value,
      ]),
    );
    const wanted = numbers(expected);
    expect(wanted.length).toBeGreaterThan(20);
    for (const [path, value] of wanted) {
      const found = measured.get(path) ?? Number.NaN;
      const close = Math.abs(found - value) <= Math.max(1e-12, 1e-8 * Math.abs(value));
      expect(close, `${path}: ${String(found)} for ${String(value)}`).toBe(true);
    }
  });
});
