import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tableFromIPC } from "@uwdata/flechette";
import { describe, expect, it } from "vitest";
import { openDump } from "../../src/dump/open-dump.ts";
import { repairDump } from "../../src/dump/repair.ts";
import { python } from "../support/python.ts";
import { codeOf } from "../support/read-all.ts";
import { sampleTensors, writeSample } from "../support/sample-dump.ts";
import { errorOf, random, scratch } from "../support/scratch.ts";

const folder = scratch();
python("foreign_dumps.py", folder.folder);
const expected = JSON.parse(readFileSync(join(folder.folder, "expected.json"), "utf8")) as Record<
  string,
  string
>;
const files = readdirSync(folder.folder).filter((name) => name.endsWith(".arrow"));

/** SHA-256 of each tensor of the dump at `path`, in order. */
function hashes(path: string): Record<string, string> {
  const dump = openDump(path);
  try {
    const result: Record<string, string> = {};
    for (const entry of dump.tensors) {
      const bytes = new Uint8Array(entry.chunks.reduce((total, chunk) => total + chunk.bytes, 0));
      dump.read(entry, 0, bytes);
      result[entry.name] = createHash("sha256").update(bytes).digest("hex");
    }
    return result;
  } finally {
    dump.close();
  }
}

describe("dumps that other tools write", () => {
  it("come in many variants", () => {
    expect(files.length).toBeGreaterThan(10);
    for (const tool of ["pyarrow", "polars", "duckdb"]) {
      expect(files.some((name) => name.startsWith(tool))).toBe(true);
    }
  });

  it.each(files)("are read: %s", (name) => {
    const path = join(folder.folder, name);
    expect(hashes(path)).toEqual(expected);
    const dump = openDump(path);
    dump.close();
    expect((dump.run.tool as { readonly name: string }).name).toBe("foreign");
    expect(dump.tensors.find((entry) => entry.name === "layers.0")).toMatchObject({
      ...{ kind: "hidden", layer: 0, module: "model.layers.0", dtype: "F32", shape: [9, 8] },
      stats: { min: 0, max: 1, mean: 0.5, rms: 1, nan: 0, posInf: 0, negInf: 0 },
    });
    expect(dump.tensors.find((entry) => entry.name === "embed")).toMatchObject({
      ...{ layer: null, module: null, stats: null },
    });
  });

  it.each([
    ["lz4", "dump-compressed", /LZ4_FRAME/, /pyarrow/],
    ["zstd", "dump-compressed", /ZSTD/, /pyarrow/],
    ["dictionary", "dump-schema", /dictionary<Utf8>/, /npu-dump/],
    ["nulls", "dump-corrupt", /null/, /./],
    ["stream", "not-arrow", /ffffffff/, /new_file/],
  ])("are refused by name: %s", (name, code, found, help) => {
    const error = errorOf(() => openDump(join(folder.folder, "refused", `${name}.arrow`)));
    expect(error).toMatchObject({ code, help: expect.stringMatching(help) as unknown });
    expect(error).toMatchObject({
      facts: [
        { label: "file" },
        { label: "found", text: expect.stringMatching(found) as unknown },
        {},
      ],
    });
  });

  // What a writer put into the footer alone is not there without it; and no empty row can be made
  // of unions and run-end encoded columns.
  const repairable = files.filter((name) => !/polars|unknown/.test(name));

  it.each(repairable)("are repaired where only the footer is lost: %s", (name) => {
    const bytes = readFileSync(join(folder.folder, name));
    const output = folder.path();
    repairDump(folder.file(bytes.subarray(0, -1)), output);
    expect(hashes(output)).toEqual(expected);
  });

  it("are repaired in their own schema where the last batch is lost, which pyarrow finds valid", () => {
    const outputs: string[] = [];
    for (const name of repairable.filter((name) =>
      /one-row|views|empty|nested|deltas/.test(name),
    )) {
      const bytes = readFileSync(join(folder.folder, name));
      // Inside the run.end row's data, which is in the last batch that has rows.
      const cut = bytes.lastIndexOf('{"complete": true}') + 4;
      const output = folder.path();
      repairDump(folder.file(bytes.subarray(0, cut)), output);
      const kept = hashes(output);
      expect(Object.keys(kept).length).toBeGreaterThanOrEqual(2);
      expect(expected).toMatchObject(kept);
      outputs.push(output);
    }
    expect(outputs).toHaveLength(5);
    const schemas = JSON.parse(python("validate_arrow.py", ...outputs)) as string[][];
    for (const columns of schemas)
      expect(columns).toEqual(expect.arrayContaining(["name", "data"]));
  });

  it("cannot be repaired with columns that have no empty row", () => {
    const bytes = readFileSync(join(folder.folder, "pyarrow-unknown-columns.arrow"));
    const error = errorOf(() => repairDump(folder.file(bytes.subarray(0, -1)), folder.path()));
    expect(error).toMatchObject({ code: "dump-schema" });
  });
});

describe("damaged dumps of views and large offsets", () => {
  it.each(["pyarrow-views", "pyarrow-large", "polars-views", "pyarrow-unknown-columns"])(
    "do no harm: %s",
    (name) => {
      const bytes = readFileSync(join(folder.folder, `${name}.arrow`));
      const path = folder.path();
      const next = random(13);
      const extremes = [0, 1, -1, 13, 0x7fffffff, -0x80000000, 0x00ffffff, 4096];
      let refused = 0;
      for (let trial = 0; trial < 600; trial++) {
        const copy = Buffer.from(bytes);
        const at = 4 * Math.floor((next() * (bytes.length - 4)) / 4);
        copy.writeInt32LE(extremes[Math.floor(next() * extremes.length)] ?? 0, at);
        writeFileSync(path, copy);
        if (codeOf(path, copy.length) !== null) refused += 1;
      }
      expect(refused).toBeGreaterThan(20);
    },
  );
});

describe("dumps that we write", () => {
  it("are read by flechette, value by value", () => {
    const path = folder.path();
    writeSample(path);
    const table = tableFromIPC(readFileSync(path), { useBigInt: false });
    const column = (name: string): unknown[] => [...(table.getChild(name) as Iterable<unknown>)];
    const tensors = sampleTensors();
    expect(column("name")).toEqual([...tensors.map(([name]) => name), "run.end"]);
    expect(column("dtype")).toEqual([...tensors.map(([, dtype]) => dtype), "U8"]);
    const data = column("data") as Uint8Array[];
    expect(data.slice(0, -1).map((bytes) => Uint8Array.from(bytes))).toEqual(
      tensors.map(([, , , bytes]) => bytes),
    );
    expect(
      column("shape")
        .slice(0, -1)
        .map((shape) => [...(shape as Iterable<number>)]),
    ).toEqual(tensors.map(([, , shape]) => shape));
    expect(column("layer").slice(0, 5)).toEqual([null, null, 0, 0, 1]);
    expect(column("sample").at(-1)).toBe(-1);
  });
});
