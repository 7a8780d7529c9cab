/** What ranks say of their tensors: slices, terms and replicas that make a whole, or do not. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { NpuDiffError } from "../../src/core/errors.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { arrowFile, type TestRow } from "../support/arrow-rows.ts";
import { onRank1, parallel, type Run, rankSets, refusal, shard } from "../support/rank-sets.ts";
import type { SplitOptions } from "../support/split-ranks.ts";

const { folder, split, whole } = rankSets();

describe("slices that are no whole", () => {
  const slices = (first: Run, second: Run): string => {
    const width = 8;
    return split({
      how: () => "replica",
      run: (run, rank) => shard("embed", { axis: 1, ...(rank === 0 ? first : second) })(run),
      tensor: (tensor, rank) => {
        if (tensor.name !== "embed") return tensor;
        const { start, length } = (rank === 0 ? first : second) as {
          start: number;
          length: number;
        };
        const bytes = new Uint8Array((tensor.bytes.length / width) * length);
        return { ...tensor, slice: { axis: 1, start, length }, bytes };
      },
    });
  };

  test.each([
    ["a gap between", { start: 0, length: 3 }, { start: 4, length: 4 }, "leave a gap"],
    ["a gap at the start", { start: 1, length: 3 }, { start: 4, length: 4 }, "leave a gap"],
    ["a gap at the end", { start: 0, length: 4 }, { start: 4, length: 3 }, "leave a gap"],
    ["an overlap", { start: 0, length: 5 }, { start: 4, length: 4 }, "overlap"],
    ["the same twice", { start: 0, length: 8 }, { start: 0, length: 8 }, "overlap"],
  ] as const)("%s", (_name, first, second, what) => {
    const error = refusal(slices(first, second));
    expect(error.code).toBe("shards-invalid");
    expect(error.message).toContain(what);
  });

  test.each([
    ["none of it on one rank", { start: 0, length: 8 }, { start: 8, length: 0 }],
    ["none of it on the first", { start: 0, length: 0 }, { start: 0, length: 8 }],
    ["a rank that holds padding alone", { start: 0, length: 8 }, { start: 8, length: 4 }],
  ])("but %s is one", (_name, first, second) => {
    const dump = openDump(slices(first, second));
    expect(dump.tensors.find(({ name }) => name === "embed")?.shape).toEqual([7, 8]);
    dump.close();
  });

  test("a length that the data does not have", () => {
    const change = shard("layers.0.attn", { axis: 1, start: 2, length: 5 });
    expect(refusal(split(onRank1(change))).code).toBe("dump-corrupt");
  });

  test("tokens that start elsewhere than the rows, or are fewer", () => {
    for (const share of [
      { axis: 0, start: 1, length: 5 },
      { axis: 0, start: 2, length: 4 },
    ]) {
      expect(refusal(split(onRank1(shard("norm", share)))).code).toBe("dump-corrupt");
    }
  });

  test("tokens of which some are nowhere", () => {
    const set = split({ ranks: 4, holds: ({ name }, rank) => name !== "norm" || rank !== 2 });
    expect(refusal(set).code).toBe("shards-invalid");
  });

  test("a term that is nowhere, and terms that are no numbers", () => {
    const holds: SplitOptions["holds"] = ({ name }, rank) => name !== "layers.1.mlp" || rank === 0;
    expect(refusal(split({ holds })).message).toContain("layers.1.mlp@0.0");
    const change = shard("generated_ids", { partial: "sum" });
    openDump(split({ run: change })).close();
    const integers = shard("embed", { partial: "sum" });
    const tensor: SplitOptions["tensor"] = (one) =>
      one.name === "embed" ? { ...one, dtype: "I32" } : one;
    expect(refusal(split({ run: integers, tensor })).code).toBe("shards-invalid");
  });

  test("statistics of a part", () => {
    const stats = { min: 0, max: 0, mean: 0, rms: 0, nan: 0, posInf: 0, negInf: 0 };
    const set = split({
      how: () => "replica",
      run: shard("embed", { partial: "sum" }),
      tensor: (tensor) =>
        tensor.name === "embed"
          ? { ...tensor, encoding: "stats", stats, bytes: new Uint8Array(0) }
          : tensor,
    });
    expect(refusal(set).code).toBe("shards-invalid");
  });

  test("a tensor of which nothing is said", () => {
    const error = refusal(split(onRank1((run) => ({ ...run, shards: {} }))));
    expect(error.code).toBe("shards-invalid");
    expect(error.help).toContain("embed");
  });
});

describe("hostile numbers", () => {
  test.each([
    ["a world of 10⁹", parallel({ world_size: 1e9 })],
    ["a world of none", parallel({ world_size: 0 })],
    ["half a rank more", parallel({ world_size: 2.5 })],
    ["a world in words", parallel({ world_size: "2" })],
    ["a rank below 0", parallel({ rank: -1 })],
    ["a rank beyond the world", parallel({ rank: 2 })],
    ["half a rank", parallel({ rank: 0.5 })],
    ["stages that do not divide the world", parallel({ world_size: 3, pp: 2 })],
    ["more stages than ranks", parallel({ pp: 4 })],
    ["no object", (run: Run) => ({ ...run, parallel: "x" })],
    ["shards that are a list", (run: Run) => ({ ...run, shards: [] })],
    ...[-1, 0.5, 2 ** 53, 1e300, "1", null, true].flatMap((bad) =>
      ["axis", "start", "length"].map((key): [string, (run: Run) => Run] => [
        `${key} ${String(bad)}`,
        shard("embed", { axis: 1, start: 0, length: 4, [key]: bad }),
      ]),
    ),
    ["start and length beyond 2⁵³", shard("embed", { axis: 1, start: 2 ** 52, length: 2 ** 52 })],
    ["two shares at once", shard("embed", { axis: 1, start: 0, length: 4, partial: "sum" })],
    ["no replica", shard("embed", { replicated: false })],
    ["a product", shard("embed", { partial: "product" })],
    ["no share", shard("embed", {})],
    ["a slice of channels without its place", shard("embed", { axis: 1 })],
    [
      "globs by the thousand",
      (run: Run) => ({
        ...run,
        shards: Object.fromEntries(
          Array.from({ length: 257 }, (_, i) => [`${String(i)}*`, { replicated: true }]),
        ),
      }),
    ],
  ])("%s", (_name, change) => {
    expect(refusal(split(onRank1(change))).code).toBe("dump-metadata");
  });

  test.each([
    ["an axis that the tensor has not", { axis: 2, start: 0, length: 4 }, "shards-invalid"],
    ["a slice of 2⁵²", { axis: 1, start: 0, length: 2 ** 52 }, "dump-corrupt"],
    ["a start of 2⁵²", { axis: 1, start: 2 ** 52, length: 8 }, "shards-invalid"],
    ["tokens from 2⁵² on", { axis: 0, start: 2 ** 52, length: 7 }, "dump-corrupt"],
  ])("%s", (_name, share, code) => {
    const how = () => "replica" as const;
    expect(refusal(split({ how, run: shard("embed", share) })).code).toBe(code);
  });

  test("slices of tokens that start at 2⁵³ − 1, or come twice", () => {
    const run = {
      ...{ tool: { name: "t" }, id: "aa", dtype: "F32", shards: { "*": { axis: 0 } } },
      parallel: { world_size: 2, rank: 0 },
    };
    const metadata = { "npu_diff.version": "1", "npu_diff.run": JSON.stringify(run) };
    const data = new TextEncoder().encode('{"complete":true}');
    const end: TestRow = {
      ...{ name: "run.end", kind: "meta", sample: -1, dtype: "U8", shape: [data.length], data },
    };
    const open = (rows: readonly TestRow[]): NpuDiffError => {
      const place = folder();
      mkdirSync(place);
      writeFileSync(join(place, "npu.rank0.arrow"), arrowFile([...rows, end], { metadata }));
      const other = { ...run, parallel: { world_size: 2, rank: 1 } };
      createDumpWriter(join(place, "npu.rank1.arrow"), other as never).close();
      return refusal(join(place, "npu.rank*.arrow"));
    };
    const row = (start: number, elements: number): TestRow => {
      return { name: "x", shape: [4], start, data: new Uint8Array(4 * elements) };
    };
    expect(open([row(2 ** 53 - 1, 4)]).code).toBe("shards-invalid");
    expect(open([row(0, 0), row(0, 0)]).code).toBe("duplicate-rows");
    expect(open([row(0, 2), row(0, 2)]).code).toBe("duplicate-rows");
    expect(open([row(0, 1), row(2, 2)]).code).toBe("dump-corrupt");
  });
});

test("a tensor's own name goes before globs, and globs in their order", () => {
  const run = (one: Run): Run => ({
    ...one,
    shards: {
      "layers.*": { replicated: true },
      "*": { partial: "sum" },
      logits: { replicated: true },
    },
  });
  const dump = openDump(split({ how: () => "replica", run }));
  const dtypes = new Map(dump.tensors.map(({ name, dtype }) => [name, dtype]));
  expect(["layers.1.mlp", "logits", "embed"].map((name) => dtypes.get(name))).toEqual([
    "F32",
    "F32",
    "F64",
  ]);
  dump.close();
});

test("slices of tokens may be empty: a decode step has one token", () => {
  const [mine, theirs] = [
    openDump(whole),
    openDump(split({ ranks: 4, how: ({ dtype }) => (dtype === "F32" ? "tokens" : "replica") })),
  ];
  for (const [i, entry] of mine.tensors.entries()) {
    if (entry.dtype !== "F32") continue;
    const [a, b] = [new Uint8Array(entry.elements * 4), new Uint8Array(entry.elements * 4)];
    mine.read(entry, 0, a);
    theirs.read(theirs.tensors[i] ?? entry, 0, b);
    expect(Buffer.compare(a, b)).toBe(0);
  }
  mine.close();
  theirs.close();
});
