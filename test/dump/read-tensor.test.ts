/** The values of one tensor: every dtype, across blocks and chunks, and what has no values. */

import { describe, expect, test } from "vitest";
import type { DType } from "../../src/core/dtype.ts";
import type { Dump } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { readTensor } from "../../src/dump/read-tensor.ts";
import { createDumpWriter, type TensorInput } from "../../src/dump/write-dump.ts";
import { SAMPLE_RUN, sampleTensors, writeSample } from "../support/sample-dump.ts";
import { errorOf, scratch } from "../support/scratch.ts";

const folder = scratch();

function dumpOf(...tensors: readonly TensorInput[]): Dump {
  const file = folder.path();
  const writer = createDumpWriter(file, SAMPLE_RUN);
  for (const tensor of tensors) writer.write(tensor);
  writer.close();
  return openDump(file);
}

function read(dump: Dump, index = 0): Float64Array {
  const entry = dump.tensors[index];
  if (entry === undefined) throw new Error("no such tensor");
  try {
    return readTensor(dump, entry);
  } finally {
    dump.close();
  }
}

describe("each dtype, by its bit patterns", () => {
  const bytes = (array: ArrayBufferView): Uint8Array =>
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const cases: readonly (readonly [DType, ArrayBufferView, readonly number[]])[] = [
    ["F64", Float64Array.of(0.1, -Infinity), [0.1, -Infinity]],
    ["F32", Float32Array.of(0.5, NaN), [0.5, NaN]],
    // Half, the largest half, minus zero.
    ["F16", Uint16Array.of(0x3800, 0x7bff, 0x8000), [0.5, 65504, -0]],
    ["BF16", Uint16Array.of(0x3f80, 0xc000), [1, -2]],
    ["F8_E4M3", Uint8Array.of(0x38, 0x7e), [1, 448]],
    ["F8_E5M2", Uint8Array.of(0x3c, 0x7b), [1, 57344]],
    ["I64", BigInt64Array.of(2n ** 53n - 1n, -7n), [2 ** 53 - 1, -7]],
    ["I32", Int32Array.of(-5, 6), [-5, 6]],
    ["I16", Int16Array.of(-300, 300), [-300, 300]],
    ["I8", Int8Array.of(-128, 127), [-128, 127]],
    ["U8", Uint8Array.of(255, 1), [255, 1]],
    ["BOOL", Uint8Array.of(0, 1), [0, 1]],
  ];
  test.each(cases)("%s", (dtype, array, expected) => {
    const tensor = { name: "a", dtype, shape: [expected.length], bytes: bytes(array) };
    expect([...read(dumpOf(tensor))]).toEqual(expected);
  });
});

test.each(["F32", "I32"] as const)("a tensor longer than a block keeps its order: %s", (dtype) => {
  const shape = [300, 1777];
  const values = Int32Array.from({ length: 300 * 1777 }, (_, i) => i);
  const stored = dtype === "F32" ? Float32Array.from(values) : values;
  const found = read(dumpOf({ name: "a", dtype, shape, bytes: new Uint8Array(stored.buffer) }));
  expect(found.length).toBe(values.length);
  // Compared here: a matcher takes seconds for half a million elements.
  expect(found.findIndex((value, i) => value !== i)).toBe(-1);
});

test("a scalar has one value, a tensor without rows none", () => {
  const file = folder.path();
  writeSample(file);
  const dump = openDump(file);
  const valuesOf = (wanted: string): Float64Array => {
    const entry = dump.tensors.find(({ name }) => name === wanted);
    if (entry === undefined) throw new Error("no such tensor");
    return readTensor(dump, entry);
  };
  const [, , , bytes] = sampleTensors().find(([name]) => name === "a scalar") ?? [];
  expect(valuesOf("a scalar")).toEqual(new Float64Array(bytes?.buffer ?? new ArrayBuffer(0)));
  expect(valuesOf("no rows")).toEqual(new Float64Array(0));
  dump.close();
});

describe("what has no values is an error of the call", () => {
  const stats = { min: -1, max: 1, mean: 0, rms: 0.5, nan: 0, posInf: 0, negInf: 0 };
  const reduced: TensorInput = {
    name: "layers.0",
    dtype: "F32",
    shape: [2, 2],
    encoding: "stats",
    stats,
    bytes: new Uint8Array(0),
  };
  const dense: TensorInput = {
    name: "a",
    dtype: "I64",
    shape: [1],
    bytes: new Uint8Array(8).fill(127),
  };

  test("a reduced tensor", () => {
    expect(errorOf(() => read(dumpOf(reduced)))).toMatchObject({
      code: "usage",
      message: "layers.0 has no values to read",
    });
  });

  test("an entry of another dump", () => {
    const [mine, theirs] = [dumpOf(dense), dumpOf(dense)];
    const entry = theirs.tensors[0];
    if (entry === undefined) throw new Error("no such tensor");
    expect(errorOf(() => readTensor(mine, entry))).toMatchObject({ code: "usage" });
    mine.close();
    theirs.close();
  });

  test("an integer that no float64 holds", () => {
    expect(errorOf(() => read(dumpOf(dense)))).toMatchObject({ code: "dump-corrupt" });
  });

  test("a dump that was closed", () => {
    const dump = dumpOf(dense);
    dump.close();
    const entry = dump.tensors[0];
    if (entry === undefined) throw new Error("no such tensor");
    expect(errorOf(() => readTensor(dump, entry))).toBeInstanceOf(RangeError);
  });
});
