/** Verdicts of whole comparisons: each case changes one thing of a clean pair. */

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { findingMessage } from "../src/report/finding-text.ts";
import { scratch } from "./support/scratch.ts";
import {
  addNoise,
  type ToyOptions,
  type ToyTensor,
  toyTensors,
  uniform,
  writeToyRun,
} from "./support/toy-run.ts";

/** Far below what the prior allows in float32. */
const NOISE = 2 ** -24;

const { folder } = scratch();

interface PairOptions {
  readonly change?: (candidate: ToyTensor[]) => ToyTensor[] | undefined;
  readonly changeReference?: (reference: ToyTensor[]) => ToyTensor[] | undefined;
  readonly reference?: Partial<ToyOptions>;
  readonly candidate?: Partial<ToyOptions>;
  /** Seeds of floors. */
  readonly floors?: readonly number[];
  readonly changeFloor?: (floor: ToyTensor[]) => ToyTensor[] | undefined;
  readonly floor?: Partial<ToyOptions>;
  readonly noise?: number;
}

/** Writes a pair and compares it. */
async function comparePair(
  pair: PairOptions = {},
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  const { noise = NOISE } = pair;
  const directory = mkdtempSync(join(folder, "pair-"));
  const base = toyTensors();
  const reference = pair.changeReference?.(base) ?? base;
  writeToyRun(join(directory, "reference.arrow"), reference, {
    id: "a".repeat(32),
    ...pair.reference,
  });
  let candidate = toyTensors();
  addNoise(candidate, noise, 2);
  candidate = pair.change?.(candidate) ?? candidate;
  writeToyRun(join(directory, "candidate.arrow"), candidate, {
    id: "b".repeat(32),
    ...pair.candidate,
  });
  const floors = (pair.floors ?? []).map((seed) => {
    const path = join(directory, `floor.${String(seed)}.arrow`);
    let floor = toyTensors();
    addNoise(floor, noise, seed);
    floor = pair.changeFloor?.(floor) ?? floor;
    writeToyRun(path, floor, { id: String(seed).padStart(32, "0"), ...pair.floor });
    return path;
  });
  return compareDumps({
    reference: join(directory, "reference.arrow"),
    candidate: join(directory, "candidate.arrow"),
    floors,
    ...options,
  });
}

/** Changes the values of one tensor, in all samples. */
function edit(name: string, change: (values: Float32Array, tensor: ToyTensor) => Float32Array) {
  return (tensors: ToyTensor[]): undefined => {
    for (const tensor of tensors) {
      if (tensor.name === name) tensor.values = change(tensor.values, tensor);
    }
  };
}

function rules(result: ComparisonResult): readonly string[] {
  return [
    ...new Set(result.findings.filter(({ level }) => level === "error").map(({ rule }) => rule)),
  ];
}

function roles(result: ComparisonResult): Readonly<Record<string, string>> {
  return Object.fromEntries(
    result.tensors.flatMap(({ name, role }) => (role === null ? [] : [[name, role]])),
  );
}

test("a sample beyond the prior is named where the whole tensor holds", async () => {
  const noisy = edit("layers.1.mlp", (values, { sample }) =>
    sample === 0 ? values : values.map((value, i) => value * (1 + (i % 2 === 0 ? 1e-4 : -1e-4))),
  );
  const { findings } = await comparePair({ change: noisy });
  const found = findings.filter(({ rule }) => rule.startsWith("layer/prior"));
  expect(found.map(({ rule }) => rule)).toContain("layer/prior-sample");
  expect(found.map(({ rule }) => rule)).not.toContain("layer/prior");
  for (const one of found) {
    expect(findingMessage(one, "en")).not.toContain("sample -");
    expect(one.sample).toBe(1);
  }
});

describe("a clean pair", () => {
  test("passes by the prior", async () => {
    const result = await comparePair();
    expect(result.verdict).toBe("pass");
    expect(result.evidence).toBe("prior");
    expect(result.origin).toBeNull();
    expect(result.tensors.map(({ name }) => name)).toEqual([
      "embed",
      ...[0, 1, 2, 3].flatMap((layer) => [
        `layers.${String(layer)}.attn`,
        `layers.${String(layer)}.mlp`,
        `layers.${String(layer)}`,
      ]),
      "norm",
      "logits",
    ]);
  });

  test("passes against a floor, the larger of two counting", async () => {
    const result = await comparePair({ floors: [3, 4] });
    expect(result.verdict).toBe("pass");
    expect(result.evidence).toBe("floor");
    const ratios = (of: ComparisonResult): readonly number[] =>
      of.tensors.map(({ floorRatio }) => floorRatio ?? Number.NaN);
    const [third, fourth] = [
      ratios(await comparePair({ floors: [3] })),
      ratios(await comparePair({ floors: [4] })),
    ];
    expect(ratios(result)).toEqual(third.map((ratio, at) => Math.min(ratio, fourth[at] ?? 0)));
  });

  test("gives the same result twice", async () => {
    const first = await comparePair({ floors: [3] });
    expect(await comparePair({ floors: [3] })).toEqual(first);
  });
});

describe("a candidate that is wrong in one tensor fails without any flag", () => {
  const faults: Record<string, (values: Float32Array, tensor: ToyTensor) => Float32Array> = {
    negated: (values) => values.map((value) => -value),
    zeroed: (values) => values.map(() => 0),
    "permuted along tokens": (values, { shape }) => {
      const width = shape[1] ?? 1;
      const shifted = new Float32Array(values.length);
      shifted.set(values.subarray(width));
      shifted.set(values.subarray(0, width), values.length - width);
      return shifted;
    },
    "permuted along channels": (values, { shape }) => {
      const width = shape[1] ?? 1;
      return values.map((_, at) => values[at - (at % width) + ((at + 1) % width)] ?? 0);
    },
    scaled: (values) => values.map((value) => value * 1.001),
    "one NaN": (values) => values.with(9, Number.NaN),
    "one infinity": (values) => values.with(9, Number.POSITIVE_INFINITY),
    "one token replaced": (values, { shape }) => {
      const width = shape[1] ?? 1;
      const changed = values.slice();
      changed.copyWithin(0, width, 2 * width);
      return changed;
    },
  };

  test.each(Object.entries(faults))("%s", async (_name, fault) => {
    for (const floors of [[], [3]]) {
      const result = await comparePair({ change: edit("layers.2.mlp", fault), floors });
      expect(result.verdict).toBe("fail");
      expect(result.origin?.tensor).toBe("layers.2.mlp");
      expect(roles(result)).toEqual({ "layers.2.mlp": "origin" });
    }
  });

  test("every row but the first off by 30 % while the first holds nearly all energy", async () => {
    const massive = (tensors: ToyTensor[]): undefined => {
      edit("layers.3", (values, { shape }) =>
        values.map((value, at) => (at < (shape[1] ?? 1) ? value * 1e3 : value)),
      )(tensors);
    };
    const result = await comparePair({
      changeReference: massive,
      change: (tensors) => {
        massive(tensors);
        edit("layers.3", (values, { shape }) =>
          values.map((value, at) => (at < (shape[1] ?? 1) ? value : value * 1.3)),
        )(tensors);
      },
    });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe("layers.3");
    const tensor = result.tensors.find(({ name }) => name === "layers.3");
    expect(tensor?.relL2).toBeLessThan(1e-2);
    expect(tensor?.tokenRelL2?.p50).toBeCloseTo(0.3, 3);
  });

  test("+Inf against −Inf is a mismatch, matched infinities are not", async () => {
    const withInfinity = (value: number) => edit("layers.1", (values) => values.with(3, value));
    const same = await comparePair({
      changeReference: withInfinity(Number.POSITIVE_INFINITY),
      change: withInfinity(Number.POSITIVE_INFINITY),
    });
    expect(same.verdict).toBe("pass");
    const opposite = await comparePair({
      changeReference: withInfinity(Number.POSITIVE_INFINITY),
      change: withInfinity(Number.NEGATIVE_INFINITY),
    });
    expect(opposite.verdict).toBe("fail");
    expect(rules(opposite)).toContain("finite/mismatched");
  });

  test("a row that is zero in the reference and not in the candidate", async () => {
    const zeroRow = edit("layers.1", (values) => values.fill(0, 0, 8));
    const result = await comparePair({
      changeReference: zeroRow,
      change: (tensors) => {
        zeroRow(tensors);
        edit("layers.1", (values) => values.with(0, 1e-6))(tensors);
      },
    });
    expect(rules(result)).toContain("layer/infinite");
  });

  test("a fault in one sample is not averaged away", async () => {
    const result = await comparePair({
      floors: [3],
      change: (tensors) => {
        for (const tensor of tensors) {
          if (tensor.name !== "layers.1" || tensor.sample !== 1) continue;
          const random = uniform(9);
          tensor.values = tensor.values.map((value) => value * (1 + 6 * NOISE * random()));
        }
      },
    });
    expect(rules(result)).toContain("layer/floor-sample");
  });
});

describe("origin", () => {
  test("is the first failing module in execution order; what follows inherits", async () => {
    const wrong = (values: Float32Array): Float32Array => values.map((value) => value * 1.1);
    const result = await comparePair({
      change: (tensors) => {
        for (const name of ["logits", "layers.3.attn", "layers.2"]) edit(name, wrong)(tensors);
      },
    });
    expect(result.origin).toMatchObject({ tensor: "layers.2", layer: 2, step: "prefill" });
    expect(roles(result)).toEqual({
      "layers.2": "origin",
      "layers.3.attn": "inherited",
      logits: "inherited",
    });
  });

  test.each([
    ["that of the file, where it says so", { capture: { order: "execution" } }, "queries"],
    ["that of the names otherwise", {}, "layers.1.attn"],
  ])("in an order that is %s", async (_, run, origin) => {
    const withQueries = (tensors: ToyTensor[]): ToyTensor[] =>
      tensors.flatMap((tensor) =>
        tensor.name === "layers.1.attn"
          ? [{ ...tensor, name: "queries", values: tensor.values.slice() }, tensor]
          : [tensor],
      );
    const wrong = (values: Float32Array): Float32Array => values.map((value) => value * 1.1);
    const result = await comparePair({
      changeReference: withQueries,
      change: (tensors) => {
        const changed = withQueries(tensors);
        for (const name of ["queries", "layers.1.attn"]) edit(name, wrong)(changed);
        return changed;
      },
      reference: { run },
    });
    expect(result.origin?.tensor).toBe(origin);
  });

  test("of a layer that did not run is the layer", async () => {
    const result = await comparePair({
      change: (tensors) => {
        for (const name of ["layers.1.attn", "layers.1.mlp"]) {
          edit(name, (values) => values.map(() => 0))(tensors);
        }
        edit("layers.1", (values) => values.map((value) => value / 2))(tensors);
      },
    });
    expect(result.origin?.tensor).toBe("layers.1");
    expect(roles(result)).toEqual({
      "layers.1.attn": "part",
      "layers.1.mlp": "part",
      "layers.1": "origin",
    });
  });
});

describe("structure", () => {
  const without = (name: string) => (tensors: ToyTensor[]) =>
    tensors.filter((tensor) => tensor.name !== name);

  test("a tensor missing inside capture.select fails", async () => {
    const result = await comparePair({
      change: without("layers.1.mlp"),
      candidate: { select: ["embed", "layers.*"] },
    });
    expect(result.verdict).toBe("fail");
    expect(result.missing.candidate).toEqual(["layers.1.mlp@0.0", "layers.1.mlp@1.0"]);
    expect(rules(result)).toEqual(["structure/missing"]);
  });

  test("so does one missing of a dump that meant to store everything", async () => {
    const result = await comparePair({ changeReference: without("norm") });
    expect(result.verdict).toBe("fail");
    expect(result.missing.reference).toEqual(["norm@0.0", "norm@1.0"]);
  });

  test("a tensor outside capture.select is not captured, and no failure", async () => {
    const result = await comparePair({
      change: without("norm"),
      candidate: { select: ["embed", "layers.*", "logits"] },
    });
    expect(result.verdict).toBe("pass");
    expect(result.notCaptured.candidate).toEqual(["norm@0.0", "norm@1.0"]);
    expect(result.missing.candidate).toEqual([]);
  });

  test("one sample of a tensor missing fails", async () => {
    const result = await comparePair({
      change: (tensors) => tensors.filter(({ name, sample }) => name !== "norm" || sample !== 1),
    });
    expect(result.missing.candidate).toEqual(["norm@1.0"]);
    expect(result.verdict).toBe("fail");
  });

  test("a shape difference fails with figures null; axes of length 1 are no difference", async () => {
    const reshape = (shape: (tensor: ToyTensor) => readonly number[]) => (tensors: ToyTensor[]) =>
      tensors.map((tensor) =>
        tensor.name === "layers.0" ? { ...tensor, shape: shape(tensor) } : tensor,
      );
    const wrong = await comparePair({
      change: reshape(({ shape: [rows = 1, width = 1] }) => [rows, width / 2, 2]),
    });
    expect(rules(wrong)).toEqual(["structure/shape"]);
    expect(wrong.tensors.find(({ name }) => name === "layers.0")).toMatchObject({
      relL2: null,
      verdict: "fail",
    });
    const squeezed = await comparePair({
      change: reshape(({ shape: [rows = 1, width = 1] }) => [rows, 1, width]),
    });
    expect(squeezed.verdict).toBe("pass");
  });

  test("different token ids are refused with both facts", async () => {
    const pair = comparePair({
      candidate: { ids: (sample) => (sample === 0 ? [0, 1, 2, 3, 9, 5, 6] : [0, 1, 2, 3, 4]) },
    });
    await expect(pair).rejects.toMatchObject({
      code: "tokens-differ",
      help: "capture the candidate with --tokens-from reference.arrow",
      facts: [
        {
          label: "reference",
          text: expect.stringContaining("first difference at token 4: 4") as string,
        },
        {
          label: "candidate",
          text: expect.stringContaining("first difference at token 4: 9") as string,
        },
      ],
    });
  });

  test("nothing aligned is refused", async () => {
    const pair = comparePair({}, { only: ["no.such.*"] });
    await expect(pair).rejects.toMatchObject({ code: "nothing-aligned" });
  });
});

describe("floors", () => {
  test("a floor that is the candidate is dropped with a warning", async () => {
    const result = await comparePair({ floors: [2], floor: { id: "b".repeat(32) } });
    expect(result.evidence).toBe("prior");
    expect(result.findings.map(({ rule }) => rule)).toContain("input/floor-dropped");
  });

  test("a floor that equals the reference is refused", async () => {
    const pair = comparePair({ floors: [3], changeFloor: () => toyTensors() });
    await expect(pair).rejects.toMatchObject({ code: "floor-is-reference" });
  });

  test("a floor of other tokens is refused", async () => {
    const pair = comparePair({
      floors: [3],
      floor: { ids: (sample) => (sample === 0 ? [1, 1, 1, 1, 1, 1, 1] : [0, 1, 2, 3, 4]) },
    });
    await expect(pair).rejects.toMatchObject({ code: "floor-incompatible" });
  });

  test("a floor as wrong as the candidate does not excuse it", async () => {
    const zero = edit("layers.2.mlp", (values) => values.map(() => 0));
    const result = await comparePair({ floors: [3], change: zero, changeFloor: zero });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe("layers.2.mlp");
  });

  test("a floor of another precision is scaled", async () => {
    const result = await comparePair({ floors: [3], floor: { dtype: "BF16" } });
    expect(result.findings.find(({ rule }) => rule === "input/floor-scaled")?.value).toBe(2 ** -16);
  });

  test("--max-floor-ratio moves the floor's limit", async () => {
    const result = await comparePair({ floors: [3] }, { limits: { maxFloorRatio: 0.5 } });
    expect(result.findings.find(({ rule }) => rule === "layer/floor-ratio")).toMatchObject({
      limit: 0.5,
      limitFrom: "flag",
    });
  });
});

describe("the user's limits are added to the rules", () => {
  test.each([
    [{ maxRelL2: 1e-12 }, "limit/rel-l2"],
    [{ minCosine: 1 }, "limit/cosine"],
    [{ maxAbs: 1e-12 }, "limit/max-abs"],
    [{ maxMse: 1e-24 }, "limit/mse"],
    [{ maxKl: 1e-18 }, "limit/kl"],
  ] as const)("%o", async (limits, rule) => {
    const kept = await comparePair(
      {},
      {
        limits: {
          maxRelL2: 1,
          minCosine: 0,
          maxAbs: 1,
          maxMse: 1,
          maxKl: 1,
          maxPplIncrease: 1,
          minTop1: 0,
          minFirstToken: 0,
        },
      },
    );
    expect(kept.verdict).toBe("pass");
    const broken = await comparePair({}, { limits });
    expect(broken.verdict).toBe("fail");
    expect(rules(broken)).toContain(rule);
  });

  test("an increase of the perplexity", async () => {
    const sureOfItself = (tensors: ToyTensor[]) =>
      tensors.map((one) =>
        one.name === "logits" ? { ...one, values: one.values.map((value) => 10 * value) } : one,
      );
    const compareWith = (maxPplIncrease: number) =>
      comparePair({ change: sureOfItself }, { limits: { maxPplIncrease } });
    expect(rules(await compareWith(0))).toContain("limit/ppl-increase");
    expect(rules(await compareWith(1e9))).not.toContain("limit/ppl-increase");
  });

  test.each([
    [{ limits: { maxPplIncrease: -0.5 } }, "limits.maxPplIncrease"],
    [{ limits: { minTop1: 98 } }, "limits.minTop1"],
    [{ limits: { maxKl: Number.NaN } }, "limits.maxKl"],
    [{ limits: { maxKL: 1 } }, "limits.maxKL"],
    [{ floor: ["floor.arrow"] }, "floor"],
    [{ floors: "floor.arrow" }, "floors"],
    [{ preset: "BF16" }, "preset"],
    [{ jobs: 0 }, "jobs"],
    [
      { levels: [{ rule: "layer/undecided", level: "off", tensors: null, at: "here" }] },
      "layer/undecided",
    ],
    [
      { levels: [{ rule: "layer/priors", level: "off", tensors: null, at: "here" }] },
      "layer/priors",
    ],
  ])("options that are none are refused: %o", async (given, named) => {
    const compared = comparePair({}, given as Partial<CompareOptions>);
    await expect(compared).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(named) as string,
    });
  });

  test("a limit that nothing was measured against is not kept", async () => {
    const noLogits = (tensors: ToyTensor[]) => tensors.filter(({ name }) => name !== "logits");
    const result = await comparePair(
      { change: noLogits, changeReference: noLogits },
      { limits: { maxKl: 1 } },
    );
    expect(result.verdict).toBe("fail");
    expect(rules(result)).toEqual(["limit/kl"]);
  });
});

describe("presets", () => {
  test("exact demands equal bits", async () => {
    const equal = await comparePair({ noise: 0 }, { preset: "exact" });
    expect(equal.verdict).toBe("pass");
    const negativeZero = await comparePair(
      {
        noise: 0,
        changeReference: edit("norm", (values) => values.with(0, 0)),
        change: edit("norm", (values) => values.with(0, -0)),
      },
      { preset: "exact" },
    );
    expect(rules(negativeZero)).toEqual(["exact/bits"]);
    expect(negativeZero.tensors.find(({ name }) => name === "norm")?.bitsDiffering).toBe(2);
  });

  test("bf16 allows what f32 does not", async () => {
    const coarse = await comparePair({ noise: 2 ** -9 }, { preset: "bf16" });
    expect(coarse.verdict).toBe("pass");
    const fine = await comparePair({ noise: 2 ** -9 });
    expect(fine.verdict).toBe("fail");
  });

  test("the limits are those of the coarser side, which is told where it is the reference", async () => {
    const at = (name: string): string =>
      fileURLToPath(new URL(`../fixtures/pairs/${name}.arrow`, import.meta.url));
    const told = ({ findings }: ComparisonResult): readonly string[] =>
      findings.flatMap(({ rule, level }) =>
        /dtype|coarse/u.test(rule) ? [`${level} ${rule}`] : [],
      );
    const swap = { reference: at("clean/candidate"), candidate: at("clean/reference") };
    const swapped = await compareDumps(swap);
    expect([swapped.verdict, swapped.preset]).toEqual(["pass", "bf16"]);
    expect(told(swapped)).toEqual(["warning input/coarse-reference"]);
    const asked = await compareDumps({ ...swap, preset: "f32" });
    expect([asked.verdict, asked.preset]).toEqual(["fail", "f32"]);
    const faulty = await compareDumps({ ...swap, reference: at("rotary-base/candidate") });
    expect([faulty.verdict, faulty.origin?.tensor]).toEqual(["fail", "layers.2.attn"]);
    const straight = await compareDumps({
      reference: swap.candidate,
      candidate: swap.reference,
    });
    expect(told(straight)).toEqual(["info input/dtype"]);
  });
});

test("fail-fast stops at the first failing tensor", async () => {
  const result = await comparePair(
    { change: edit("layers.0", (values) => values.map((value) => -value)) },
    { failFast: true },
  );
  expect(result.stopped).toBe(true);
  expect(result.rules.find(({ rule }) => rule === "quality/nll")?.reason).toBe("stopped");
  expect(result.tensors.at(-1)?.name).toBe("layers.0");
});

describe("what a floor does not cover it does not excuse", () => {
  const wrongSample = (tensors: ToyTensor[]): undefined => {
    for (const tensor of tensors) {
      if (tensor.name === "layers.1.mlp" && tensor.sample === 1) {
        tensor.values = tensor.values.map((value) => -value);
      }
    }
  };

  test.each<[string, (floor: ToyTensor[]) => ToyTensor[] | undefined]>([
    [
      "a sample that is missing",
      (floor) => floor.filter(({ name, sample }) => name !== "layers.1.mlp" || sample !== 1),
    ],
    [
      "a sample of NaN",
      (floor) => {
        for (const tensor of floor) {
          if (tensor.name === "layers.1.mlp" && tensor.sample === 1) tensor.values.fill(Number.NaN);
        }
        return undefined;
      },
    ],
  ])("%s", async (_name, changeFloor) => {
    const result = await comparePair({ change: wrongSample, floors: [3], changeFloor });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe("layers.1.mlp");
    expect(result.findings.find(({ rule }) => rule === "input/floor-fallback")).toMatchObject({
      value: 1,
      detail: { reason: "floor-lacks-rows" },
    });
  });

  test("both families of rules are listed where both decided", async () => {
    const result = await comparePair({
      floors: [3],
      changeFloor: (floor) => floor.filter(({ name }) => name !== "norm"),
    });
    const listed = result.rules.map(({ rule }) => rule);
    expect(listed).toContain("layer/prior");
    expect(listed).toContain("layer/floor-ratio");
  });

  test("a floor far beyond the prior decides nothing", async () => {
    const broken = edit("layers.2.mlp", (values) => values.map((value) => value * 1.01));
    const result = await comparePair({ change: broken, floors: [3], changeFloor: broken });
    expect(result.verdict).toBe("fail");
    expect(result.findings.find(({ rule }) => rule === "input/floor-fallback")?.detail).toEqual({
      reason: "floor-too-large",
    });
  });
});

describe("a dump that is only a part of its run is refused", () => {
  test.each([
    [{ parallel: { world_size: 8, rank: 0 } }, "rank-missing"],
    [{ capture: { replay_of: { id: "c".repeat(32) } } }, "replay"],
  ] as const)("%o", async (run, code) => {
    await expect(comparePair({ candidate: { run } })).rejects.toMatchObject({ code });
  });
});

test("what both sides meant to store and neither holds is missing", async () => {
  const without = (tensors: ToyTensor[]) =>
    tensors.filter(({ name }) => name !== "norm" && !name.startsWith("layers.3"));
  const select = ["embed", "layers.*", "norm", "logits"];
  const result = await comparePair({
    change: without,
    changeReference: without,
    candidate: { select },
    reference: { select },
  });
  expect(result.verdict).toBe("fail");
  expect(result.missing).toEqual({
    reference: ["norm", "layers.3"],
    candidate: ["norm", "layers.3"],
  });
});

test("a layer number out of all proportion does not widen the limits", async () => {
  const rename = (tensors: ToyTensor[]) =>
    tensors.map((tensor) =>
      tensor.name === "layers.3" ? { ...tensor, name: "layers.999999999" } : tensor,
    );
  const result = await comparePair({
    changeReference: rename,
    change: (tensors) => {
      edit("layers.3", (values) => values.map((value) => value * 1.00002))(tensors);
      return rename(tensors);
    },
  });
  expect(result.origin?.tensor).toBe("layers.999999999");
});

test("blocks are brought to one residual scale where the two sides have their own", async () => {
  const halved = (tensors: ToyTensor[]): undefined => {
    for (const tensor of tensors) {
      if (/attn|mlp/.test(tensor.name)) tensor.values = tensor.values.map((value) => value / 0.5);
    }
  };
  const scaled = { run: { model: { layers: 4, residual_scale: 0.5 } } };
  expect((await comparePair({ change: halved, candidate: scaled })).verdict).toBe("pass");
  expect((await comparePair({ change: halved })).verdict).toBe("fail");
});

test("a limit of the user's does not move the origin", async () => {
  const result = await comparePair(
    { change: edit("layers.1.mlp", (values) => values.map((value) => value * 1.5)) },
    { limits: { maxAbs: 1e-12 } },
  );
  expect(result.origin?.tensor).toBe("layers.1.mlp");
  expect(roles(result)).toEqual({ "layers.1.mlp": "origin" });
  expect(result.tensors.every(({ verdict }) => verdict === "fail")).toBe(true);
});

test("an embedding that equals the floor's is no reason to refuse the floor of a part", async () => {
  const embed = toyTensors().filter(({ name }) => name === "embed");
  const result = await comparePair(
    {
      floors: [3],
      changeFloor: (floor) => [...embed, ...floor.filter(({ name }) => name !== "embed")],
      change: edit("embed", (values) => values.map((value) => value * 1.5)),
    },
    { failFast: true },
  );
  expect(result.verdict).toBe("fail");
});

test("the two dumps are all that has to be named", async () => {
  const base = fileURLToPath(new URL("../fixtures/logits/", import.meta.url));
  const result = await compareDumps({
    reference: join(base, "reference.arrow"),
    candidate: join(base, "candidate.arrow"),
  });
  expect(result.quality.kl).not.toBeNull();
});
