/** Which folders are reference sets, and what is taken from them. */

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { NpuDiffError } from "../src/core/errors.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { scratch } from "./support/scratch.ts";
import { addNoise, toyTensors, writeToyRun } from "./support/toy-run.ts";

const temporary = scratch();

const fresh = (suffix?: string): string => temporary.path(suffix);

const CANDIDATE = "b".repeat(32);
const MODEL = { layers: 4, weights_sha256: "1".repeat(64), config_sha256: "2".repeat(64) };

let set = "";
let candidate = "";

interface Made {
  readonly id: string;
  readonly role?: unknown;
  readonly of?: string;
  readonly bf16?: boolean;
  readonly model?: Readonly<Record<string, unknown>>;
}

/** Writes a dump of the toy model, with noise of bfloat16 where it is in that. */
function write(path: string, { id, role, of, bf16 = false, model = MODEL }: Made): void {
  const tensors = toyTensors();
  if (bf16) addNoise(tensors, 2 ** -9, id.charCodeAt(0));
  const capture = {
    ...(role === undefined ? {} : { set: role }),
    ...(of === undefined ? {} : { replay_of: { id: of } }),
  };
  writeToyRun(path, tensors, { id, dtype: bf16 ? "BF16" : "F32", run: { model, capture } });
}

/** Puts a dump into the folder, in the place of one of that name. */
function add(name: string, made: Made): void {
  rmSync(`${set}/${name}`, { force: true });
  write(`${set}/${name}`, made);
}

beforeEach(() => {
  set = fresh("");
  mkdirSync(set);
  candidate = fresh();
  write(candidate, { id: CANDIDATE, bf16: true });
  add("a.arrow", { id: "r", role: { role: "reference", number: 0 } });
  add("b.arrow", { id: "f", role: { role: "floor", number: 1 }, bf16: true });
  add("c.arrow", { id: "x", role: { role: "forced", number: 0 }, of: CANDIDATE });
  add("d.arrow", { id: "y", role: { role: "forced", number: 1 }, of: "f" });
});

async function compare(options: Partial<CompareOptions> = {}): Promise<ComparisonResult> {
  return compareDumps({ reference: set, candidate, ...options });
}

async function refusal(options: Partial<CompareOptions> = {}): Promise<NpuDiffError> {
  const error: unknown = await compare(options).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "NpuDiffError" });
  return error as NpuDiffError;
}

function names({ inputs }: ComparisonResult): readonly (readonly string[])[] {
  return [[inputs.reference], inputs.floors, inputs.forced].map((some) =>
    some.map(({ file }) => file),
  );
}

test("files are known by their metadata, whatever they are called", async () => {
  const result = await compare();
  expect(names(result)).toEqual([["a.arrow"], ["b.arrow"], ["c.arrow", "d.arrow"]]);
  expect(result.findings.filter(({ rule }) => /^input\/(set|forced|floor)/.test(rule))).toEqual([]);
  expect(result.tensors.every(({ own }) => own?.gmOverFloor != null)).toBe(true);
});

test("more floors and forced references may be given by name", async () => {
  const [floor, forced] = [fresh(), fresh()];
  write(floor, { id: "g", bf16: true });
  write(forced, { id: "z", of: "g" });
  const [, floors, all] = names(await compare({ floors: [floor], forced: [forced] }));
  expect([floors?.length, all?.length]).toEqual([2, 3]);
});

test("what belongs to others, is unfinished or is no dump's name is passed over", async () => {
  add("e.arrow", { id: "v", role: { role: "forced", number: 0 }, of: "c".repeat(32) });
  writeFileSync(`${set}/reference.arrow.partial`, "half");
  writeFileSync(`${set}/notes.txt`, "");
  mkdirSync(`${set}/deeper`);
  write(`${set}/deeper/a.arrow`, { id: "r2", role: { role: "reference", number: 0 } });
  const result = await compare();
  expect(names(result)).toEqual([["a.arrow"], ["b.arrow"], ["c.arrow", "d.arrow"]]);
  expect(result.findings.filter(({ level }) => level === "warning")).toEqual([]);
});

test.each([
  ["no role", undefined],
  ["an unknown role", { role: "candidate" }],
  ["a role that is no word", { role: ["floor"] }],
  ["a set that is no object", "floor"],
])("a stranger, with %s, is said and not used", async (_name, role) => {
  add("stranger.arrow", { id: "s", role, bf16: true });
  const result = await compare();
  expect(result.inputs.floors).toHaveLength(1);
  expect(result.findings.filter(({ rule }) => rule === "input/set-stranger")).toMatchObject([
    { level: "warning", detail: { file: "stranger.arrow" } },
  ]);
});

test("a candidate in the folder of the set is no stranger", async () => {
  add("mine.arrow", { id: CANDIDATE, bf16: true });
  const result = await compare({ candidate: `${set}/mine.arrow` });
  expect(result.findings.map(({ rule }) => rule)).not.toContain("input/set-stranger");
});

test("a candidate without a forced reference is judged as a plain pair, and said", async () => {
  const other = fresh();
  write(other, { id: "o", bf16: true });
  const result = await compare({ candidate: other });
  expect(result.tensors.every(({ own }) => own === null)).toBe(true);
  expect(result.findings.filter(({ rule }) => rule === "input/forced-absent")).toMatchObject([
    { detail: { command: expect.stringMatching(/^npu-dump reference .* -o /) as string } },
  ]);
});

describe("refused in three parts", () => {
  test("an empty folder, and one of dumps without a reference", async () => {
    const empty = fresh("");
    mkdirSync(empty);
    const error = await refusal({ reference: empty });
    expect(error.code).toBe("reference-set");
    expect(error.facts).toHaveLength(3);
    expect(error.help).toContain("npu-dump reference");
    write(`${empty}/f.arrow`, { id: "f", role: { role: "floor", number: 1 }, bf16: true });
    expect(await refusal({ reference: empty })).toMatchObject({
      code: "reference-set",
      facts: [{}, { text: expect.stringContaining("f.arrow") as string }, {}],
    });
  });

  test("two references", async () => {
    add("again.arrow", { id: "r2", role: { role: "reference", number: 0 } });
    expect(await refusal()).toMatchObject({
      code: "reference-set",
      message: "the folder holds two references",
    });
  });

  test.each([
    ["other weights", { ...MODEL, weights_sha256: "3".repeat(64) }],
    ["another configuration", { ...MODEL, config_sha256: "3".repeat(64) }],
    ["weights of which nothing is told", { layers: 4 }],
    ["hostile metadata", { weights_sha256: { toString: 1 } }],
  ])("a floor of %s", async (_name, model) => {
    add("e.arrow", { id: "g", role: { role: "floor", number: 2 }, bf16: true, model });
    expect(await refusal()).toMatchObject({
      code: "reference-set",
      facts: [{ label: "reference" }, { label: "floor" }],
    });
  });

  test("two forced references of the candidate", async () => {
    add("e.arrow", { id: "x2", role: { role: "forced", number: 0 }, of: CANDIDATE });
    expect((await refusal()).code).toBe("forced-incompatible");
  });

  test("a replay that says it is the reference, or a floor", async () => {
    add("a.arrow", { id: "r", role: { role: "reference", number: 0 }, of: "q" });
    expect((await refusal()).code).toBe("replay");
    add("a.arrow", { id: "r", role: { role: "reference", number: 0 } });
    add("b.arrow", { id: "f", role: { role: "floor", number: 1 }, of: "q", bf16: true });
    expect((await refusal()).code).toBe("replay");
  });

  test("a damaged file", async () => {
    writeFileSync(`${set}/e.arrow`, "ARROW1");
    expect((await refusal()).facts[0]?.text).toContain("e.arrow");
  });

  test("a link, wherever it leads", async () => {
    symlinkSync(candidate, `${set}/link.arrow`);
    expect(await refusal()).toMatchObject({
      code: "file-unreadable",
      message: "link.arrow is not a regular file",
    });
  });

  test("a folder of thousands of files", async () => {
    const crowd = fresh("");
    mkdirSync(crowd);
    for (let count = 0; count <= 4096; count++) writeFileSync(`${crowd}/${String(count)}`, "");
    expect((await refusal({ reference: crowd })).message).toMatch(/too many entries/);
  });
});

test("a link to the folder itself is followed", async () => {
  const link = fresh("");
  symlinkSync(set, link);
  expect(names(await compare({ reference: link }))[0]).toEqual(["a.arrow"]);
});
