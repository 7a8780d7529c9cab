/** Isolated replay: a candidate that was fed with the reference's stream. */

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { renderMarkdown } from "../src/report/markdown.ts";
import { scratch } from "./support/scratch.ts";
import { addNoise, toyTensors, writeToyRun } from "./support/toy-run.ts";

const NOISE = 2 ** -24;
const REFERENCE = "a".repeat(32);

const { folder } = scratch();

interface Case {
  /** Whose stream each dump was fed with; null where it computed its own. */
  readonly reference?: string | null;
  readonly candidate?: string | null;
  readonly floor?: string | null;
  /** Tensors of the candidate that are wrong by half. */
  readonly wrong?: readonly string[];
}

async function compare(
  { reference = null, candidate = REFERENCE, floor, wrong = [] }: Case,
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  const directory = mkdtempSync(join(folder, "pair-"));
  const write = (
    name: string,
    id: string,
    of: string | null,
    { seed = 0, wrongOnes = [] as readonly string[] } = {},
  ): string => {
    const path = join(directory, `${name}.arrow`);
    const tensors = toyTensors([2, 1]);
    if (seed > 0) addNoise(tensors, NOISE, seed);
    for (const tensor of tensors) {
      if (!wrongOnes.includes(tensor.name)) continue;
      tensor.values = tensor.values.map((value) => value * 1.5);
    }
    writeToyRun(path, tensors, {
      id,
      run: { capture: { replay_of: of === null ? null : { id: of } } },
    });
    return path;
  };
  return compareDumps({
    reference: write("reference", REFERENCE, reference),
    candidate: write("candidate", "b1", candidate, { seed: 1, wrongOnes: wrong }),
    floors: floor === undefined ? [] : [write("floor", "c1", floor, { seed: 2 })],
    // Rows of 8 elements are too short for the method's own limit.
    ...(floor === undefined ? {} : { limits: { maxFloorRatio: 4 } }),
    ...options,
  });
}

describe("every tensor stands for itself", () => {
  test("nothing is inherited: the first failure is the origin, the others independent", async () => {
    const wrong = ["layers.1.mlp", "layers.3.attn", "norm"];
    const result = await compare({ wrong, floor: REFERENCE });
    expect(result.isolated).toBe(true);
    const roles = result.tensors
      .filter(({ step, role }) => step === "prefill" && role !== null)
      .map(({ name, role }) => [name, role]);
    expect(roles).toEqual([
      ["layers.1.mlp", "origin"],
      ["layers.3.attn", "independent"],
      ["norm", "independent"],
    ]);
    expect(result.groups.map(({ step, throughCache }) => [step, throughCache])).toEqual([
      ["prefill", false],
      ["decode", false],
    ]);
    expect(result.findings.filter(({ role }) => role === "inherited")).toEqual([]);
    expect(result.findings.find(({ rule }) => rule === "input/isolated")).toMatchObject({
      level: "info",
      detail: { file: "candidate.arrow" },
    });
  });

  test("a plain pair has none of this", async () => {
    const result = await compare({ candidate: null, wrong: ["layers.1.mlp", "norm"] });
    expect(result.isolated).toBe(false);
    expect(result.tensors.map(({ role }) => role)).not.toContain("independent");
  });

  test("no prior grows with depth", async () => {
    const limits = (result: ComparisonResult, block: string): readonly (number | null)[] =>
      result.tensors
        .filter(
          ({ name, step }) =>
            step === "prefill" && new RegExp(`^layers\\.\\d\\.${block}$`).test(name),
        )
        .map(({ priorLimit }) => priorLimit);
    const isolated = limits(await compare({}), "mlp");
    const plain = limits(await compare({ candidate: null }), "mlp");
    expect(new Set(isolated).size).toBe(1);
    expect(new Set(plain).size).toBe(4);
    expect(isolated[0]).toBe(plain[0]);
  });

  test("passes, and says nothing of the whole model", async () => {
    const result = await compare({ floor: REFERENCE });
    expect(result.verdict).toBe("pass");
    const { notAvailable, ...figures } = result.quality;
    expect(notAvailable).toEqual([]);
    expect(Object.values(figures).every((figure) => figure === null)).toBe(true);
    expect(result.rules.find(({ rule }) => rule === "quality/nll")?.reason).toBe("isolated");
    expect(renderMarkdown(result, { lang: "en" })).toContain(
      "not measured: the candidate replays the reference",
    );
  });

  test("a limit on what the model says is not kept", async () => {
    const result = await compare({}, { limits: { maxKl: 1 } });
    expect(result.verdict).toBe("fail");
  });
});

describe("what may stand beside it", () => {
  const OTHER = "e".repeat(32);

  test.each<[string, Case, string | null]>([
    ["a run and a replay of it", {}, null],
    ["two replays of one dump", { reference: OTHER, candidate: OTHER }, null],
    ["and a floor of the same", { reference: OTHER, candidate: OTHER, floor: OTHER }, null],
    ["a replay of another dump", { candidate: OTHER }, "replay"],
    ["replays of two dumps", { reference: OTHER, candidate: "d".repeat(32) }, "replay"],
    ["a replay of a replay", { reference: OTHER, candidate: REFERENCE }, "replay"],
    ["a replay as the reference of a run", { reference: OTHER, candidate: null }, "replay"],
    ["its own forced reference as the reference", { reference: "b1", candidate: null }, "replay"],
    ["a floor that is a run", { floor: null }, "floor-incompatible"],
    ["a floor that replays another dump", { floor: OTHER }, "floor-incompatible"],
    ["a replay as the floor of a plain pair", { candidate: null, floor: REFERENCE }, "replay"],
  ])("%s", async (_name, pair, code) => {
    const outcome = await compare(pair).then(
      ({ isolated }) => (isolated ? null : "plain"),
      (error: unknown) => (error as { code: string }).code,
    );
    expect(outcome).toBe(code);
  });

  test("no forced reference: it would be one of a stream that never was", async () => {
    const path = join(folder, "forced.arrow");
    writeToyRun(path, toyTensors([2, 1]), {
      id: "f1",
      run: { capture: { replay_of: { id: "b1" } } },
    });
    await expect(compare({}, { forced: [path] })).rejects.toMatchObject({
      code: "forced-incompatible",
    });
  });
});
