/** What is at fault by itself, what inherited, and what is a matter of configuration, where modules have forced references. */

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { scratch } from "./support/scratch.ts";
import { addNoise, type ToyTensor, toyTensors, writeToyRun } from "./support/toy-run.ts";

const { folder } = scratch();

const ROUNDING = 2 ** -9;
const ID = { reference: "a", candidate: "b", "floor.1": "c", "floor.2": "d" } as const;
const STEPS = [2, 1];

interface Set {
  /** Changes what a module of each floor answers to its own input. */
  readonly floorFault?: (tensor: ToyTensor) => void;
  /** Changes what the candidate's forced reference says. */
  readonly forcedFault?: (tensor: ToyTensor) => void;
  /** Which tensors the reference stored. */
  readonly select?: (tensor: ToyTensor) => boolean;
  /** Changes what a module of the candidate answers to its own input. */
  readonly fault?: (tensor: ToyTensor) => void;
  /** Relative size of what the candidate's tensors inherit. */
  readonly inherited?: (tensor: ToyTensor) => number;
  /** Which dumps have a forced reference. */
  readonly forced?: readonly (keyof typeof ID)[];
}

/** Writes a reference set and a candidate, and compares them. */
async function compareSet(
  {
    fault,
    floorFault,
    forcedFault,
    inherited,
    select = () => true,
    forced = ["candidate", "floor.1", "floor.2"],
  }: Set,
  options: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  const directory = mkdtempSync(join(folder, "set-"));
  const path = (name: string): string => join(directory, `${name}.arrow`);
  const stored = toyTensors(STEPS).filter(select);
  writeToyRun(path("reference"), stored, {
    id: ID.reference,
    select: [...new Set(stored.map(({ name }) => name))],
  });
  for (const [seed, name] of (["candidate", "floor.1", "floor.2"] as const).entries()) {
    const answers = toyTensors(STEPS);
    for (const tensor of answers) {
      const size = name === "candidate" ? (inherited?.(tensor) ?? 0) : 0;
      addNoise([tensor], size, 77);
    }
    const told = answers.map((tensor) => ({ ...tensor, values: tensor.values.slice() }));
    if (name === "candidate" && forcedFault !== undefined) told.forEach(forcedFault);
    writeToyRun(path(`forced.${name}`), told, {
      id: `e${String(seed)}`,
      run: { capture: { replay_of: { id: ID[name] } } },
    });
    for (const tensor of answers) {
      addNoise([tensor], ROUNDING, seed + 1);
      (name === "candidate" ? fault : floorFault)?.(tensor);
    }
    writeToyRun(path(name), answers, { id: ID[name], dtype: "BF16" });
  }
  return compareDumps({
    reference: path("reference"),
    candidate: path("candidate"),
    floors: [path("floor.1"), path("floor.2")],
    forced: forced.map((name) => path(`forced.${name}`)),
    ...options,
  });
}

/** A fault of a tenth of their size in the tensors of these names. */
function wrong(...names: readonly string[]): (tensor: ToyTensor) => void {
  return (tensor) => {
    if (names.includes(tensor.name)) addNoise([tensor], 0.1, 5);
  };
}

/** What every tensor behind the one of this name inherits. */
function behind(name: string): (tensor: ToyTensor) => number {
  const names = [...new Set(toyTensors().map((one) => one.name))];
  return (tensor) => (names.indexOf(tensor.name) > names.indexOf(name) ? 0.1 : 0);
}

function rolesOf({ tensors }: ComparisonResult, step = "prefill"): unknown {
  return Object.fromEntries(
    tensors.flatMap((one) =>
      one.step === step && one.role !== null ? [[one.name, one.role]] : [],
    ),
  );
}

test("a clean candidate passes, by its own errors", async () => {
  const result = await compareSet({});
  expect(result.verdict).toBe("pass");
  expect(result.evidence).toBe("forced");
  expect(result.groups.map(({ independent, systematic }) => [independent, systematic])).toEqual([
    [[], null],
    [[], null],
  ]);
});

test("the origin is at fault by itself, what follows it has inherited", async () => {
  const result = await compareSet({
    fault: wrong("layers.1.mlp"),
    inherited: behind("layers.1.mlp"),
  });
  expect(result.verdict).toBe("fail");
  expect(result.origin?.tensor).toBe("layers.1.mlp");
  const roles = rolesOf(result) as Record<string, string>;
  expect(roles["layers.1.mlp"]).toBe("origin");
  expect(roles["layers.1"]).toBe("inherited");
  expect(Object.values(roles)).not.toContain("independent");
});

test("further faults are independent, also behind an error that is inherited", async () => {
  const result = await compareSet({
    fault: wrong("layers.0.attn", "layers.2.mlp", "norm"),
    inherited: behind("layers.0.attn"),
  });
  const prefill = result.groups.find(({ step }) => step === "prefill");
  expect(prefill?.origin?.tensor).toBe("layers.0.attn");
  expect(prefill?.independent.map(({ tensor }) => tensor)).toEqual(["layers.2.mlp", "norm"]);
  expect(rolesOf(result)).toMatchObject({
    "layers.2.mlp": "independent",
    norm: "independent",
    "layers.1.attn": "inherited",
  });
});

test("more than half of a kind at fault is systematic; half is not", async () => {
  const all = await compareSet({ fault: wrong("layers.0.attn", "layers.1.attn", "layers.3.attn") });
  expect(all.groups[0]?.systematic).toEqual({ role: "attn", faulty: 3, places: 4 });
  const half = await compareSet({ fault: wrong("layers.0.attn", "layers.1.attn") });
  expect(half.groups[0]?.systematic).toBeNull();
});

test("a wrong sum before the MLP belongs to the layer", async () => {
  const sum = await compareSet({ fault: wrong("layers.2.mlp", "layers.2") });
  expect(sum.origin?.tensor).toBe("layers.2");
  const withAttention = await compareSet({
    fault: wrong("layers.2.attn", "layers.2.mlp", "layers.2"),
  });
  expect(withAttention.origin?.tensor).toBe("layers.2.attn");
});

test("a layer whose blocks hand over nothing did not run", async () => {
  const result = await compareSet({
    fault: (tensor) => {
      if (/^layers\.2\.(attn|mlp)$/.test(tensor.name)) tensor.values.fill(0);
    },
    inherited: behind("layers.2.mlp"),
  });
  expect(result.origin?.tensor).toBe("layers.2");
});

test("decode has an origin of its own: no cache carries an error into a forced reference", async () => {
  const result = await compareSet({
    fault: (tensor) => {
      if (tensor.name === "layers.0.attn" && tensor.step === 0) addNoise([tensor], 0.1, 5);
      if (tensor.name === "layers.3.attn" && tensor.step > 0) addNoise([tensor], 0.5, 5);
    },
  });
  expect(result.groups.map(({ origin, throughCache }) => [origin?.tensor, throughCache])).toEqual([
    ["layers.0.attn", false],
    ["layers.3.attn", false],
  ]);
});

describe("without every forced reference", () => {
  test("without the floors', fixed limits in units of the format decide", async () => {
    const clean = await compareSet({ forced: ["candidate"] });
    expect(clean.verdict).toBe("pass");
    expect(clean.evidence).toBe("forced");
    expect(clean.tensors.every(({ own }) => own !== null && own.statistics === null)).toBe(true);
    const faulty = await compareSet({ fault: wrong("layers.1.mlp"), forced: ["candidate"] });
    expect(faulty.findings.find(({ rule }) => rule === "own/fixed")).toMatchObject({
      tensor: "layers.1.mlp",
      limit: 4.9 * (4 / Math.sqrt(12)),
      limitFrom: "prior",
    });
  });

  test("without the candidate's, a plain pair decides, and it is said", async () => {
    const result = await compareSet({ forced: ["floor.1", "floor.2"] });
    expect(result.evidence).toBe("floor");
    expect(result.findings.map(({ rule }) => rule)).toContain("input/forced-absent");
  });
});

test("a NaN that only the module itself makes is its own", async () => {
  const result = await compareSet({
    fault: (tensor) => {
      if (tensor.name === "layers.1.attn") tensor.values[3] = Number.NaN;
    },
  });
  expect(result.origin?.tensor).toBe("layers.1.attn");
  expect(result.findings.some(({ rule }) => rule === "own/finite")).toBe(true);
});

test("the embedding is held to its table", async () => {
  const result = await compareSet({
    fault: (tensor) => {
      if (tensor.name === "embed") addNoise([tensor], 0.02, 5);
    },
  });
  expect(result.findings.find(({ rule }) => rule === "own/embed")).toMatchObject({
    role: "origin",
    limit: 1.5,
  });
});

describe("an embedding with a factor, which is rounded more often", () => {
  const noisy = (size: number, seed: number) => (tensor: ToyTensor) => {
    if (tensor.name === "embed") addNoise([tensor], size * ROUNDING, seed);
  };
  const found = async (set: Set) =>
    (await compareSet(set)).findings.find(({ rule }) => rule === "own/embed");

  test("is held to the roundings that the floor shows", async () => {
    expect(await found({ fault: noisy(2.6, 5), floorFault: noisy(2.6, 6) })).toBeUndefined();
    expect(await found({ fault: noisy(2.6, 5) })).toMatchObject({ limit: 1.5 });
  });

  test("is not excused by a floor that is worse than three of them", async () => {
    expect(await found({ fault: noisy(20, 5), floorFault: noisy(20, 6) })).toMatchObject({
      limit: 1.5 * Math.sqrt(3),
    });
  });
});

test("bit equality asks for no own error", async () => {
  const result = await compareSet({ fault: wrong("layers.1.mlp") }, { preset: "exact" });
  expect(result.evidence).toBe("exact");
  expect(result.findings.some(({ rule }) => rule.startsWith("own/"))).toBe(false);
});

describe("an error that is only propagated", () => {
  test("is a warning where every module is right on its own input and the quality holds", async () => {
    const inherited = behind("layers.1.attn");
    const result = await compareSet({
      inherited: (tensor) => (tensor.name === "logits" ? 0 : inherited(tensor)),
    });
    expect(result.verdict).toBe("pass");
    expect(result.findings.filter(({ level }) => level === "error")).toEqual([]);
    expect(
      result.findings.find(({ rule, step }) => rule === "layer/propagated" && step === "prefill"),
    ).toMatchObject({
      level: "warning",
      tensor: "layers.1.mlp",
      value: 9,
    });
    // The rows say so as well, each of those and no other.
    const carried = result.tensors.filter(({ role }) => role === "carried");
    expect(carried.filter(({ step }) => step === "prefill")).toHaveLength(9);
    expect(carried.every(({ verdict }) => verdict === "pass")).toBe(true);
    expect(result.tensors.filter(({ role }) => role !== null)).toEqual(carried);
  });

  test.each([
    ["where a module is at fault", { fault: wrong("norm") }],
    ["where a floor's own error is not known", { forced: ["candidate"] }],
  ] as const)("stands %s", async (_name, set) => {
    const result = await compareSet({ inherited: behind("layers.1.attn"), ...set });
    expect(result.verdict).toBe("fail");
    const failing = result.tensors.find(
      ({ name, step }) => name === "layers.1.mlp" && step === "prefill",
    );
    expect(failing?.verdict).toBe("fail");
    expect(failing?.role).toBe("fault" in set ? "carried" : "origin");
  });

  test("fails where the model says something else", async () => {
    const result = await compareSet({ inherited: behind("layers.1.attn") });
    expect(result.verdict).toBe("fail");
    expect(result.origin).toBeNull();
    expect(
      result.findings.filter(({ level }) => level === "error").map(({ rule }) => rule),
    ).toContain("quality/kl-ratio");
  });

  test("stands against a limit that the user set", async () => {
    const result = await compareSet(
      { inherited: behind("layers.1.attn") },
      { limits: { maxFloorRatio: 2 } },
    );
    expect(result.verdict).toBe("fail");
  });
});

describe("what clears no module", () => {
  const faulty = wrong("layers.1.mlp");
  const carried = behind("layers.1.mlp");

  test("floors with the same fault", async () => {
    const result = await compareSet({ fault: faulty, floorFault: faulty, inherited: carried });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe("layers.1.mlp");
    expect(result.tensors.find(({ name }) => name === "layers.1.mlp")?.own?.statistics).toBeNull();
    const unknown = result.findings.find(({ rule }) => rule === "input/own-unknown");
    expect(unknown?.detail["reason"]).toBe("floor-own-too-large");
  });

  test("a part of the stream, by a filter", async () => {
    const set = { fault: faulty, inherited: carried };
    for (const filter of [
      { only: ["layers.*.attn", ...["0", "1", "2", "3"].map((layer) => `layers.${layer}`)] },
      { skip: ["layers.1.mlp"] },
    ]) {
      const result = await compareSet(set, filter);
      expect(result.verdict).toBe("fail");
      expect(result.origin?.tensor).toBe("layers.1");
    }
  });

  test("a part of the stream, by what the reference stored", async () => {
    const result = await compareSet({
      fault: faulty,
      inherited: (tensor) => (tensor.name === "logits" ? 0 : carried(tensor)),
      select: ({ name }) => !name.endsWith(".mlp") && name !== "logits",
    });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe("layers.1");
  });

  test("a forced reference of zeros: every error is infinite", async () => {
    const result = await compareSet({
      forcedFault: (tensor) => {
        if (tensor.name === "layers.1.mlp") tensor.values.fill(0);
      },
    });
    expect(result.verdict).toBe("fail");
    expect(
      result.findings.find(({ rule, step }) => rule === "own/finite" && step === "prefill"),
    ).toMatchObject({ tensor: "layers.1.mlp", value: 12 });
  });

  test("a module that is NaN throughout where it should not be", async () => {
    const result = await compareSet({
      fault: (tensor) => {
        wrong("layers.0.attn")(tensor);
        if (tensor.name === "layers.2.mlp") tensor.values.fill(Number.NaN);
      },
    });
    const prefill = result.groups.find(({ step }) => step === "prefill");
    expect(prefill?.origin?.tensor).toBe("layers.0.attn");
    expect(prefill?.independent.map(({ tensor }) => tensor)).toEqual(["layers.2.mlp"]);
  });

  test("decode steps, where the prompts left something wrong in the cache", async () => {
    const result = await compareSet({
      fault: (tensor) => {
        if (tensor.step === 0) wrong("layers.0.attn")(tensor);
      },
      inherited: (tensor) => (tensor.name === "logits" ? 0 : behind("layers.0")(tensor)),
    });
    const decode = result.groups.find(({ step }) => step === "decode");
    expect(decode?.verdict).toBe("fail");
    expect(decode?.throughCache).toBe(true);
    expect(result.findings.some(({ rule }) => rule === "layer/propagated")).toBe(false);
  });

  test("a layer that did not run in decode is at fault by itself", async () => {
    const result = await compareSet({
      fault: (tensor) => {
        if (tensor.step === 0) wrong("layers.0.attn")(tensor);
        else if (/^layers\.2\.(attn|mlp)$/.test(tensor.name)) tensor.values.fill(0);
      },
      inherited: behind("layers.0.attn"),
    });
    const decode = result.groups.find(({ step }) => step === "decode");
    expect(decode?.origin?.tensor).toBe("layers.2");
    expect(decode?.throughCache).toBe(false);
  });
});
