/** `--map`: tensors under other names, joined and parted; figures by construction. */

import { describe, expect, it, test } from "vitest";
import { applyMap } from "../../src/align/naming/apply-map.ts";
import { compareDumps } from "../../src/compare.ts";
import { MAP_SCHEMA, MAP_SCHEMA_ID, readNameMap } from "../../src/config/name-map.ts";
import { isNpuDiffError, type NpuDiffError } from "../../src/core/errors.ts";
import type { CompareOptions } from "../../src/core/options.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { publishedSchema } from "../../src/report/json.ts";
import { type FileTensors, f32, i64, safetensors } from "../support/safetensors.ts";
import { random, scratch } from "../support/scratch.ts";

const files = scratch();

const TOKENS = 5;
const ids = { input_ids: i64([TOKENS], [1, 2, 3, 4, 5]) };

/** [T, width] of numbers that float32 holds exactly, even after a factor with few bits. */
function values(seed: number, width: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length: TOKENS * width }, () => Math.round(next() * 4096 - 2048) || 1);
}

const times = (data: Float32Array, factor: number): Float32Array => data.map((one) => one * factor);

/** The rows of several tensors, one beside the other. */
function beside(...parts: readonly Float32Array[]): Float32Array {
  const widths = parts.map((part) => part.length / TOKENS);
  const rows = Array.from({ length: TOKENS }, (_, t) =>
    parts.flatMap((part, i) => [
      ...part.subarray(t * (widths[i] ?? 0), (t + 1) * (widths[i] ?? 0)),
    ]),
  );
  return Float32Array.from(rows.flat());
}

const file = (tensors: FileTensors): string => files.file(safetensors(tensors), ".safetensors");

function mapFile(map: unknown, extension = ".json"): string {
  return files.file(typeof map === "string" ? map : JSON.stringify(map), extension);
}

async function compared(
  reference: FileTensors,
  candidate: FileTensors,
  map: unknown,
  more: Partial<CompareOptions> = {},
): Promise<ComparisonResult> {
  return await compareDumps({
    reference: file({ ...ids, ...reference }),
    candidate: file({ ...ids, ...candidate }),
    map: readNameMap(mapFile(map), files.folder),
    ...more,
  });
}

async function refused(run: () => Promise<unknown>): Promise<NpuDiffError> {
  try {
    await run();
  } catch (error) {
    if (isNpuDiffError(error)) return error;
    throw error;
  }
  throw new Error("it was compared");
}

const figures = ({ tensors }: ComparisonResult): Record<string, number | null> =>
  Object.fromEntries(tensors.map(({ name, relL2 }) => [name, relL2]));

const [q, k, v] = [values(1, 8), values(2, 4), values(3, 4)];
const fused = f32([TOKENS, 16], beside(times(q, 1.125), k, times(v, 1.5)));

describe("a map of names", () => {
  it("renames by numbers and by any characters, on either side", async () => {
    const attn = [0, 1, 2].map((layer) => values(10 + layer, 6));
    const result = await compared(
      Object.fromEntries(attn.map((data, i) => [`layers.${i}.attn`, f32([TOKENS, 6], data)])),
      {
        ...Object.fromEntries(
          attn.map((data, i) => [
            `dec.block.${i}.attn_${i}`,
            f32([TOKENS, 6], times(data, 1 + i / 4)),
          ]),
        ),
      },
      { candidate: { "layers.{i}.attn": "dec.block.{i}.attn_{i}" } },
    );
    expect(figures(result)).toEqual({
      "layers.0.attn": 0,
      "layers.1.attn": 0.25,
      "layers.2.attn": 0.5,
    });
    expect(result.missing).toEqual({ reference: [], candidate: [] });
    expect(result.notCaptured).toEqual({ reference: [], candidate: [] });
    expect(result.findings.find(({ rule }) => rule === "input/renamed")).toMatchObject({
      value: 3,
      detail: {
        side: "candidate",
        from: "dec.block.{i}.attn_{i}",
        to: "layers.{i}.attn",
        reason: "by-map",
      },
    });
    const stars = await compared(
      { "a.b.weird name": f32([TOKENS, 6], times(attn[0] as Float32Array, 1.25)) },
      { "b.weird name": f32([TOKENS, 6], attn[0] as Float32Array) },
      { reference: { "*": "a.*" } },
    );
    // From the reference's side: a quarter of 1.25 times.
    expect(figures(stars)["b.weird name"]).toBeCloseTo(0.2, 12);
  });

  it("swaps names without a cycle, and reaches ids", async () => {
    const [a, b] = [values(20, 3), values(21, 3)];
    const result = await compareDumps({
      reference: file({ ...ids, a: f32([TOKENS, 3], a), b: f32([TOKENS, 3], b) }),
      candidate: file({ tokens: ids.input_ids, a: f32([TOKENS, 3], b), b: f32([TOKENS, 3], a) }),
      map: readNameMap(
        mapFile({ candidate: { a: "b", b: "a", input_ids: "tokens" } }),
        files.folder,
      ),
    });
    expect(figures(result)).toEqual({ a: 0, b: 0 });
    expect(result.tokens).toEqual({ samples: 1, tokens: TOKENS });
    expect(result.findings.map(({ rule }) => rule)).not.toContain("input/unverified");
  });

  it("joins tensors along an axis", async () => {
    const apart = {
      "layers.0.q": f32([TOKENS, 8], q),
      "layers.0.k": f32([TOKENS, 4], k),
      "layers.0.v": f32([TOKENS, 4], v),
    };
    const norm = (data: Float32Array): number => data.reduce((sum, one) => sum + one * one, 0);
    const expected = Math.sqrt((norm(q) / 64 + norm(v) / 4) / (norm(q) + norm(k) + norm(v)));
    for (const jobs of [1, 2]) {
      const result = await compared(
        apart,
        { "layers.0.qkv": fused },
        {
          reference: {
            "layers.{i}.qkv": { concat: ["layers.{i}.q", "layers.{i}.k", "layers.{i}.v"], axis: 1 },
          },
        },
        { jobs },
      );
      expect(figures(result)["layers.0.qkv"]).toBeCloseTo(expected, 12);
      expect(result.notCaptured).toEqual({ reference: [], candidate: [] });
    }
    // Along the tokens: halves of a prompt that a file stores apart.
    const whole = values(30, 4);
    const halves = await compared(
      { x: f32([TOKENS, 4], whole) },
      { x0: f32([2, 4], whole.slice(0, 8)), x1: f32([3, 4], whole.slice(8)) },
      { candidate: { x: { concat: ["x0", "x1"], axis: 0 } } },
    );
    expect(figures(halves)).toEqual({ x: 0 });
  });

  it("parts a tensor", async () => {
    const result = await compared(
      {
        "layers.0.q": f32([TOKENS, 8], q),
        "layers.0.k": f32([TOKENS, 4], k),
        "layers.0.v": f32([TOKENS, 4], v),
      },
      { "layers.0.qkv": fused },
      {
        candidate: {
          "layers.{i}.q": { slice: "layers.{i}.qkv", length: 8 },
          "layers.{i}.k": { slice: "layers.{i}.qkv", start: 8, length: 4, axis: 1 },
          "layers.{i}.v": { slice: "layers.{i}.qkv", start: 12, length: 4 },
        },
      },
    );
    expect(figures(result)).toEqual({ "layers.0.q": 0.125, "layers.0.k": 0, "layers.0.v": 0.5 });
  });

  it("reads the same bytes wherever it is asked for", () => {
    const path = file({
      a: f32([TOKENS, 8], q),
      b: f32([TOKENS, 4], k),
      c: f32([TOKENS, 4], v),
    });
    const rules = readNameMap(
      mapFile({
        reference: { ab: { concat: ["a", "b", "a"] }, part: { slice: "a", start: 3, length: 2 } },
      }),
      files.folder,
    );
    const dump = openDump(path);
    const { reference } = applyMap(dump, dump, rules);
    const expected: Record<string, Float32Array> = {
      ab: beside(q, k, q),
      part: Float32Array.from(
        { length: TOKENS * 2 },
        (_, i) => q[Math.floor(i / 2) * 8 + 3 + (i % 2)] ?? 0,
      ),
      c: v,
    };
    expect(reference.tensors.map(({ name }) => name)).toEqual(["ab", "part", "c"]);
    for (const entry of reference.tensors) {
      const bytes = new Uint8Array((expected[entry.name] as Float32Array).buffer);
      for (let from = 0; from < bytes.length; from += 12) {
        for (const length of [0, 1, 7, 40, bytes.length]) {
          const target = new Uint8Array(Math.min(length, bytes.length - from));
          reference.read(entry, from, target);
          expect(target).toEqual(bytes.slice(from, from + target.length));
        }
      }
    }
    dump.close();
  });

  it("holds for floors and forced references as for the reference", async () => {
    const data = values(40, 4);
    const noisy = data.map((one, i) => one * (1 + (i % 3) * 2 ** -9));
    const floor = file({ ...ids, "dec.0": f32([TOKENS, 4], noisy) });
    const result = await compared(
      { "dec.0": f32([TOKENS, 4], data), "dec.1": f32([TOKENS, 4], data) },
      {
        "layers.0": f32(
          [TOKENS, 4],
          data.map((one, i) => one * (1 + (i % 3) * 2 ** -8)),
        ),
        "layers.1": f32([TOKENS, 4], data),
      },
      { reference: { "layers.{i}": "dec.{i}" } },
      { floors: [floor] },
    );
    expect(result.tensors.find(({ name }) => name === "layers.0")?.floorRatio).toBeCloseTo(2, 6);
  });
});

describe("a map that cannot be followed", () => {
  const tensors = { "layers.0.a": f32([TOKENS, 4], k), "layers.0.b": f32([TOKENS, 4], v) };

  it.each<[string, unknown, RegExp]>([
    ["matches nothing", { candidate: { x: "layer.{i}.a" } }, /same places/],
    ["matches nothing, by a place", { candidate: { "x.{i}": "layer.{i}.a" } }, /matches no tensor/],
    ["matches nothing on both sides", { both: { x: "layers.0.c" } }, /matches no tensor/],
    [
      "gives one name twice",
      { candidate: { "x.{i}": "layers.{i}.a", "x.0": "layers.0.b" } },
      /one name/,
    ],
    ["gives a name that is there", { candidate: { "layers.{i}.b": "layers.{i}.a" } }, /one name/],
    [
      "joins what is not there",
      { candidate: { "x.{i}": { concat: ["layers.{i}.a", "layers.{i}.c"] } } },
      /not there/,
    ],
    [
      "joins along no axis",
      { candidate: { x: { concat: ["layers.0.a", "layers.0.b"], axis: 2 } } },
      /axis 2/,
    ],
    [
      "parts beyond the end",
      { candidate: { x: { slice: "layers.0.a", start: 2, length: 3 } } },
      /no part/,
    ],
    [
      "parts the tokens",
      { candidate: { x: { slice: "layers.0.a", axis: 0, length: 1 } } },
      /no part/,
    ],
    ["has another place", { candidate: { "x.{i}": "layers.{j}.a" } }, /same places/],
    ["has two stars", { candidate: { "x*y*": "layers.*.*" } }, /understood/],
    ["has places side by side", { candidate: { "x{i}{j}": "layers.{i}{j}" } }, /understood/],
    [
      "has too many places",
      { candidate: { "{a}.{b}.{c}.{d}.{e}": "{a}.{b}.{c}.{d}.{e}" } },
      /understood/,
    ],
  ])("%s", async (_, map, what) => {
    const error = await refused(() => compared(tensors, tensors, map));
    expect(error.code).toBe("map-invalid");
    expect(error.message).toMatch(/^\d+\.json:1: /);
    expect(error.message).toMatch(what);
    expect(error.facts.length).toBeGreaterThanOrEqual(2);
  });

  it("names the nearest tensor", async () => {
    const error = await refused(() =>
      compared(tensors, tensors, { candidate: { "x.{i}": "layer.{i}.a" } }),
    );
    expect(error.facts).toContainEqual({ label: "nearest", text: "layers.0.a" });
  });

  it.each<[string, string, string, RegExp]>([
    ["an unknown side", '{\n"candidat": {}}', ".json", /:2 has an unknown key/],
    ["an unknown key", "candidate:\n  x:\n    conkat: [a, b]\n", ".yaml", /:3 has an unknown key/],
    [
      "both kinds",
      '{"both": {\n"x": {"concat": ["a", "b"], "slice": "c"}}}',
      ".jsonc",
      /:2: a tensor is either/,
    ],
    ["one tensor to join", '{"both": {"x": {"concat": ["a"]}}}', ".json", /:1 has a wrong value/],
    ["no rules", "{}", ".json", /no rules/],
    ["one name twice", '{"both": {"x": "a",\n"x": "b"}}', ".json", /:2 cannot be read/],
    ["a number", '{"both": {"x": 3}}', ".json", /wrong value/],
    ["an empty name", '{"both": {"": "a"}}', ".json", /wrong value/],
    ["no JSON", "\u0000", ".json", /no map of names/],
    ["deep nesting", "[".repeat(100_000), ".yaml", /cannot be read/],
    [
      "too many rules",
      JSON.stringify({
        both: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x${i}`, "a"])),
      }),
      ".json",
      /too many rules/,
    ],
  ])("is refused where it is read: %s", (_, text, extension, what) => {
    try {
      readNameMap(mapFile(text, extension), files.folder);
    } catch (error) {
      expect(isNpuDiffError(error, "map-invalid")).toBe(true);
      expect((error as Error).message).toMatch(what);
      return;
    }
    throw new Error("it was read");
  });

  it("costs no time with hostile names", async () => {
    const hostile = {
      [`${"1".repeat(60_000)}!`]: f32([TOKENS, 1], values(50, 1)),
      x: f32([TOKENS, 4], k),
    };
    const error = await refused(() =>
      compared(hostile, hostile, { both: { "{a}1{b}1*1{c}y": "{a}1{b}1*1{c}x" } }),
    );
    expect(error.message).toMatch(/matches no tensor/);
  });
});

test("the committed schema is the generated one", async () => {
  const schema = publishedSchema(MAP_SCHEMA, {
    id: MAP_SCHEMA_ID,
    source: "src/config/name-map.ts",
    title: "Map of names of npu-diff (--map)",
  });
  await expect(schema).toMatchFileSnapshot("../../schema/map.schema.json");
});
