/**
 * Runs of several ranks: a whole run is split into what each rank of an engine
 * would have written, and must compare as the whole does.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { openDump } from "../src/dump/open-dump.ts";
import { cli } from "./support/cli.ts";
import { python } from "./support/python.ts";
import { scratch } from "./support/scratch.ts";
import { asTensorParallel, splitRun } from "./support/split-ranks.ts";
import { addNoise, toyTensors, writeToyRun } from "./support/toy-run.ts";

const PAIRS = fileURLToPath(new URL("../fixtures/pairs/", import.meta.url));
const WHOLE = {
  reference: join(PAIRS, "clean/reference.arrow"),
  candidate: join(PAIRS, "clean/candidate.arrow"),
  floor: join(PAIRS, "clean/floor.arrow"),
};
const FAULTY = {
  reference: join(PAIRS, "massive-first-row/reference.arrow"),
  candidate: join(PAIRS, "massive-first-row/candidate.arrow"),
  floor: join(PAIRS, "massive-first-row/floor.arrow"),
};
const files = scratch();

/** Sums of terms are float64, other tensors what they were. */
function isSum({ name }: { readonly name: string }): boolean {
  return name.endsWith(".mlp");
}

function figuresOf({ tensors }: ComparisonResult, sums: boolean): readonly object[] {
  return tensors
    .filter((tensor) => isSum(tensor) === sums)
    .map(({ dtype, ...figures }) => ({ ...figures, dtype: sums ? null : dtype }));
}

/** Every number of `actual` within a share of the same of `expected`. */
function expectNear(actual: unknown, expected: unknown, share: number): void {
  if (typeof expected === "number") {
    expect(Math.abs((actual as number) - expected)).toBeLessThanOrEqual(
      share * Math.abs(expected) + 1e-15,
    );
  } else if (typeof expected === "object" && expected !== null) {
    expect(Object.keys(actual as object)).toEqual(Object.keys(expected));
    for (const [key, value] of Object.entries(expected)) {
      expectNear((actual as Readonly<Record<string, unknown>>)[key], value, share);
    }
  } else expect(actual).toEqual(expected);
}

describe.each([2, 4])("%i ranks", (ranks) => {
  const split = (source: string, name: string): string =>
    splitRun(source, join(files.folder, `${String(ranks)}-${name}`), { ranks });
  const set = {
    reference: split(WHOLE.reference, "reference"),
    candidate: split(WHOLE.candidate, "candidate"),
    floor: split(WHOLE.floor, "floor"),
  };
  const faulty = split(FAULTY.candidate, "faulty");

  test("hold, put together, every byte of the whole run", () => {
    const [whole, together] = [openDump(WHOLE.candidate), openDump(set.candidate)];
    try {
      expect(together.ranks).toBe(ranks);
      expect(together.tensors.map(({ name, sample, shape }) => [name, sample, shape])).toEqual(
        whole.tensors.map(({ name, sample, shape }) => [name, sample, shape]),
      );
      for (const [i, entry] of whole.tensors.entries()) {
        if (isSum(entry)) continue;
        const size = entry.elements * (entry.dtype === "I64" ? 8 : 2);
        const [mine, theirs] = [new Uint8Array(size), new Uint8Array(size)];
        whole.read(entry, 0, mine);
        const other = together.tensors[i] ?? entry;
        // In pieces that begin and end inside of rows and of slices.
        for (let at = 0; at < size; at += 37) {
          together.read(other, at, theirs.subarray(at, Math.min(size, at + 37)));
        }
        expect(Buffer.compare(mine, theirs), entry.name).toBe(0);
      }
    } finally {
      whole.close();
      together.close();
    }
  });

  test("differ from the whole run in nothing", async () => {
    const result = await compareDumps({ reference: WHOLE.reference, candidate: set.reference });
    expect(result.verdict).toBe("pass");
    expect(result.tensors).toHaveLength(15);
    for (const { name, relL2, maxAbs, tokenRelL2 } of result.tensors) {
      expect([name, relL2, maxAbs, tokenRelL2?.max]).toEqual([name, 0, 0, 0]);
    }
    expect(result.missing).toEqual({ reference: [], candidate: [] });
    expect(result.inputs.candidate.tokensSha256).toBe(result.inputs.reference.tokensSha256);
  });

  test.each([
    ["right", WHOLE, set.candidate, "pass"],
    ["wrong", FAULTY, faulty, "fail"],
  ] as const)(
    "have the figures of the whole run where it is %s",
    async (_name, pair, set, verdict) => {
      const options = { reference: pair.reference, floors: [pair.floor] };
      const whole = await compareDumps({ ...options, candidate: pair.candidate });
      const apart = await compareDumps({ ...options, candidate: set });
      expect([apart.verdict, whole.verdict]).toEqual([verdict, verdict]);
      expect(apart.origin?.tensor).toBe(whole.origin?.tensor);
      expect(figuresOf(apart, false)).toEqual(figuresOf(whole, false));
      expectNear(figuresOf(apart, true), figuresOf(whole, true), 1e-12);
      expect(apart.quality).toEqual(whole.quality);
    },
  );

  test("stand on any side, and threads change nothing", async () => {
    const { reference, candidate, floor } = set;
    const given = { reference, candidate, floors: [floor] };
    const one = await compareDumps(given);
    const three = await compareDumps({ ...given, jobs: 3 });
    expect(one.verdict).toBe("pass");
    expect(one.evidence).toBe("floor");
    expect(three).toEqual(one);
  });

  test("are no floor of their own", async () => {
    const { findings } = await compareDumps({
      reference: WHOLE.reference,
      candidate: set.candidate,
      floors: [WHOLE.floor, set.candidate],
    });
    expect(findings.map(({ rule }) => rule)).toContain("input/floor-dropped");
  });
});

test("files that Python writes are put together too", async () => {
  const folder = join(files.folder, "python");
  mkdirSync(folder);
  python("rank_dumps.py", folder);
  const result = await compareDumps({
    reference: join(folder, "whole.arrow"),
    candidate: join(folder, "npu.rank*.arrow"),
  });
  expect(result.verdict).toBe("pass");
  expect(result.tensors.map(({ name, maxAbs }) => [name, maxAbs])).toEqual(
    ["embed", "layers.0.attn", "layers.0.mlp", "layers.0", "norm", "logits"].map((name) => [
      name,
      0,
    ]),
  );
});

test("rows of logits longer than a piece are put together piece by piece", async () => {
  const width = 2 ** 18 + 5;
  const values = Float32Array.from({ length: 2 * width }, (_, i) => Math.sin(i));
  const tensors = [{ name: "logits", sample: 0, step: 0, shape: [2, width], values }];
  const whole = files.path();
  writeToyRun(whole, tensors, { id: "aa" });
  const set = splitRun(whole, join(files.folder, "long"), { ranks: 4 });
  const { verdict, tensors: measured } = await compareDumps({ reference: whole, candidate: set });
  expect([verdict, measured[0]?.maxAbs, measured[0]?.relL2]).toEqual(["pass", 0, 0]);
});

test("stages of a pipeline hold other tensors each", async () => {
  const tensors = toyTensors([1]);
  const whole = files.path();
  writeToyRun(whole, tensors, { id: "bb" });
  const stageOf = (name: string): number | null => {
    if (name === "embed") return 0;
    if (name === "norm" || name === "logits") return 1;
    const layer = /^layers\.(\d+)/.exec(name)?.[1];
    return layer === undefined ? null : Math.floor(Number(layer) / 2);
  };
  const set = splitRun(whole, join(files.folder, "stages"), {
    ranks: 4,
    // Two ranks a stage share its tensors out.
    how: ({ name }) => (name.endsWith(".mlp") ? "sum" : "replica"),
    holds: ({ name }, rank) => [null, Math.floor(rank / 2)].includes(stageOf(name)),
    run: (run) => ({ ...run, parallel: { ...(run["parallel"] as object), tp: 2, pp: 2 } }),
    tensor: (tensor, rank) => {
      // Terms on the two ranks of a stage: all of it, and nothing.
      if (!tensor.name.endsWith(".mlp")) return tensor;
      const values = tensors.find(
        ({ name, sample, step }) =>
          name === tensor.name && sample === tensor.sample && step === tensor.step,
      )?.values as Float32Array;
      const term = rank % 2 === 0 ? values : values.map(() => 0);
      return { ...tensor, bytes: new Uint8Array(term.buffer, term.byteOffset, term.byteLength) };
    },
  });
  const result = await compareDumps({ reference: whole, candidate: set });
  expect(result.verdict).toBe("pass");
  expect(result.missing).toEqual({ reference: [], candidate: [] });
  expect(result.tensors.map(({ maxAbs }) => maxAbs)).toEqual(result.tensors.map(() => 0));
  // Of the prompts and of a decode step: the stream's two ends, the logits, three tensors a layer.
  expect(result.tensors).toHaveLength(2 * (3 + 3 * 4));
});

test("what no rank holds is missing as usual", async () => {
  const set = splitRun(WHOLE.candidate, join(files.folder, "without"), {
    ranks: 2,
    holds: ({ name }) => name !== "layers.2.mlp",
  });
  const { verdict, missing } = await compareDumps({ reference: WHOLE.reference, candidate: set });
  expect(verdict).toBe("fail");
  expect(missing.candidate).toContain("layers.2.mlp@0.0");
});

test("forced references and the dumps they replay may be sets", async () => {
  const tensors = toyTensors();
  const [reference, candidate, forced] = [files.path(), files.path(), files.path()];
  writeToyRun(reference, tensors, { id: "aa", dtype: "F32" });
  const noisy = toyTensors();
  addNoise(noisy, 3e-3, 2);
  writeToyRun(candidate, noisy, { id: "cc", dtype: "BF16" });
  const replayed = toyTensors();
  addNoise(replayed, 3e-3, 3);
  writeToyRun(forced, replayed, { id: "dd", run: { capture: { replay_of: { id: "cc" } } } });
  const how = { ranks: 2, how: asTensorParallel };
  const whole = await compareDumps({ reference, candidate, forced: [forced] });
  const apart = await compareDumps({
    reference: splitRun(reference, join(files.folder, "f-r"), how),
    candidate: splitRun(candidate, join(files.folder, "f-c"), how),
    forced: [splitRun(forced, join(files.folder, "f-f"), how)],
  });
  expect(apart.verdict).toBe(whole.verdict);
  expectNear(figuresOf(apart, false), figuresOf(whole, false), 1e-12);
  expectNear(figuresOf(apart, true), figuresOf(whole, true), 1e-9);
});

describe("on the command line", () => {
  const folder = join(files.folder, "cli");
  const set = splitRun(WHOLE.candidate, folder, { ranks: 2 });
  const rank = (n: number): string => join(folder, `npu.rank${String(n)}.arrow`);

  test.each([
    ["a quoted pattern", [set]],
    ["one rank", [rank(1)]],
    ["what a shell makes of an unquoted pattern", [rank(0), rank(1)]],
  ] as const)("%s is one dump", async (_name, words) => {
    const { code, stdout, stderr } = await cli(["compare", WHOLE.reference, ...words, "--json"]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^note\[input\/dtype\].*\n$/)]);
    const { inputs } = JSON.parse(stdout) as ComparisonResult;
    expect(inputs.candidate.file).toBe("npu.rank*.arrow");
    expect(inputs.candidate.run["parallel"]).toEqual({ world_size: 2, tp: 2, pp: 1, ep: 1 });
    expect(inputs.candidate.run["shards"]).toBeUndefined();
  });

  test("inspect shows whole tensors", async () => {
    const { code, stdout } = await cli(["inspect", rank(0), rank(1), "--json"]);
    expect(code).toBe(0);
    const { file, tensors } = JSON.parse(stdout) as {
      file: string;
      tensors: { name: string; dtype: string; shape: unknown }[];
    };
    expect(file).toBe("npu.rank*.arrow");
    const [logits, mlp] = ["logits", "layers.*.mlp"].map((name) =>
      tensors.find((tensor) => tensor.name === name),
    );
    expect(logits).toMatchObject({ dtype: "BF16", shape: [expect.anything(), [320, 320]] });
    expect(mlp).toMatchObject({ dtype: "F64" });
  });

  test("the ranks of one run are not two dumps", async () => {
    const { code, stderr } = await cli(["compare", rank(0), rank(1)]);
    expect(code).toBe(2);
    expect(stderr).toContain("takes 2 arguments");
    expect(stderr).toContain("npu.rank*.arrow");
    await expect(compareDumps({ reference: rank(0), candidate: rank(1) })).rejects.toMatchObject({
      code: "usage",
      message: "ranks of one run were given as dumps of their own",
    });
  });

  test("a report does not overwrite a rank", async () => {
    const report = ["-o", `json=${rank(1)}`];
    const { code, stderr } = await cli(["compare", WHOLE.reference, set, ...report]);
    expect(code).toBe(2);
    expect(stderr).toContain("error[usage]");
  });
});
