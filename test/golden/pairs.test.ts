/**
 * Whole runs of a tiny model, right and wrong in known ways: every pair of
 * `fixtures/pairs/` gets the verdict, the origin and the rules that its
 * `expected.json` states, and figures that PyTorch and NumPy give in float64.
 * Once through the library, once through the real binary.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { cli } from "../support/cli.ts";

const PAIRS = fileURLToPath(new URL("../../fixtures/pairs/", import.meta.url));

interface Expected {
  readonly files: {
    readonly reference: string;
    readonly candidate: string;
    readonly floor: string;
  };
  readonly exitCode: number;
  readonly verdict: string;
  readonly origin: string | null;
  readonly errors: readonly string[];
  readonly figures: {
    readonly perplexity?: { readonly reference: number; readonly candidate: number };
    readonly kl?: { readonly mean: number };
    readonly tensors: Readonly<
      Record<
        string,
        {
          readonly tokenCosine: { readonly mean: number; readonly min: number };
          readonly mse: number;
          readonly maxAbs: number;
        }
      >
    >;
  };
}

const NAMES = readdirSync(PAIRS).toSorted();

function read(name: string): {
  readonly expected: Expected;
  readonly path: (file: string) => string;
} {
  const path = (file: string): string => join(PAIRS, name, file);
  return { expected: JSON.parse(readFileSync(path("expected.json"), "utf8")) as Expected, path };
}

/** Asserts |actual − expected| ≤ tolerance. */
function close(
  what: string,
  actual: number | undefined,
  expected: number,
  tolerance: number,
): void {
  const error = Math.abs((actual ?? Number.NaN) - expected);
  expect(error <= tolerance, `${what}: ${String(actual)}, expected ${String(expected)}`).toBe(true);
}

function errorsOf(result: ComparisonResult): readonly string[] {
  const errors = result.findings.filter(({ level }) => level === "error");
  return [...new Set(errors.map(({ rule }) => rule))].toSorted();
}

test("the pairs are there", () => {
  expect(NAMES).toEqual([
    "clean",
    "massive-first-row",
    "missing-tensor",
    "new-nan",
    "not-captured",
    "residual-skip",
    "rotary-base",
    "shape",
    "swapped-gate-up",
  ]);
});

describe.each(NAMES)("%s", (name) => {
  const { expected, path } = read(name);
  const files = {
    reference: path(expected.files.reference),
    candidate: path(expected.files.candidate),
    floors: [path(expected.files.floor)],
  };
  let result: ComparisonResult;

  beforeAll(async () => {
    result = await compareDumps(files);
  });

  test("verdict, origin and broken rules", () => {
    expect(result.verdict).toBe(expected.verdict);
    expect(result.origin?.tensor ?? null).toBe(expected.origin);
    expect(errorsOf(result)).toEqual(expected.errors);
    expect(result.evidence).toBe("floor");
  });

  test("figures of tensors", () => {
    for (const [tensor, figures] of Object.entries(expected.figures.tensors)) {
      const measured = result.tensors.find((candidate) => candidate.name === tensor);
      close(`${tensor} mse`, measured?.mse ?? undefined, figures.mse, 1e-9 * figures.mse);
      expect(measured?.maxAbs, `${tensor} maxAbs`).toBe(figures.maxAbs);
      const { mean, min } = figures.tokenCosine;
      close(`${tensor} token cosine`, measured?.tokenCosine?.mean, mean, 1e-14);
      close(`${tensor} least token cosine`, measured?.tokenCosine?.min, min, 1e-14);
    }
  });

  test("perplexity and KL", () => {
    const { perplexity, kl } = expected.figures;
    const { quality } = result;
    expect(quality.perplexity === null).toBe(perplexity === undefined);
    if (perplexity !== undefined) {
      for (const side of ["reference", "candidate"] as const) {
        close(side, quality.perplexity?.[side], perplexity[side], 1e-9 * perplexity[side]);
      }
    }
    expect(quality.kl === null).toBe(kl === undefined);
    if (kl !== undefined) {
      close("KL", quality.kl?.mean, kl.mean, Math.max(1e-9, 1e-5 * kl.mean));
    }
  });

  test("the binary says the same", async () => {
    const { reference, candidate, floors } = files;
    const args = ["compare", reference, candidate, "--floor", ...floors, "--json"];
    const { code, stdout } = await cli(args);
    expect(code).toBe(expected.exitCode);
    const told = JSON.parse(stdout) as ComparisonResult;
    expect(told.verdict).toBe(expected.verdict);
    expect(told.origin?.tensor ?? null).toBe(expected.origin);
    expect(errorsOf(told)).toEqual(expected.errors);
    expect(told.quality.perplexity).toEqual(result.quality.perplexity);
  });
});

test("whole-tensor figures alone would have passed the massive first row", async () => {
  const { expected, path } = read("massive-first-row");
  const { tensors } = await compareDumps({
    reference: path(expected.files.reference),
    candidate: path(expected.files.candidate),
  });
  const faulty = tensors.find(({ name }) => name === expected.origin);
  expect(faulty?.cosine).toBeGreaterThan(0.9999);
  expect(faulty?.relL2).toBeLessThan(0.011);
  expect(faulty?.tokenRelL2?.p50).toBeCloseTo(0.3, 2);
});

test("a structural fault is named with its place", async () => {
  const { expected, path } = read("missing-tensor");
  const { missing, notCaptured } = await compareDumps({
    reference: path(expected.files.reference),
    candidate: path(expected.files.candidate),
  });
  expect(missing).toEqual({ reference: [], candidate: ["layers.3.mlp@4.0"] });
  expect(notCaptured).toEqual({ reference: [], candidate: [] });
});

test("what was not captured is listed, and no failure", async () => {
  const { expected, path } = read("not-captured");
  const { missing, notCaptured, tensors } = await compareDumps({
    reference: path(expected.files.reference),
    candidate: path(expected.files.candidate),
  });
  expect(tensors.map(({ name }) => name)).toEqual([
    "layers.2.attn",
    "layers.2.mlp",
    "layers.2",
    "logits",
  ]);
  expect(missing.candidate).toEqual([]);
  // 11 other tensors of 6 samples.
  expect(notCaptured.candidate).toHaveLength(66);
});
