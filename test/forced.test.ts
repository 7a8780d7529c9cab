/** Which dumps may be forced references, and of whom. */

import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { scratch } from "./support/scratch.ts";
import { addNoise, type ToyOptions, toyTensors, writeToyRun } from "./support/toy-run.ts";

const { folder } = scratch();

const REFERENCE = "a".repeat(32);
const CANDIDATE = "b".repeat(32);
const FLOOR = "c".repeat(32);

const path = (name: string): string => `${folder}/${name}.arrow`;

function write(name: string, seed: number, options: ToyOptions): void {
  const tensors = toyTensors();
  if (seed > 0) addNoise(tensors, options.dtype === "BF16" ? 2 ** -9 : 2 ** -24, seed);
  writeToyRun(path(name), tensors, options);
}

/** Metadata of a replay of the dump `id`. */
function replay(of: unknown): Pick<ToyOptions, "run"> {
  return { run: { capture: { replay_of: of } } };
}

beforeAll(() => {
  write("reference", 0, { id: REFERENCE });
  write("candidate", 1, { id: CANDIDATE, dtype: "BF16" });
  write("floor", 2, { id: FLOOR, dtype: "BF16" });
  write("forced", 0, { id: "d1", ...replay({ id: CANDIDATE, file: "candidate.arrow" }) });
  write("forced-floor", 0, { id: "d2", ...replay({ id: FLOOR }) });
  write("forced-reference", 0, { id: "d3", ...replay({ id: REFERENCE }) });
});

async function compare(options: Partial<CompareOptions> = {}): Promise<ComparisonResult> {
  return compareDumps({
    reference: path("reference"),
    candidate: path("candidate"),
    floors: [path("floor")],
    ...options,
  });
}

async function refusal(options: Partial<CompareOptions>): Promise<unknown> {
  return compare(options).then(
    () => null,
    (error: unknown) => error,
  );
}

test("forced references are paired by replay_of, in any order, and listed", async () => {
  const result = await compare({ forced: [path("forced-floor"), path("forced")] });
  expect(result.inputs.forced.map(({ file }) => file)).toEqual([
    "forced.arrow",
    "forced-floor.arrow",
  ]);
  expect(result.tensors.every(({ own }) => own?.gmOverFloor != null)).toBe(true);
  expect(result.findings.filter(({ rule }) => /forced|own/.test(rule))).toEqual([]);
});

describe("refused", () => {
  test.each([
    ["a replay of something else", "forced-reference", { id: REFERENCE }],
    ["a run of its own", "floor", null],
  ])("%s: the file, whose id it names and the ids that are known", async (_name, name, of) => {
    const error = await refusal({ forced: [path(name)] });
    expect(error).toMatchObject({
      code: "forced-incompatible",
      facts: [
        { label: "forced", text: expect.stringContaining(`${name}.arrow`) as string },
        { label: "candidate", text: expect.stringContaining(CANDIDATE) as string },
        { label: "floor", text: expect.stringContaining(FLOOR) as string },
      ],
    });
    const shown = of === null ? "no replay" : JSON.stringify(of);
    expect((error as { facts: { text: string }[] }).facts[0]?.text).toContain(shown);
  });

  test("a floor's forced reference without the floor", async () => {
    expect(await refusal({ floors: [], forced: [path("forced-floor")] })).toMatchObject({
      code: "forced-incompatible",
    });
  });

  test("two of one dump", async () => {
    write("forced-again", 3, { id: "d4", ...replay({ id: CANDIDATE }) });
    const error = await refusal({ forced: [path("forced"), path("forced-again")] });
    expect(error).toMatchObject({
      code: "forced-incompatible",
      message: "two forced references replay the same dump",
      facts: [
        { text: expect.stringContaining("forced.arrow") as string },
        { text: expect.stringContaining("forced-again.arrow") as string },
      ],
    });
  });

  test("one of other tokens", async () => {
    write("other-tokens", 0, {
      id: "d5",
      ...replay({ id: CANDIDATE }),
      ids: (sample) => (sample === 0 ? [0, 1, 2, 3, 9, 5, 6] : [0, 1, 2, 3, 4]),
    });
    expect(await refusal({ forced: [path("other-tokens")] })).toMatchObject({
      code: "forced-incompatible",
      facts: [{ label: "reference" }, { label: "forced" }],
    });
  });

  test("a part of a run", async () => {
    write("rank", 0, {
      id: "d6",
      run: { parallel: { world_size: 2 }, capture: { replay_of: { id: CANDIDATE } } },
    });
    expect(await refusal({ forced: [path("rank")] })).toMatchObject({ code: "rank-missing" });
  });

  test("one that echoes the candidate: captured after it was replaced", async () => {
    write("echo", 1, { id: "d7", dtype: "F32", ...replay({ id: CANDIDATE }) });
    const tensors = toyTensors();
    addNoise(tensors, 2 ** -9, 1);
    writeToyRun(path("echo-equal"), tensors, { id: "d8", ...replay({ id: CANDIDATE }) });
    expect(await refusal({ forced: [path("echo")] })).toBeNull();
    expect(await refusal({ forced: [path("echo-equal")] })).toMatchObject({
      code: "forced-incompatible",
      message: "the forced reference equals the candidate in every tensor",
    });
  });

  test("one that is no finer than what it replays, and shares its roundings", async () => {
    write("coarse", 3, { id: "da", dtype: "BF16", ...replay({ id: CANDIDATE }) });
    expect(await refusal({ forced: [path("coarse")] })).toMatchObject({
      code: "forced-incompatible",
      message: "a forced reference must run in a finer format than the dump that it replays",
      help: expect.stringContaining("--dtype float32") as string,
    });
  });

  test("one of the device under test, whose faults it would share", async () => {
    const on = (type: string, capture?: unknown): Readonly<Record<string, unknown>> => ({
      device: { type },
      ...(capture === undefined ? {} : { capture }),
    });
    const forced = { replay_of: { id: CANDIDATE } };
    write("cpu-reference", 0, { id: "dc", run: on("cpu") });
    write("npu-candidate", 1, { id: CANDIDATE, dtype: "BF16", run: on("npu") });
    write("npu-forced", 2, { id: "dd", run: on("npu", forced) });
    write("cpu-forced", 2, { id: "de", run: on("cpu", forced) });
    const files = {
      reference: path("cpu-reference"),
      candidate: path("npu-candidate"),
      floors: [],
    };
    expect(await refusal({ ...files, forced: [path("cpu-forced")] })).toBeNull();
    expect(await refusal({ ...files, forced: [path("npu-forced")] })).toMatchObject({
      code: "forced-incompatible",
      help: expect.stringContaining("--device cpu") as string,
    });
  });

  test.each([
    ["the number 7", 7],
    ["a list", [CANDIDATE]],
    ["an id that is no string", { id: 7 }],
    ["nothing but a file", { file: "candidate.arrow" }],
    ["hostile text", { id: `\u001b[2J${"x".repeat(100_000)}` }],
  ])("a replay_of that is %s", async (name, of) => {
    write(name, 0, { id: "d9", ...replay(of) });
    for (const options of [
      { forced: [path(name)] },
      { reference: path(name) },
      { candidate: path(name) },
      { floors: [path(name)] },
    ]) {
      const error = (await refusal(options)) as { code: string; facts: { text: string }[] };
      expect(["forced-incompatible", "replay"]).toContain(error.code);
      expect(Math.max(...error.facts.map(({ text }) => text.length))).toBeLessThan(500);
    }
  });
});

describe("a replay in another place stays refused", () => {
  test("as a floor", async () => {
    expect(await refusal({ floors: [path("forced-floor")] })).toMatchObject({ code: "replay" });
  });

  test("as the reference: the help says where it belongs", async () => {
    expect(await refusal({ reference: path("forced") })).toMatchObject({
      code: "replay",
      help: expect.stringContaining("--forced forced.arrow") as string,
    });
  });

  test("as the candidate, of another dump than the reference", async () => {
    expect(await refusal({ candidate: path("forced-floor"), floors: [] })).toMatchObject({
      code: "replay",
    });
  });
});

test("a forced reference in a coarser format than the reference's is said", async () => {
  write("fine-reference", 0, { id: "db", dtype: "F64" });
  const result = await compare({ reference: path("fine-reference"), forced: [path("forced")] });
  expect(result.findings.find(({ rule }) => rule === "input/forced-dtype")?.detail).toEqual({
    file: "forced.arrow",
    forced: "F32",
    reference: "F64",
  });
});
