/** Decode steps are a group of their own: verdict, origin, quality, and what is missing. */

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import type { StepGroup } from "../src/core/verdict.ts";
import { scratch } from "./support/scratch.ts";
import {
  addNoise,
  type ToyOptions,
  type ToyTensor,
  toyTensors,
  writeToyRun,
} from "./support/toy-run.ts";

const NOISE = 2 ** -24;

/** Decode steps of the two samples. */
const STEPS = [3, 1];

const { folder } = scratch();

interface Side {
  readonly steps?: readonly number[];
  readonly change?: (tensors: ToyTensor[]) => void;
  readonly keep?: (tensor: ToyTensor) => boolean;
  readonly options?: Partial<ToyOptions>;
}

interface Case {
  readonly reference?: Side;
  readonly candidate?: Side;
  readonly floor?: Side;
}

async function compare(
  { reference, candidate, floor }: Case,
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  const directory = mkdtempSync(join(folder, "pair-"));
  const write = (name: string, seed: number, side: Side): string => {
    const path = join(directory, `${name}.arrow`);
    const tensors = toyTensors(side.steps ?? STEPS);
    if (seed > 0) addNoise(tensors, NOISE, seed);
    side.change?.(tensors);
    const kept = tensors.filter((tensor) => side.keep?.(tensor) ?? true);
    writeToyRun(path, kept, { id: `${name}-id`, ...side.options });
    return path;
  };
  return compareDumps({
    reference: write("reference", 0, reference ?? {}),
    candidate: write("candidate", 1, candidate ?? {}),
    floors: floor === undefined ? [] : [write("floor", 2, floor)],
    // Rows of 8 elements are too short for the method's own limit.
    ...(floor === undefined ? {} : { limits: { maxFloorRatio: 4 } }),
    ...options,
  });
}

/** Makes the named tensors wrong by half, in one group. */
function wrong(group: StepGroup, ...names: readonly string[]): (tensors: ToyTensor[]) => void {
  return (tensors) => {
    for (const tensor of tensors) {
      if (!names.includes(tensor.name) || tensor.step > 0 !== (group === "decode")) continue;
      tensor.values = tensor.values.map((value) => value * 1.5);
    }
  };
}

function both(...changes: readonly ((tensors: ToyTensor[]) => void)[]): Side {
  return {
    change: (tensors) => {
      for (const change of changes) change(tensors);
    },
  };
}

/** Verdict, origin and cache of each group. */
function groups(result: ComparisonResult): readonly unknown[] {
  return result.groups.map(({ step, verdict, origin, throughCache }) => [
    step,
    verdict,
    origin?.tensor ?? null,
    throughCache,
  ]);
}

function roles(result: ComparisonResult, step: StepGroup): Readonly<Record<string, string>> {
  return Object.fromEntries(
    result.tensors.flatMap((one) =>
      one.role === null || one.step !== step ? [] : [[one.name, one.role]],
    ),
  );
}

function errors(result: ComparisonResult): readonly string[] {
  const found = result.findings.filter(({ level }) => level === "error");
  return [...new Set(found.map(({ rule }) => rule))];
}

describe("a clean pair", () => {
  test.each([
    ["by the prior", {}],
    ["against a floor", { floor: {} }],
  ])("passes in both groups %s", async (_name, pair) => {
    const result = await compare(pair);
    expect(groups(result)).toEqual([
      ["prefill", "pass", null, false],
      ["decode", "pass", null, false],
    ]);
    expect(result.verdict).toBe("pass");
    expect(result.tensors.filter(({ step }) => step === "decode").map(({ rows }) => rows)).toEqual(
      Array.from({ length: 15 }, () => 4),
    );
  });

  test("has figures of the decode logits: a step predicts what the next one was fed with", async () => {
    const { decode, kl } = (await compare({})).quality;
    expect(decode?.kl?.positions).toBe(4);
    expect(decode?.top1Agreement).toMatchObject({ agreed: 4, positions: 4 });
    // Sample 0 has three steps, the last of which predicts nothing that is known.
    expect(decode?.perplexity).toMatchObject({ tokens: 2, samples: 1 });
    expect(kl?.positions).toBe(12);
    expect(
      (await compare({ reference: { steps: [] }, candidate: { steps: [] } })).quality.decode,
    ).toBe(null);
  });

  test("of a single decoded row is judged by it, with the allowance of one row", async () => {
    const single = { steps: [0, 1] };
    const result = await compare({ reference: single, candidate: single, floor: single });
    const tensors = result.tensors.filter(({ step }) => step === "decode");
    expect(tensors).toHaveLength(15);
    for (const { rows, floor } of tensors) {
      expect(rows).toBe(1);
      // One row is the mean, the quantile, the maximum and the sample, which has four times the limit.
      expect(floor?.floorRatioP99).toBeCloseTo(floor?.floorRatio ?? 0, 12);
      expect(floor?.worstSampleFloorRatio).toBeCloseTo((floor?.floorRatio ?? 0) / 4, 12);
    }
    expect((await compare({ reference: single, candidate: single })).verdict).toBe("pass");
  });
});

describe("few rows have wider limits: one row four times", () => {
  const single = { steps: [0, 1] };
  const wrongRow = both(wrong("decode", "layers.1.mlp"));
  const faulty = { reference: single, candidate: { ...single, ...wrongRow } };
  const limitsOf = (result: ComparisonResult): Readonly<Record<string, number | null>> =>
    Object.fromEntries(
      result.findings
        .filter(({ tensor, level }) => tensor === "layers.1.mlp" && level === "error")
        .map(({ rule, limit }) => [rule, limit]),
    );

  test("against a floor, and still find what is wrong", async () => {
    const result = await compare({ ...faulty, floor: single }, { limits: {} });
    expect(limitsOf(result)).toMatchObject({
      "layer/floor-ratio": 2 * 4,
      "layer/floor-ratio-p99": 3.5 * 4,
      "layer/floor-sample": 2,
    });
    expect(result.origin).toMatchObject({ tensor: "layers.1.mlp", step: "decode" });
  });

  test("by the prior: 12 rows of the prompts stand at 4/√12", async () => {
    const result = await compare(faulty);
    const limit = (group: StepGroup): number =>
      result.tensors.find(({ name, step }) => name === "layers.1.mlp" && step === group)
        ?.priorLimit ?? Number.NaN;
    expect(limit("decode") / limit("prefill")).toBeCloseTo(Math.sqrt(12), 12);
    expect(limitsOf(result)["layer/prior"]).toBe(limit("decode"));
  });

  test("never so wide that a row of zeros passes, whatever the format", async () => {
    const zeroed: Side = {
      ...single,
      change: (tensors) => {
        for (const { name, step, values } of tensors) {
          if (name === "layers.1.mlp" && step > 0) values.fill(0);
        }
      },
    };
    const result = await compare({ reference: single, candidate: zeroed }, { preset: "fp8" });
    expect(groups(result).at(-1)).toEqual(["decode", "fail", "layers.1.mlp", false]);
  });
});

describe("faults", () => {
  test("at decode alone: the prefill passes, decode fails with its origin", async () => {
    const names = ["layers.2.mlp", "layers.2", "norm", "logits"];
    const result = await compare({ candidate: both(wrong("decode", ...names)), floor: {} });
    expect(groups(result)).toEqual([
      ["prefill", "pass", null, false],
      ["decode", "fail", "layers.2.mlp", false],
    ]);
    expect(result.verdict).toBe("fail");
    expect(result.origin).toMatchObject({ tensor: "layers.2.mlp", step: "decode" });
    expect(roles(result, "prefill")).toEqual({});
    expect(roles(result, "decode")).toEqual({
      "layers.2.mlp": "origin",
      "layers.2": "inherited",
      norm: "inherited",
      logits: "inherited",
    });
  });

  test("at one step of one sample are not averaged away", async () => {
    const result = await compare({
      candidate: {
        change: (tensors) => {
          const one = tensors.find(
            ({ name, sample, step }) => name === "layers.1.attn" && sample === 0 && step === 2,
          );
          if (one !== undefined) one.values = one.values.map((value) => -value);
        },
      },
      floor: {},
    });
    expect(groups(result).at(-1)).toEqual(["decode", "fail", "layers.1.attn", false]);
  });

  test("of the prefill alone leave decode its pass", async () => {
    const result = await compare({ candidate: both(wrong("prefill", "layers.2.mlp")) });
    expect(groups(result)).toEqual([
      ["prefill", "fail", "layers.2.mlp", false],
      ["decode", "pass", null, false],
    ]);
  });

  test.each<[string, string, string, boolean]>([
    ["a later layer's attention reads its keys", "layers.1.mlp", "layers.2.attn", true],
    ["the embedding reaches every layer", "embed", "layers.0.attn", true],
    ["the same module is at fault itself", "layers.1.mlp", "layers.1.mlp", false],
    ["an earlier one too", "layers.2.mlp", "layers.1.attn", false],
    ["so is a later block of the same layer", "layers.1.attn", "layers.1.mlp", false],
    ["no attention reads the last layer's MLP", "layers.3.mlp", "norm", false],
    ["nor the final norm", "norm", "logits", false],
  ])("through the cache: %s", async (_name, prefill, decode, throughCache) => {
    const result = await compare({
      candidate: both(wrong("prefill", prefill), wrong("decode", decode)),
    });
    expect(groups(result)).toEqual([
      ["prefill", "fail", prefill, false],
      ["decode", "fail", decode, throughCache],
    ]);
    expect(result.origin).toMatchObject({ tensor: prefill, step: "prefill" });
    expect(roles(result, "decode")).toEqual({ [decode]: throughCache ? "inherited" : "origin" });
  });

  test("a limit of the user's in decode is no origin beside a fault of the prefill", async () => {
    const result = await compare(
      { candidate: both(wrong("prefill", "layers.1.mlp")) },
      { limits: { maxAbs: 1e-12 } },
    );
    expect(groups(result)).toEqual([
      ["prefill", "fail", "layers.1.mlp", false],
      ["decode", "fail", null, false],
    ]);
  });

  test("a NaN in the logits of a step is never a pass", async () => {
    const result = await compare({
      reference: {
        change: (tensors) => {
          for (const { name, step, values } of tensors) {
            if (name === "logits" && step === 1) values[3] = Number.NaN;
          }
        },
      },
      candidate: {
        change: (tensors) => {
          for (const { name, step, values } of tensors) {
            if (name === "logits" && step === 1) values[3] = Number.NaN;
          }
        },
      },
    });
    expect(
      result.findings.filter(({ rule }) => rule === "quality/undefined").map(({ step }) => step),
    ).toContain("decode");
    expect(groups(result)).toEqual([
      ["prefill", "pass", null, false],
      ["decode", "fail", null, false],
    ]);
  });
});

describe("what one side did not decode", () => {
  test.each<[string, Partial<ToyOptions>]>([
    ["is missing", {}],
    ["is missing whatever its writer selected", { select: ["embed"] }],
  ])("by the candidate %s", async (_name, options) => {
    const result = await compare({ candidate: { steps: [], options } });
    expect(result.verdict).toBe("fail");
    expect(errors(result)).toEqual(["structure/missing"]);
    expect(result.missing.candidate).toContain("input_ids@0.1");
    expect(result.groups.map(({ step, verdict }) => [step, verdict])).toEqual([
      ["prefill", "pass"],
      ["decode", "fail"],
    ]);
  });

  test.each([
    ["a sample", 1, 1, "1.1"],
    ["the last step of a sample", 0, 3, "0.3"],
  ])("in %s is missing too", async (_name, sample, step, place) => {
    const keep = (tensor: ToyTensor): boolean => tensor.sample !== sample || tensor.step !== step;
    const result = await compare({ candidate: { keep } });
    expect(errors(result)).toEqual(["structure/missing"]);
    // Fifteen tensors, and the ids.
    expect(result.missing.candidate).toHaveLength(16);
    expect(result.missing.candidate.every((name) => name.endsWith(`@${place}`))).toBe(true);
  });

  test("by a candidate that says it could not is not captured, and has no verdict", async () => {
    const run = { capture: { decode: false } };
    const result = await compare({ candidate: { steps: [], options: { run } } });
    expect(result.verdict).toBe("pass");
    expect(result.missing.candidate).toEqual([]);
    expect(result.notCaptured.candidate).toContain("input_ids@0.1");
    expect(result.notCaptured.candidate).toContain("logits@1.1");
    expect(result.findings).toContainEqual(
      expect.objectContaining({ rule: "structure/not-captured", tensor: "logits", step: "decode" }),
    );
    expect(result.groups.map(({ step }) => step)).toEqual(["prefill"]);
  });

  test("by one that says so and has some steps is missing", async () => {
    const run = { capture: { decode: false } };
    const keep = (tensor: ToyTensor): boolean => tensor.sample !== 0 || tensor.step !== 3;
    const result = await compare({ candidate: { keep, options: { run } } });
    expect(errors(result)).toEqual(["structure/missing"]);
    expect(result.missing.candidate).toHaveLength(16);
  });

  test("by a candidate that could not, in the tensors of its prompts is missing", async () => {
    const run = { capture: { decode: false } };
    const keep = ({ name }: ToyTensor): boolean => name !== "norm";
    const result = await compare({ candidate: { steps: [], keep, options: { run } } });
    expect(errors(result)).toEqual(["structure/missing"]);
    expect(result.missing.candidate.every((name) => /^norm@\d\.0$/.test(name))).toBe(true);
  });

  test("by the reference is missing there", async () => {
    const result = await compare({ reference: { steps: [] } });
    expect(result.missing.reference).toContain("layers.0.attn@0.1");
    expect(result.verdict).toBe("fail");
  });

  test("a tensor that was not selected is not captured, in decode too", async () => {
    const select = ["embed", "layers.*", "logits"];
    const result = await compare({
      candidate: { keep: ({ name }) => name !== "norm", options: { select } },
    });
    expect(result.verdict).toBe("pass");
    expect(result.notCaptured.candidate).toContain("norm@0.3");
  });
});

describe("token ids of the steps", () => {
  const otherIds = {
    stepId: (sample: number, step: number) => (step === 2 ? 15 : 7 * sample + 3 * step),
  };
  const noIds = { stepId: () => null };

  test("that differ are refused, with the place", async () => {
    // A text of the prompt's first token is not one of the step's.
    const texts = ["<s>"];
    const pair = {
      reference: { options: { texts } },
      candidate: { options: { ...otherIds, texts } },
    };
    await expect(compare(pair)).rejects.toMatchObject({
      code: "tokens-differ",
      facts: [
        { text: expect.stringContaining("sample 0, step 2") as string },
        { text: expect.stringMatching(/first difference at token 0: 15$/) as string },
      ],
    });
  });

  test.each<[string, Case, string]>([
    ["the candidate's", { candidate: { options: noIds } }, "tokens-differ"],
    ["the reference's", { reference: { options: noIds } }, "tokens-differ"],
    [
      "both sides'",
      { reference: { options: noIds }, candidate: { options: noIds } },
      "tokens-differ",
    ],
    ["the floor's", { floor: { options: noIds } }, "floor-incompatible"],
  ])("that are not stored although their tensors are: %s", async (_name, pair, code) => {
    await expect(compare(pair)).rejects.toMatchObject({ code });
  });

  test("of a floor that differ are refused", async () => {
    await expect(compare({ floor: { options: otherIds } })).rejects.toMatchObject({
      code: "floor-incompatible",
    });
  });
});

describe("a floor that did not decode", () => {
  test("leaves decode to the prior, and the report says so", async () => {
    const result = await compare({ floor: { steps: [] } });
    expect(result.verdict).toBe("pass");
    const limits = (group: StepGroup): readonly boolean[] =>
      result.tensors
        .filter(({ step }) => step === group)
        .map(({ priorLimit }) => priorLimit !== null);
    expect(limits("prefill")).not.toContain(true);
    expect(limits("decode")).not.toContain(false);
    expect(result.findings.find(({ rule }) => rule === "input/floor-fallback")).toMatchObject({
      value: 15,
      detail: { reason: "floor-lacks-rows" },
    });
  });

  test("excuses nothing there", async () => {
    const result = await compare({
      candidate: both(wrong("decode", "layers.0.mlp")),
      floor: { steps: [] },
    });
    expect(groups(result).at(-1)).toEqual(["decode", "fail", "layers.0.mlp", false]);
  });
});
