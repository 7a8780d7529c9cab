/** `npu-diff convert`: what it writes is read back to the bit, by us and by the tools that the formats belong to. */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { DTYPES } from "../../src/core/dtype.ts";
import { convertDump } from "../../src/dump/convert/convert-dump.ts";
import { type Dump, dataBytes, type TensorEntry } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { cli } from "../support/cli.ts";
import { python } from "../support/python.ts";
import { errorOf, scratch } from "../support/scratch.ts";
import { splitRun } from "../support/split-ranks.ts";

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

const files = scratch();

function withDump<T>(path: string, use: (dump: Dump) => T): T {
  const dump = openDump(path);
  try {
    return use(dump);
  } finally {
    dump.close();
  }
}

/** dtype, shape and hash of each tensor, by name and place. */
function contents(path: string, keep: (entry: TensorEntry) => boolean = () => true) {
  return withDump(path, (dump) =>
    Object.fromEntries(
      dump.tensors.filter(keep).map((entry) => {
        const bytes = new Uint8Array(dataBytes(entry));
        dump.read(entry, 0, bytes);
        const { dtype, shape } = entry;
        const sha256 = createHash("sha256").update(bytes).digest("hex");
        return [`${entry.name}@${entry.sample}.${entry.step}`, { dtype, shape, sha256 }];
      }),
    ),
  );
}

/** A dump of every dtype, of shapes with and without axes and rows, and of names that are hostile to each format. */
function writeEverything(path: string): void {
  const run = { tool: { name: "test" }, id: "everything", dtype: "F32" as const };
  const writer = createDumpWriter(path, run);
  const add = (name: string, dtype: keyof typeof DTYPES, shape: readonly number[], more = {}) => {
    const size = shape.reduce((a, b) => a * b, DTYPES[dtype].bytes);
    const bytes = Uint8Array.from({ length: size }, (_, i) =>
      dtype === "BOOL" ? i % 2 : (i * 73 + 41 * size) % 251,
    );
    writer.write({ name, dtype, shape, bytes, ...more });
  };
  for (const dtype of Object.keys(DTYPES) as (keyof typeof DTYPES)[]) {
    add(`all.${dtype}`, dtype, [3, 5]);
    add(`scalar.${dtype}`, dtype, []);
  }
  add("one", "F32", [7]);
  add("empty", "BF16", [0, 4]);
  add("layers.0.mlp", "BF16", [4, 8], { sample: 0 });
  add("layers.0.mlp", "BF16", [1, 8], { sample: 0, step: 2 });
  add("layers.0.mlp", "BF16", [6, 8], { sample: 12 });
  add("far", "F16", [2, 2], { sample: 3 });
  for (const name of [
    "x@1.2",
    "7",
    "a/b",
    "../up",
    "名\n",
    '=cmd|"x"!A1',
    "-1",
    "a.npy",
    "constructor",
  ]) {
    add(name, "F32", [2, 2]);
  }
  writer.close();
}

describe("a dump of everything", () => {
  const source = join(files.folder, "everything.arrow");
  const out = (extension: string): string => join(files.folder, `out.${extension}`);
  let foreign: {
    readonly npz: Readonly<Record<string, unknown>>;
    readonly arrow: Readonly<Record<string, unknown>>;
    readonly safetensors: {
      readonly tensors: Readonly<Record<string, unknown>>;
      readonly id: string;
    };
    readonly csv: {
      readonly rows: readonly Readonly<Record<string, string>>[];
      readonly stats: readonly Readonly<Record<string, number | null>>[];
    };
  };

  beforeAll(() => {
    writeEverything(source);
    for (const extension of ["arrow", "safetensors", "npz", "csv"]) {
      convertDump(source, out(extension));
    }
    foreign = JSON.parse(python("exported_files.py", files.folder)) as typeof foreign;
  }, 60_000);

  /** What the tools must find, under the names that the formats without columns have. */
  function expected() {
    const plain = contents(source);
    const alone = (key: string): string => {
      const name = key.slice(0, key.lastIndexOf("@"));
      const isPlaced = name === "layers.0.mlp" || name === "far" || name === "x@1.2";
      return isPlaced ? key : name;
    };
    return Object.fromEntries(Object.entries(plain).map(([key, value]) => [alone(key), value]));
  }

  test.each(["arrow", "safetensors", "npz"])("is read back from .%s", (extension) => {
    expect(contents(out(extension))).toEqual(contents(source));
  });

  test("is what NumPy finds in .npz", () => {
    expect(foreign.npz).toEqual(expected());
  });

  test("is what the safetensors library finds, with the run", () => {
    expect(foreign.safetensors).toEqual({ tensors: expected(), id: "everything" });
  });

  test("is what PyArrow finds in .arrow", () => {
    expect(foreign.arrow).toEqual(contents(source));
  });

  test("is a table with NumPy's statistics, and no formula in it", () => {
    const { rows, stats } = foreign.csv;
    const entries = withDump(source, ({ tensors }) => tensors);
    expect(rows.length).toBe(entries.length);
    for (const [i, entry] of entries.entries()) {
      const row = rows[i] ?? {};
      const name = /^[=+@-]/.test(entry.name) ? `'${entry.name}` : entry.name.replace("\n", "\\n");
      expect(row).toMatchObject({
        ...{ name, sample: String(entry.sample), step: String(entry.step), dtype: entry.dtype },
        ...{ shape: entry.shape.join("x"), elements: String(entry.elements) },
      });
      // Integers beyond 2^53 have none.
      if (entry.dtype === "I64" && entry.elements > 0 && row["min"] === "") continue;
      for (const key of ["min", "max", "mean", "rms", "nan", "posinf", "neginf"]) {
        const wanted = stats[i]?.[key] ?? Number.NaN;
        const found = Number(row[key]);
        const near = Math.abs(found - wanted) <= 1e-13 * Math.abs(wanted) + Number.MIN_VALUE;
        expect(near || Object.is(found, wanted), `${entry.name} ${key}: ${found}, ${wanted}`).toBe(
          true,
        );
      }
    }
    expect(rows.filter((row) => row["min"] !== "" && row["min"] !== "NaN").length).toBeGreaterThan(
      20,
    );
  });
});

describe("a run of a model", () => {
  const source = fixture("pairs/clean/candidate.arrow");
  const path = (extension: string): string => join(files.folder, `run.${extension}`);

  beforeAll(() => {
    for (const extension of ["arrow", "safetensors", "npz"]) convertDump(source, path(extension));
    convertDump(path("npz"), join(files.folder, "npz.safetensors"));
    convertDump(path("safetensors"), join(files.folder, "safetensors.arrow"));
    convertDump(join(files.folder, "npz.safetensors"), join(files.folder, "twice.npz"));
  });

  test.each([
    "run.arrow",
    "run.safetensors",
    "run.npz",
    "npz.safetensors",
    "safetensors.arrow",
    "twice.npz",
  ])("is bit for bit the same as %s", async (name) => {
    const candidate = join(files.folder, name);
    const { verdict, tensors } = await compareDumps({
      ...{ reference: source, candidate },
      preset: "exact",
    });
    expect(verdict).toBe("pass");
    expect(tensors.length).toBeGreaterThan(10);
    expect(tensors.every(({ bitsDiffering }) => bitsDiffering === 0)).toBe(true);
  });

  test("keeps what it says of itself in .arrow and .safetensors", () => {
    const { run, end } = withDump(source, (dump) => dump);
    expect(withDump(path("arrow"), (dump) => [dump.run, dump.end])).toEqual([run, end]);
    const { imported, ...kept } = withDump(path("safetensors"), (dump) => dump.run);
    expect(kept).toEqual(run);
    expect(imported).toMatchObject({ format: "safetensors", skipped_count: 0 });
  });

  test("gives the same bytes every time", () => {
    for (const extension of ["arrow", "safetensors", "npz"]) {
      const again = join(files.folder, `again.${extension}`);
      convertDump(source, again);
      expect(readFileSync(again).equals(readFileSync(path(extension)))).toBe(true);
    }
  });
});

describe("files of other tools", () => {
  test.each(["torch/dtypes.pt", "torch/views.pt", "numpy/compressed.npz", "polygraphy/two.json"])(
    "%s is the same in every format",
    (name) => {
      const source = fixture(`foreign/${name}`);
      const arrow = files.path();
      convertDump(source, arrow);
      expect(contents(arrow)).toEqual(contents(source));
      for (const extension of [".safetensors", ".npz"]) {
        const path = files.path(extension);
        convertDump(arrow, path);
        expect(contents(path)).toEqual(contents(source));
      }
    },
  );

  test("the ranks of a run become one file", () => {
    const whole = fixture("pairs/clean/candidate.arrow");
    const how = ({ name }: TensorEntry) =>
      name.endsWith(".attn") ? "channels" : name === "norm" ? "tokens" : "replica";
    const pattern = splitRun(whole, files.path(""), { ranks: 2, how });
    const path = files.path();
    convertDump(pattern, path);
    expect(contents(path)).toEqual(contents(whole));
    expect(withDump(path, ({ ranks }) => ranks)).toBe(1);
  });
});

describe("what cannot be written is told", () => {
  const none = new Uint8Array();
  const stats = { min: 0, max: 1, mean: 0.5, rms: 0.6, nan: 0, posInf: 0, negInf: 0 };

  function write(
    rows: readonly {
      readonly name: string;
      readonly repeat?: number;
      readonly isStats?: boolean;
    }[],
  ) {
    const path = files.path();
    const writer = createDumpWriter(path, { tool: { name: "test" }, id: "x", dtype: "F32" });
    for (const { name, repeat = 0, isStats = false } of rows) {
      const encoding = isStats ? ("stats" as const) : ("dense" as const);
      const bytes = isStats ? none : new Uint8Array(16);
      writer.write({ name, dtype: "F32", shape: [2, 2], bytes, repeat, encoding, stats });
    }
    writer.close();
    return path;
  }

  test("statistics, repetitions and names that a format has no room for", () => {
    const path = write([
      { name: "a" },
      { name: "b", isStats: true },
      { name: "a", repeat: 1 },
      { name: "nul\0" },
      { name: "__metadata__" },
    ]);
    const npz = convertDump(path, files.path(".npz"));
    expect(npz.tensors).toBe(2);
    expect(npz.left.map(({ name }) => name)).toEqual(["b", "a@0.0", "nul\0", "run"]);
    const safetensors = convertDump(path, files.path(".safetensors"));
    expect(safetensors.left.map(({ name }) => name)).toEqual(["b", "a@0.0", "__metadata__"]);
    const arrow = files.path();
    expect(convertDump(path, arrow)).toMatchObject({ tensors: 5, left: [] });
    expect(withDump(arrow, ({ tensors }) => tensors)).toMatchObject([
      { name: "a", encoding: "dense", stats },
      { name: "b", encoding: "stats", stats },
      { name: "a", repeat: 1 },
      { name: "nul\0" },
      { name: "__metadata__" },
    ]);
  });

  test("sketches", () => {
    const path = files.path();
    const capture = { sketch: { k: 2, seed: 1 } };
    const writer = createDumpWriter(path, {
      tool: { name: "test" },
      id: "x",
      dtype: "F32",
      capture,
    });
    writer.write({ name: "a", dtype: "F32", shape: [2], bytes: new Uint8Array(8) });
    const sketch = { encoding: "sketch" as const, bytes: new Uint8Array(16) };
    writer.write({ name: "b", dtype: "F32", shape: [2, 9], ...sketch });
    writer.close();
    for (const extension of [".arrow", ".safetensors", ".npz"]) {
      const { tensors, left } = convertDump(path, files.path(extension));
      expect(tensors).toBe(1);
      expect(left[0]).toEqual({ name: "b", why: "only a sketch of it is stored" });
    }
  });

  test("nothing at all is an error, and leaves no file", () => {
    const path = write([{ name: "b", isStats: true }]);
    const output = files.path(".npz");
    const error = errorOf(() => convertDump(path, output));
    expect(error).toMatchObject({ code: "nothing-to-convert" });
    expect(existsSync(output) || existsSync(`${output}.partial`)).toBe(false);
  });

  test("what could not be read of the input", () => {
    const path = files.path();
    const { left, from } = convertDump(fixture("foreign/numpy/stored.npz"), path);
    expect(from).toBe("npz");
    expect(left.map(({ name }) => name)).toContain("objects");
    // And whoever compares the output is told as well.
    const { imported } = withDump(path, ({ run }) => run);
    expect(imported).toMatchObject({ format: "npz", skipped_count: 6 });
  });
});

test("the command says what it did, and overwrites nothing", async () => {
  const source = fixture("foreign/numpy/stored.npz");
  const output = join(files.folder, "command.arrow");
  const first = await cli(["convert", source, output]);
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(/^converted .*command\.arrow\n {2}from +npz\n {2}tensors +\d+/);
  expect(first.stdout).toMatch(/left out {2}text: elements of '<U2'\n/);
  const before = statSync(output).mtimeMs;
  const again = await cli(["convert", source, output]);
  expect(again).toMatchObject({ code: 2, stdout: "" });
  expect(again.stderr).toContain("error[output-unwritable]");
  expect(statSync(output).mtimeMs).toBe(before);
  const unknown = await cli(["convert", source, join(files.folder, "x.bin")]);
  expect(unknown).toMatchObject({ code: 2 });
  expect(unknown.stderr).toMatch(/error\[usage\][\s\S]*\.safetensors/);
  expect(readdirSync(files.folder).filter((name) => name.endsWith(".partial"))).toEqual([]);
});
