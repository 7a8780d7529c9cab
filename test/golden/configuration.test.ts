/**
 * Configurations that differ are named first, and as the cause of the module
 * that they change: in every kind of decoder and for every key that changes
 * anything there, as running them has shown (`fixtures/configuration_cases.py`).
 */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { scratch } from "../support/scratch.ts";
import { addNoise, LAYERS, toyTensors, writeToyRun } from "../support/toy-run.ts";

interface Case {
  readonly architecture: string;
  readonly changed: string;
  readonly first: string;
  readonly role: string | null;
  readonly reference: Readonly<Record<string, unknown>>;
  readonly candidate: Readonly<Record<string, unknown>>;
}

const CASES = JSON.parse(
  readFileSync(new URL("../../fixtures/configuration/cases.json", import.meta.url), "utf8"),
) as readonly Case[];

const files = scratch();

/** A candidate of another model, the tensor `first` of which is wrong. */
async function compare({ reference, candidate, first }: Case): Promise<ComparisonResult> {
  const write = (name: string, model: Case["reference"], seed: number): string => {
    const tensors = toyTensors();
    if (seed > 0) {
      addNoise(tensors, 2 ** -9, seed);
      for (const tensor of tensors) {
        if (tensor.name === first) tensor.values = tensor.values.map((value) => -value);
      }
    }
    const file = files.path();
    const dtype = seed > 0 ? "BF16" : "F32";
    writeToyRun(file, tensors, { id: name, dtype, run: { model: { layers: LAYERS, ...model } } });
    return file;
  };
  return compareDumps({
    reference: write("reference", reference, 0),
    candidate: write("candidate", candidate, 1),
  });
}

test.each(CASES)("$architecture: $changed", async (one) => {
  const result = await compare(one);
  const [first] = result.findings;
  expect(first).toMatchObject({ rule: "input/config", level: "warning" });
  // Blocks are compared as they enter the residual sum: its factor makes attention differ, too.
  const scaled = "residual_scale" in one.reference;
  expect(result.origin?.tensor).toBe(scaled ? "layers.0.attn" : one.first);
  if (one.role === null) return;
  const [cause] = result.origin?.causes ?? [];
  expect(cause?.id).toBe("cause/configuration");
  expect(cause?.evidence).toContain(" against ");
});
