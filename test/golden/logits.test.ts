/** What the model says, against PyTorch float64, NumPy and SciPy (`fixtures/logits_cases.py`). */

import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { Quality } from "../../src/core/quality.ts";

const DIRECTORY = new URL("../../fixtures/logits/", import.meta.url).pathname;

interface Figures {
  readonly [name: string]: number | readonly number[] | Figures;
}

const EXPECTED = JSON.parse(readFileSync(`${DIRECTORY}expected.json`, "utf8")) as Figures;

let quality: Quality;

beforeAll(async () => {
  const result = await compareDumps({
    reference: `${DIRECTORY}reference.arrow`,
    candidate: `${DIRECTORY}candidate.arrow`,
    floors: [`${DIRECTORY}floor.arrow`],
  });
  quality = result.quality;
});

/** Path, value: every number in `figures`. */
function* numbers(figures: Figures, path: string): Generator<readonly [string, number]> {
  for (const [name, value] of Object.entries(figures)) {
    const here = path === "" ? name : `${path}.${name}`;
    if (typeof value === "number") yield [here, value];
    else if (Array.isArray(value)) {
      for (const [index, number] of (value as readonly number[]).entries()) {
        yield [`${here}.${String(index)}`, number];
      }
    } else yield* numbers(value as Figures, here);
  }
}

function measured(path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => {
    return typeof value === "object" && value !== null
      ? (value as Readonly<Record<string, unknown>>)[key]
      : undefined;
  }, quality);
}

/** KL has an absolute tolerance where it is tiny; everything else is good to 1e-8 of its size. */
function tolerance(path: string, expected: number): number {
  if (path.startsWith("kl.")) return Math.max(1e-9, 1e-5 * Math.abs(expected));
  if (path.startsWith("perplexity") && !path.includes("elta") && !path.includes("ci95")) {
    return 1e-9 * Math.max(1, Math.abs(expected));
  }
  return Math.max(1e-12, 1e-8 * Math.abs(expected));
}

test.each([...numbers(EXPECTED, "")])("%s", (path, expected) => {
  const actual = measured(path);
  expect(typeof actual).toBe("number");
  const error = Math.abs((actual as number) - expected);
  expect(error <= tolerance(path, expected), `${String(actual)} for ${String(expected)}`).toBe(
    true,
  );
});
