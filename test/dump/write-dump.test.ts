import { existsSync, readFileSync } from "node:fs";
import { RecordBatchFileReader } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { openDump } from "../../src/dump/open-dump.ts";
import { createDumpWriter, type TensorInput } from "../../src/dump/write-dump.ts";
import { SAMPLE_RUN } from "../support/sample-dump.ts";
import { errorOf, scratch } from "../support/scratch.ts";

const folder = scratch();

function write(tensors: readonly TensorInput[], end?: Readonly<Record<string, unknown>>): string {
  const path = folder.path();
  const writer = createDumpWriter(path, SAMPLE_RUN);
  for (const tensor of tensors) writer.write(tensor);
  writer.close(end);
  return path;
}

describe("createDumpWriter", () => {
  it("writes what openDump reads, field by field", () => {
    const stats = { min: -1, max: 1, mean: NaN, rms: 0.5, nan: 1, posInf: 2, negInf: 3 };
    const tensor: Omit<TensorInput, "bytes"> = {
      name: "layers.3.mlp",
      kind: "hidden",
      layer: 3,
      module: "m.3",
      sample: 7,
      step: 2,
      repeat: 1,
      rank: 4,
      dtype: "F16",
      shape: [2, 3],
      encoding: "dense",
      stats,
    };
    const dump = openDump(
      write([{ ...tensor, bytes: new Uint8Array(12).fill(9) }], { seconds: 4, complete: false }),
    );
    expect(dump.run).toEqual(SAMPLE_RUN);
    expect(dump.end).toEqual({ seconds: 4, complete: true });
    expect(dump.tensors).toEqual([{ ...tensor, elements: 6, chunks: [expect.anything()] }]);
    dump.close();
  });

  it("does not keep the bytes that it was given", () => {
    const bytes = new Uint8Array(4).fill(1);
    const path = folder.path();
    const writer = createDumpWriter(path, SAMPLE_RUN);
    writer.write({ name: "a", dtype: "F32", shape: [1], bytes });
    bytes.fill(2);
    writer.close();
    const dump = openDump(path);
    const [entry] = dump.tensors;
    const read = new Uint8Array(4);
    if (entry !== undefined) dump.read(entry, 0, read);
    dump.close();
    expect(read).toEqual(new Uint8Array(4).fill(1));
  });

  it("aligns data to its item size, one size a batch, run.end in a batch of its own", () => {
    const path = write([
      { name: "a", dtype: "U8", shape: [3], bytes: new Uint8Array(3) },
      { name: "b", dtype: "F64", shape: [3], bytes: new Uint8Array(24) },
      { name: "c", dtype: "F64", shape: [], bytes: new Uint8Array(8) },
      { name: "d", dtype: "U8", shape: [1], bytes: new Uint8Array(1) },
    ]);
    const dump = openDump(path);
    for (const { name, chunks } of dump.tensors) {
      if (name === "b" || name === "c") expect((chunks[0]?.position ?? 1) % 8).toBe(0);
    }
    dump.close();
    const rows = [...RecordBatchFileReader.from(readFileSync(path))].map(({ numRows }) => numRows);
    expect(rows).toEqual([1, 2, 1, 1]);
  });

  it("cuts a tensor along its rows at 32 MiB, and never inside a row", () => {
    const mib = 2 ** 20;
    const bytes = new Uint8Array(40 * mib);
    const dump = openDump(
      write([
        { name: "rows", dtype: "U8", shape: [40, mib], bytes },
        { name: "one row", dtype: "U8", shape: [1, 40 * mib], bytes },
        { name: "odd rows", dtype: "U8", shape: [2, 20 * mib], bytes },
      ]),
    );
    expect(dump.tensors.map(({ chunks }) => chunks.map((chunk) => chunk.bytes / mib))).toEqual([
      [32, 8],
      [40],
      [20, 20],
    ]);
    dump.close();
  });

  it("is called .partial until it is closed, and overwrites nothing", () => {
    const path = folder.path();
    const writer = createDumpWriter(path, SAMPLE_RUN);
    expect([existsSync(path), existsSync(`${path}.partial`)]).toEqual([false, true]);
    const second = errorOf(() => createDumpWriter(path, SAMPLE_RUN));
    expect(second).toMatchObject({ code: "output-unwritable" });
    writer.close();
    expect([existsSync(path), existsSync(`${path}.partial`)]).toEqual([true, false]);
    const before = readFileSync(path);
    expect(errorOf(() => createDumpWriter(path, SAMPLE_RUN))).toMatchObject({
      code: "output-unwritable",
    });
    expect(readFileSync(path).equals(before)).toBe(true);
    const nowhere = errorOf(() => createDumpWriter(`${folder.path()}/x/y.arrow`, SAMPLE_RUN));
    expect(nowhere).toMatchObject({ code: "output-unwritable" });
  });

  it.each<[string, Partial<TensorInput>]>([
    ["an empty name", { name: "" }],
    ["a name that is no UTF-8", { name: "\ud800" }],
    ["a name of more than 64 KiB", { name: "\u00e9".repeat(32_769) }],
    ["too few bytes", { bytes: new Uint8Array(7) }],
    ["too many bytes", { bytes: new Uint8Array(12) }],
    ["bytes of a tensor without rows", { shape: [0] }],
    ["bytes beside statistics alone", { encoding: "stats" }],
    ["half a row of a sketch", { encoding: "sketch", shape: [3, 9] }],
  ])("refuses %s", (_, wrong) => {
    const path = folder.path();
    const writer = createDumpWriter(path, SAMPLE_RUN);
    expect(() => {
      writer.write({ name: "a", dtype: "F32", shape: [2], bytes: new Uint8Array(8), ...wrong });
    }).toThrow(RangeError);
    writer.discard();
    expect(existsSync(`${path}.partial`)).toBe(false);
  });
});
