import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  Bool,
  Dictionary,
  Field,
  FixedSizeList,
  Float32,
  Int8,
  Int32,
  Int64,
  LargeUtf8,
  List,
  Map_,
  Null,
  Struct,
  tableFromIPC,
  tableToIPC,
  Uint16,
  Uint64,
  Utf8,
} from "apache-arrow";
import { afterAll, describe, expect, it } from "vitest";
import type { NpuDiffError } from "../../src/core/errors.ts";
import { isNpuDiffError } from "../../src/core/errors.ts";
import type { Dump, TensorEntry } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import {
  type ArrowFileOptions,
  arrowFile,
  METADATA,
  RUN,
  runEnd,
  type TestRow,
  zeros,
} from "../support/arrow-rows.ts";
import { errorOf, scratch } from "../support/scratch.ts";

const folder = scratch();
const opened: Dump[] = [];
afterAll(() => {
  for (const dump of opened) dump.close();
});

function open(path: string): Dump {
  const dump = openDump(path);
  opened.push(dump);
  return dump;
}

/** Opens a file of `rows` and a `run.end`. */
function openRows(rows: readonly TestRow[], options?: ArrowFileOptions): Dump {
  return open(folder.file(arrowFile([...rows, runEnd()], options)));
}

/** The error of opening `path`, which must be one for people: three parts, no stray text. */
function refusal(path: string): NpuDiffError {
  const error = errorOf(() => openDump(path));
  if (!isNpuDiffError(error)) throw new Error("no NpuDiffError", { cause: error });
  expect(error.message).not.toBe("");
  expect(error.message).not.toMatch(/undefined|NaN|\[object|\.$/);
  expect(error.facts.map(({ label }) => label)).toEqual(["file", "found", "expected"]);
  for (const { text } of error.facts) expect(text).not.toMatch(/undefined|\[object/);
  expect(error.help).not.toBe("");
  return error;
}

function refusalOfRows(rows: readonly TestRow[], options?: ArrowFileOptions): NpuDiffError {
  return refusal(folder.file(arrowFile([...rows, runEnd()], options)));
}

function found(error: NpuDiffError): string {
  return error.facts.find(({ label }) => label === "found")?.text ?? "";
}

function bytesOf(dump: Dump, entry: TensorEntry): Uint8Array {
  const bytes = new Uint8Array(entry.chunks.reduce((total, chunk) => total + chunk.bytes, 0));
  dump.read(entry, 0, bytes);
  return bytes;
}

describe("openDump", () => {
  it("gives tensors in order of their first rows, with all that the columns say", () => {
    const stats = { min: -1, max: 2, mean: 0.5, rms: 1, nan: 0n, posinf: 1n, neginf: 2n };
    const row = {
      layer: 3,
      module: "model.layers.3",
      sample: 2,
      step: 1,
      repeat: 4,
      rank: 5,
      stats,
    };
    const dump = openRows([zeros("norm", [2, 3]), zeros("layers.3", [2, 3], row), zeros("s", [])]);
    expect(dump.run).toEqual(RUN);
    expect(dump.end).toEqual({ complete: true });
    expect(dump.repaired).toBe(false);
    expect(dump.tensors.map(({ name }) => name)).toEqual(["norm", "layers.3", "s"]);
    expect(dump.tensors[1]).toMatchObject({
      ...{ name: "layers.3", kind: "hidden", layer: 3, module: "model.layers.3", sample: 2 },
      ...{ step: 1, repeat: 4, rank: 5, dtype: "F32", shape: [2, 3], encoding: "dense" },
      stats: { min: -1, max: 2, mean: 0.5, rms: 1, nan: 0, posInf: 1, negInf: 2 },
      elements: 6,
    });
    expect(dump.tensors[2]).toMatchObject({ shape: [], elements: 1, stats: null, layer: null });
  });

  it("reads any range of a tensor that lies in chunks, among others' and over batches", () => {
    const data = Uint8Array.from({ length: 5 * 12 }, (_, i) => i);
    const part = (start: number, end: number): TestRow => ({
      ...{ name: "a", shape: [5, 3], start, data: data.subarray(12 * start, 12 * end) },
    });
    const rows = [part(0, 1), zeros("b", [1]), part(1, 4), zeros("c", [1]), part(4, 5)];
    const dump = openRows(rows, { batches: [2, 0, 1, 3] });
    const entry = dump.tensors[0] as TensorEntry;
    expect(entry.chunks.map(({ offset, bytes }) => [offset, bytes])).toEqual([
      [0, 12],
      [12, 36],
      [48, 12],
    ]);
    for (let from = 0; from <= data.length; from += 1) {
      for (let to = from; to <= data.length; to += 1) {
        const target = new Uint8Array(to - from);
        dump.read(entry, from, target);
        expect(target).toEqual(data.slice(from, to));
      }
    }
    expect(() => {
      dump.read(entry, 0, new Uint8Array(61));
    }).toThrow(RangeError);
    expect(() => {
      dump.read(entry, -1, new Uint8Array(1));
    }).toThrow(RangeError);
    expect(() => {
      dump.read(entry, 0.5, new Uint8Array(1));
    }).toThrow(RangeError);
    dump.close();
    dump.close();
    expect(() => {
      dump.read(entry, 0, new Uint8Array(1));
    }).toThrow(RangeError);
  });

  it("takes missing optional columns for their defaults", () => {
    const optional = ["layer", "module", "repeat", "rank", "start", "encoding", "stats"];
    const dump = openRows([zeros("a", [2])], { without: optional });
    expect(dump.tensors[0]).toMatchObject({
      ...{ layer: null, module: null, repeat: 0, rank: 0, encoding: "dense", stats: null },
    });
  });

  it.each(["name", "kind", "sample", "step", "dtype", "shape", "data"])(
    "names the missing column %s",
    (name) => {
      const error = refusalOfRows([zeros("a", [2])], { without: [name] });
      expect(error).toMatchObject({ code: "dump-schema" });
      expect(error.message).toContain(name);
    },
  );

  it("takes integers of any width, large text and large lists", () => {
    const rows = [zeros("a", [2], { sample: 1 }), runEnd()];
    const dump = open(
      folder.file(
        arrowFile(rows, {
          columns: {
            sample: [new Int8(), (i) => [1, -1][i]],
            step: [new Uint16(), () => 0],
            layer: [new Uint64(), (i) => [7n, null][i]],
            start: [new Int32(), () => 0],
            name: [new LargeUtf8(), (i) => rows[i]?.name],
            shape: [new List(new Field("x", new Int32(), true)), (i) => rows[i]?.shape],
          },
        }),
      ),
    );
    expect(dump.tensors[0]).toMatchObject({ name: "a", sample: 1, layer: 7, shape: [2] });
  });

  it("steps over columns that it does not know, of any type", () => {
    const inner = new Struct([
      new Field("a", new List(new Field("i", new Utf8(), true)), true),
      new Field("b", new FixedSizeList(3, new Field("i", new Float32(), true)), true),
    ]);
    const entries = new Struct<{ key: Utf8; value: Int32 }>([
      new Field("key", new Utf8(), false),
      new Field("value", new Int32(), true),
    ]);
    const dump = openRows([zeros("a", [2]), zeros("b", [3])], {
      columns: {
        nested: [inner, (i) => (i === 1 ? null : { a: ["x", "yy"], b: [1, 2, 3] })],
        flag: [new Bool(), (i) => i === 0],
        nothing: [new Null(), () => null],
        category: [new Dictionary(new Utf8(), new Int32()), (i) => `c${i % 2}`],
        map: [new Map_(new Field("entries", entries, false)), (i) => new Map([[`k${i}`, i]])],
        // Comes last, so that it is found only by a walk that counted all others.
        module: [new Utf8(), (i) => `m${i}`],
      },
    });
    expect(dump.tensors.map(({ module }) => module)).toEqual(["m0", "m1"]);
  });

  it.each([
    ["a column twice", { twice: "step" }, /step/],
    ["text as a number", { columns: { name: [new Int32(), () => 1] } }, /name as Int32/],
    ["a number as text", { columns: { sample: [new Utf8(), () => "0"] } }, /sample as Utf8/],
    ["a float as an integer", { columns: { step: [new Float32(), () => 0] } }, /step as Float/],
    [
      "a dictionary",
      { columns: { dtype: [new Dictionary(new Utf8(), new Int32()), () => "F32"] } },
      /dictionary<Utf8>/,
    ],
    [
      "a list of text",
      { columns: { shape: [new List(new Field("i", new Utf8(), true)), () => ["1"]] } },
      /shape as List/,
    ],
    [
      "statistics without a part",
      { columns: { stats: [new Struct([new Field("min", new Float32(), true)]), () => null] } },
      /stats as Struct/,
    ],
  ] as const)("refuses %s", (_, options, pattern) => {
    const error = refusalOfRows([zeros("a", [2])], options);
    expect(error.code).toBe("dump-schema");
    expect(found(error)).toMatch(pattern);
  });

  it.each<[string, TestRow]>([
    ["a null name", zeros("a", [2], { name: null })],
    ["a null sample", zeros("a", [2], { sample: null })],
    ["a null shape", zeros("a", [2], { shape: null })],
    ["null data", zeros("a", [2], { data: null })],
    ["an empty name", zeros("", [2])],
    ["a name of more than 64 KiB", zeros("x".repeat(65_537), [2])],
    ["an unknown dtype", zeros("a", [2], { dtype: "F4" })],
    ["a dtype out of the prototype", zeros("a", [2], { dtype: "__proto__" })],
    ["an unknown encoding", zeros("a", [2], { encoding: "zip" })],
    ["a sample below -1", zeros("a", [2], { sample: -2 })],
    ["a negative step", zeros("a", [2], { step: -1 })],
    ["a negative repeat", zeros("a", [2], { repeat: -1 })],
    ["a negative rank", zeros("a", [2], { rank: -1 })],
    ["a negative layer", zeros("a", [2], { layer: -1 })],
    ["a negative start", zeros("a", [2], { start: -1 })],
    ["an absurd start", zeros("a", [2], { start: 2 ** 60 })],
    ["a negative axis", zeros("a", [2], { shape: [-2] })],
    ["two negative axes", zeros("a", [6], { shape: [-2, -3] })],
    ["a shape beyond 2^53", zeros("a", [2], { shape: [2 ** 30, 2 ** 30] })],
    ["a shape that overflows float64", zeros("a", [2], { shape: Array<number>(60).fill(2 ** 50) })],
    [
      "a shape beyond all numbers, times zero",
      zeros("a", [2], { shape: [...Array<number>(63).fill(2 ** 50), 0] }),
    ],
    ["more than 64 axes", zeros("a", Array<number>(65).fill(1))],
    ["too little data", zeros("a", [2], { data: new Uint8Array(7) })],
    ["no data", zeros("a", [2], { data: new Uint8Array(0) })],
    ["too much data", zeros("a", [2], { data: new Uint8Array(12) })],
    ["half a row", zeros("a", [4, 2], { data: new Uint8Array(12) })],
    ["rows that are missing at the end", zeros("a", [4, 2], { data: new Uint8Array(24) })],
    [
      "rows that are missing at the start",
      zeros("a", [4, 2], { start: 1, data: new Uint8Array(24) }),
    ],
    ["a scalar that starts at 1", zeros("a", [], { start: 1 })],
    ["data of a tensor without rows", zeros("a", [0, 4], { data: new Uint8Array(4) })],
    [
      "statistics alone, with data",
      zeros("a", [2], { encoding: "stats", stats: { nan: 0n, posinf: 0n, neginf: 0n } }),
    ],
    [
      "statistics alone, without statistics",
      zeros("a", [2], { encoding: "stats", data: new Uint8Array(0) }),
    ],
    [
      "statistics alone of a shape without end",
      zeros("a", [], {
        encoding: "stats",
        data: new Uint8Array(0),
        shape: [...Array<number>(63).fill(2 ** 50), 0],
        stats: { nan: 0n, posinf: 0n, neginf: 0n },
      }),
    ],
    ["a negative count", zeros("a", [2], { stats: { nan: -1n, posinf: 0n, neginf: 0n } })],
    ["a null count", zeros("a", [2], { stats: { nan: null, posinf: 0n, neginf: 0n } })],
    ["a sketch of unknown size", zeros("a", [2], { encoding: "sketch" })],
  ])("refuses %s", (_, row) => {
    expect(refusalOfRows([zeros("before", [1]), row])).toMatchObject({ code: "dump-corrupt" });
  });

  it("tells the same chunk twice from chunks that overlap or leave a gap", () => {
    const chunk = (start: number, rows: number): TestRow => ({
      ...{ name: "a", shape: [4, 2], start, data: new Uint8Array(8 * rows) },
    });
    expect(refusalOfRows([chunk(0, 4), chunk(0, 4)]).code).toBe("duplicate-rows");
    expect(refusalOfRows([chunk(0, 2), chunk(2, 2), chunk(2, 2)]).code).toBe("duplicate-rows");
    expect(refusalOfRows([chunk(0, 3), chunk(2, 2)]).code).toBe("dump-corrupt");
    expect(refusalOfRows([chunk(0, 1), chunk(2, 2)]).code).toBe("dump-corrupt");
    expect(refusalOfRows([chunk(2, 2), chunk(0, 2)]).code).toBe("dump-corrupt");
    expect(refusalOfRows([zeros("z", [0, 2]), zeros("z", [0, 2])]).code).toBe("duplicate-rows");
    expect(refusalOfRows([zeros("s", []), zeros("s", [])]).code).toBe("duplicate-rows");
    // Another sample, step, repeat or rank is another tensor.
    const others = ["sample", "step", "repeat", "rank"].map((key) => ({
      ...chunk(0, 4),
      [key]: 1,
    }));
    expect(openRows([chunk(0, 4), ...others]).tensors).toHaveLength(5);
  });

  it.each<[string, TestRow]>([
    ["dtype", { dtype: "I32" }],
    ["kind", { kind: "other" }],
    ["shape", { shape: [4, 1, 2] }],
    ["layer", { layer: 1 }],
    ["module", { module: "m" }],
    ["encoding", { encoding: "stats", stats: { nan: 0n, posinf: 0n, neginf: 0n } }],
  ])("refuses a chunk with another %s than its tensor", (_, other) => {
    const chunk = { name: "a", shape: [4, 2], data: new Uint8Array(16) };
    const error = refusalOfRows([chunk, { ...chunk, start: 2, ...other }]);
    expect(error.code).toBe("dump-corrupt");
  });

  it("reads tensors without elements, reduced encodings and values that are not finite", () => {
    const empty = new Uint8Array(0);
    const sketch = {
      ...METADATA,
      "npu_diff.run": JSON.stringify({ ...RUN, capture: { sketch: { k: 2 } } }),
    };
    const stats = { min: null, max: null, mean: NaN, rms: null, nan: 8n, posinf: 0n, neginf: 0n };
    const dump = openRows(
      [
        zeros("rows", [0, 4]),
        zeros("width", [3, 0]),
        zeros("stats", [2, 4], { encoding: "stats", data: empty, stats }),
        zeros("sketch", [3, 100], { encoding: "sketch", data: new Uint8Array(3 * 2 * 4) }),
      ],
      { metadata: sketch },
    );
    expect(dump.tensors.map(({ name, elements, chunks }) => [name, elements, chunks])).toEqual([
      ["rows", 0, []],
      ["width", 0, []],
      ["stats", 8, []],
      ["sketch", 300, []],
    ]);
    expect(dump.tensors[2]?.stats).toEqual({
      ...{ min: NaN, max: NaN, mean: NaN, rms: NaN, nan: 8, posInf: 0, negInf: 0 },
    });
    for (const entry of dump.tensors.slice(0, 2)) expect(bytesOf(dump, entry)).toEqual(empty);
    expect(() => {
      dump.read(dump.tensors[2] as TensorEntry, 0, new Uint8Array(1));
    }).toThrow(RangeError);
  });

  it.each([
    ["control characters", "a\u0000\n\u001b[31m\u009b"],
    ["64 KiB", "\u00e9".repeat(32_768)],
    ["a byte order mark", "\ufeffa"],
    ["text that changes direction", "\u202egnp"],
    ["a key of every object", "__proto__"],
    ["one byte", "x"],
  ])("takes a name of %s as it is", (_, name) => {
    expect(openRows([zeros(name, [1])]).tensors[0]?.name).toBe(name);
  });

  it("holds repeated texts and shapes once", () => {
    const rows = Array.from({ length: 20 }, (_, i) => zeros("a", [1], { sample: i }));
    const { tensors } = openRows(rows, { batches: [10, 11] });
    expect(new Set(tensors.map(({ shape }) => shape)).size).toBe(1);
  });
});

describe("the end of the run", () => {
  function endOf(...rows: TestRow[]): NpuDiffError {
    return refusal(folder.file(arrowFile([zeros("a", [1]), ...rows])));
  }

  it("must be there and say that it is complete", () => {
    expect(endOf()).toMatchObject({
      code: "dump-incomplete",
      help: expect.stringContaining("npu-diff repair") as unknown,
    });
    expect(endOf(runEnd({})).code).toBe("dump-incomplete");
    expect(endOf(runEnd({ complete: "true" })).code).toBe("dump-incomplete");
    expect(endOf(runEnd({ complete: false })).code).toBe("dump-incomplete");
  });

  it("must be the last row", () => {
    expect(endOf(runEnd(), zeros("b", [1])).code).toBe("dump-corrupt");
    expect(endOf(runEnd(), runEnd()).code).toBe("dump-corrupt");
  });

  it.each([
    ["no JSON", "{"],
    ["an array", "[]"],
    ["null", "null"],
    ["nothing", ""],
    ["deeper than any reader may recurse", `{"complete":true,"x":${"[".repeat(100_000)}`],
    ["deep and well-formed", `{"complete":true,"x":${"[".repeat(65)}${"]".repeat(65)}}`],
  ])("must be a JSON object, not %s", (_, text) => {
    expect(endOf(runEnd(text)).code).toBe("dump-corrupt");
  });

  it("must be readable", () => {
    expect(endOf({ ...runEnd(), dtype: "I8" }).code).toBe("dump-corrupt");
    expect(endOf({ ...runEnd(), data: Uint8Array.of(0xff), shape: [1] }).code).toBe("dump-corrupt");
    expect(endOf({ ...runEnd(), shape: [400] }).code).toBe("dump-corrupt");
  });

  it("leaves out tensors that lack rows where the file was repaired", () => {
    const half = zeros("a", [4, 2], { data: new Uint8Array(16) });
    const end = runEnd({ complete: true, repaired: { batches: 1 } });
    const dump = open(folder.file(arrowFile([half, zeros("b", [1]), end])));
    expect(dump.repaired).toBe(true);
    expect(dump.tensors.map(({ name }) => name)).toEqual(["b"]);
    const more = zeros("a", [1], { data: new Uint8Array(8) });
    expect(refusal(folder.file(arrowFile([more, end]))).code).toBe("dump-corrupt");
  });

  it("keeps what it says, prototypes excepted", () => {
    const text = '{"complete":true,"__proto__":{"a":1},"x":{"__proto__":{"polluted":1},"y":[1]}}';
    const dump = open(folder.file(arrowFile([zeros("a", [1]), runEnd(text)])));
    expect(dump.end).toStrictEqual({ complete: true, x: { y: [1] } });
    expect(Object.assign({}, dump.end["x"])).not.toHaveProperty("polluted");
  });
});

describe("the metadata", () => {
  function withRun(run: string, version = "1"): NpuDiffError {
    const metadata = { "npu_diff.version": version, "npu_diff.run": run };
    return refusalOfRows([zeros("a", [1])], { metadata });
  }

  it.each(["2", "0", "10", "1x", "", "-1", "2.0"])("refuses version %j by name", (version) => {
    const error = withRun(JSON.stringify(RUN), version);
    expect(error.code).toBe("dump-version");
    expect(found(error)).toContain(version);
    expect(error.facts.at(-1)?.text).toContain("1");
  });

  it("takes a minor version", () => {
    const metadata = { ...METADATA, "npu_diff.version": "1.2" };
    expect(openRows([zeros("a", [1])], { metadata }).tensors).toHaveLength(1);
  });

  it.each([
    ["no JSON", "{tool"],
    ["nothing", ""],
    ["an array", "[1]"],
    ["a string", '"x"'],
    ["no tool", JSON.stringify({ ...RUN, tool: undefined })],
    ["no id", JSON.stringify({ ...RUN, id: undefined })],
    ["an id that is no text", JSON.stringify({ ...RUN, id: 1 })],
    ["no dtype", JSON.stringify({ ...RUN, dtype: undefined })],
    ["an unknown dtype", JSON.stringify({ ...RUN, dtype: "bfloat16" })],
    ["a dtype out of the prototype", JSON.stringify({ ...RUN, dtype: "toString" })],
    ["nesting without end", `{"x":${"[".repeat(1_000_000)}`],
  ])("refuses a run that is %s", (_, run) => {
    expect(withRun(run).code).toBe("dump-metadata");
  });

  it("tells an Arrow file of something else", () => {
    const error = refusalOfRows([zeros("a", [1])], { metadata: { pandas: "{}" } });
    expect(error.code).toBe("dump-schema");
    expect(error.message).toContain("not a dump");
  });
});

describe("a folder that is no dump is told by what it holds", () => {
  it.each<[string, readonly string[], string, RegExp]>([
    ["nothing", [], "nothing", /^give the path of a dump/],
    ["other files", ["a.py", "b.py"], "a.py, b.py", /^give the path of a dump/],
    [
      "a model",
      ["config.json", "model.safetensors"],
      "model.safetensors, config.json",
      /model's weights: .*npu-dump run --model .+/,
    ],
    ["dumps", ["b.arrow", "a.npz"], "a.npz, b.arrow", /such as .+a\.npz$/],
    [
      "shards",
      ["x-1.safetensors", "x.safetensors.index.json"],
      "x.safetensors.index.json, x-1.safetensors",
      /such as .+x\.safetensors\.index\.json$/,
    ],
    ["a folder of dumps", ["ref/reference.arrow"], "ref/", /^did you mean .+ref\?$/],
  ])("%s", (_name, entries, found, help) => {
    const path = folder.path("");
    mkdirSync(path);
    for (const entry of entries) {
      mkdirSync(dirname(join(path, entry)), { recursive: true });
      writeFileSync(join(path, entry), "x");
    }
    const error = errorOf(() => openDump(path)) as NpuDiffError;
    expect(error).toMatchObject({ code: "file-unreadable", message: "the folder is no dump" });
    expect(error.facts).toMatchObject([
      { label: "file", text: path },
      { label: "found", text: found },
      { label: "expected" },
    ]);
    expect(error.help).toMatch(help);
  });
});

describe("what is no dump", () => {
  it.each([
    ["nothing at all", "", "file-empty"],
    ["text", "hello, world, this is no dump at all\n", "not-arrow"],
    ["one byte", "x", "not-arrow"],
    ["a beginning of a ZIP archive", "PK\u0003\u0004aaaaaaaaaaaaaaaa", "dump-truncated"],
    ["a short beginning of one", "ARR", "dump-truncated"],
    ["the magic alone", "ARROW1\0\0", "dump-truncated"],
    ["the magic twice", "ARROW1\0\0ARROW1", "dump-truncated"],
    ["a footer of no length", "ARROW1\0\0\0\0\0\0ARROW1", "dump-corrupt"],
  ])("is refused: %s", (_, text, code) => {
    expect(refusal(folder.file(text)).code).toBe(code);
  });

  it("is refused: an Arrow stream, with the way out", () => {
    const table = tableFromIPC(arrowFile([zeros("a", [1]), runEnd()]));
    const error = refusal(folder.file(tableToIPC(table, "stream")));
    expect(error.code).toBe("not-arrow");
    expect(error.message).toContain("stream");
    expect(error.help).toContain("new_file");
  });

  it("is refused: what is missing, no file, or not readable", () => {
    expect(refusal(join(folder.folder, "missing.arrow")).code).toBe("file-not-found");
    const file = folder.file("x");
    expect(refusal(join(file, "below")).code).toBe("file-not-found");
    expect(refusal("a\0b").code).toBe("file-unreadable");
    expect(refusal("x".repeat(10_000)).code).toBe("file-unreadable");
    const directory = folder.path(".d");
    mkdirSync(directory);
    expect(refusal(directory).code).toBe("file-unreadable");
  });

  it.skipIf(globalThis.process.platform === "win32")(
    "is refused: a FIFO and a device, at once",
    () => {
      const fifo = folder.path(".fifo");
      execFileSync("mkfifo", [fifo]);
      expect(refusal(fifo).code).toBe("file-unreadable");
      expect(refusal("/dev/zero").code).toBe("file-unreadable");
    },
  );

  it("is refused: a writer's unfinished file, with the way out", () => {
    const bytes = arrowFile([zeros("a", [1]), runEnd()]);
    const error = refusal(folder.file(bytes.subarray(0, -30), ".arrow.partial"));
    expect(error.code).toBe("dump-incomplete");
    expect(error.help).toContain("npu-diff repair");
  });

  it("is told while it is read: a file that shrinks", () => {
    const path = folder.file(arrowFile([zeros("a", [1000]), runEnd()]));
    const dump = open(path);
    truncateSync(path, 100);
    const error = errorOf(() => bytesOf(dump, dump.tensors[0] as TensorEntry));
    expect(error).toMatchObject({ code: "dump-truncated" });
  });

  it("does not follow a name into the shell", () => {
    const path = folder.path(" $(rm -rf x)'.arrow");
    writeFileSync(path, "ARROW1\0\0");
    chmodSync(path, 0o600);
    expect(refusal(path).help).toContain(`'${path.replaceAll("'", `'\\''`)}'`);
  });

  it("is refused: an Int64 that no float64 holds", () => {
    const error = refusalOfRows([zeros("a", [1])], {
      columns: { start: [new Int64(), () => 2n ** 53n] },
    });
    expect(error.code).toBe("dump-corrupt");
  });
});
