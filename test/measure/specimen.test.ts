/** What is read of a tensor for its causes: bounded, whatever its size, and the rows that matter. */

import { expect, test } from "vitest";
import { align } from "../../src/align/align.ts";
import { DTYPES } from "../../src/core/dtype.ts";
import type { Dump, TensorEntry } from "../../src/dump/dump.ts";
import { END_TO_END } from "../../src/dump/join.ts";
import { OwnErrors } from "../../src/measure/own.ts";
import { SegmentReader } from "../../src/measure/segments.ts";
import { readSpecimen, type Specimen } from "../../src/measure/specimen.ts";

const MOST_ELEMENTS = 2 ** 22;

/** A dump of one float32 tensor whose rows are all `value(row)`: nothing of its size is ever held. */
function dumpOf(id: string, shape: readonly number[], value: (row: number) => number): Dump {
  const width = shape.slice(1).reduce((product, axis) => product * axis, 1);
  const elements = width * (shape[0] ?? 1);
  const { bytes } = DTYPES.F32;
  const entry: TensorEntry = {
    name: "logits",
    kind: "logits",
    layer: null,
    module: null,
    sample: 0,
    step: 0,
    repeat: 0,
    rank: 0,
    dtype: "F32",
    encoding: "dense",
    shape,
    elements,
    stats: null,
    chunks: [{ offset: 0, position: 0, bytes: elements * bytes }],
  };
  return {
    file: `${id}.arrow`,
    bytes: 0,
    run: { tool: "test", id, dtype: "F32" },
    end: {},
    repaired: false,
    ranks: 1,
    tensors: [entry],
    read(_entry, offset, target) {
      const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
      for (let at = 0; at < target.byteLength; at += bytes) {
        view.setFloat32(at, value(Math.floor((offset + at) / bytes / width)), true);
      }
    },
    locate: () => ({ join: END_TO_END, strands: [] }),
    close: () => undefined,
  };
}

function specimenOf(shape: readonly number[], error: (row: number) => number): Specimen | null {
  const reference = dumpOf("r", shape, () => 1);
  const candidate = dumpOf("c", shape, (row) => 1 + error(row));
  const sides = { reference, candidate, floors: [] };
  const [unit] = align(reference, candidate, [], { only: [], skip: [] }).units;
  if (unit === undefined) throw new Error("nothing was aligned");
  const forced = { candidate: null, floors: [], absent: [], coarse: [] };
  return readSpecimen(unit, sides, new OwnErrors(forced, sides), new SegmentReader());
}

test("of the logits of a large vocabulary, the wrong row and an even spread", () => {
  const shape = [64, 248_044];
  const specimen = specimenOf(shape, (row) => (row === 41 ? 0.5 : 2 ** -12));
  expect(specimen).toMatchObject({ width: 248_044, forced: false, floor: null });
  expect(specimen?.x.length).toBeLessThanOrEqual(MOST_ELEMENTS);
  expect(specimen?.x.length).toBe(specimen?.r.length);
  expect(specimen?.errors).toHaveLength(64);
  expect(specimen?.errors[41]).toBe(0.5);
  const tokens = specimen?.at.map(({ token }) => token) ?? [];
  expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
  // The hottest row, the one before it, and some of each half.
  expect(tokens).toEqual(expect.arrayContaining([40, 41]));
  expect(Math.max(...tokens)).toBeGreaterThan(31);
  expect(specimen?.x[tokens.indexOf(41) * 248_044]).toBe(1.5);
}, 60_000);

test("a small tensor is read whole, and a row that is too long is cut", () => {
  const small = specimenOf([5, 3], (row) => row / 8);
  expect(small?.at.map(({ token }) => token)).toEqual([0, 1, 2, 3, 4]);
  expect(Array.from(small?.errors ?? [])).toEqual([0, 0.125, 0.25, 0.375, 0.5]);
  const long = specimenOf([2, MOST_ELEMENTS + 5], () => 1);
  expect([long?.width, long?.rows]).toEqual([MOST_ELEMENTS, 1]);
});

test.each([
  ["no rows", [0, 4]],
  ["no columns", [3, 0]],
])("nothing is read of %s", (_name, shape) => {
  expect(specimenOf(shape, () => 1)).toBeNull();
});

test("numbers that the reference does not have tell nothing, those that the candidate lacks do", () => {
  const reference = dumpOf("r", [4, 2], (row) => (row === 1 ? Number.NaN : 1));
  const candidate = dumpOf("c", [4, 2], (row) => (row === 2 ? Number.NaN : 1));
  const sides = { reference, candidate, floors: [] };
  const [unit] = align(reference, candidate, [], { only: [], skip: [] }).units;
  const forced = { candidate: null, floors: [], absent: [], coarse: [] };
  const own = new OwnErrors(forced, sides);
  const specimen = unit && readSpecimen(unit, sides, own, new SegmentReader());
  expect(Array.from(specimen?.errors ?? [])).toEqual([0, 0, Number.POSITIVE_INFINITY, 0]);
  expect(Array.from(specimen?.r ?? [])).toEqual([1, 1, 0, 0, 1, 1, 1, 1]);
  expect(Array.from(specimen?.x ?? [])).toEqual([1, 1, 0, 0, Number.NaN, Number.NaN, 1, 1]);
});
