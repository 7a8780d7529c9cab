/**
 * A bounded piece of one tensor, a candidate's rows beside those of its
 * reference, for whoever asks what kind of error it holds.
 */

import type { Unit } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import { quantileOf } from "../core/distribution.ts";
import { DTYPES, type DType, type FloatDType, isFloatDType } from "../core/dtype.ts";
import type { TensorRole } from "../dump/contract.ts";
import { decodeInto } from "../dump/decode.ts";
import type { TensorEntry } from "../dump/dump.ts";
import { type Sides, unmeasurable } from "./measure-tensor.ts";
import type { OwnErrors } from "./own.ts";
import { type Compared, rowErrors, sourcesOf } from "./reread-rows.ts";
import type { SegmentReader, Source } from "./segments.ts";

/** Elements of each side that a specimen holds: 32 MiB as float64. */
const MAX_ELEMENTS = 2 ** 22;

/** Shares of the rows held that go to the rows of the largest errors; as many may go to the rows before those. */
const HOTTEST = 1 / 4;

/** The other rows come in runs of so many, because some errors show only beside the row before. */
const RUN = 4;

/** Where a row comes from. */
export interface SpecimenRow {
  readonly sample: number;
  readonly step: number;
  /** Row inside the tensor of that sample and step. */
  readonly token: number;
}

/** Errors ρ_t of a floor in the candidate's precision, the largest floor counting. */
export interface FloorErrors {
  readonly median: number;
  readonly q99: number;
}

/**
 * Rows of a candidate's tensor x beside r, what it is compared with: its forced
 * reference where there is one, else the reference dump. Elements whose r is no
 * finite number tell nothing and are 0 on both sides.
 */
export interface Specimen {
  readonly role: TensorRole;
  /** Format of x: its own, or the run's where that is coarser, as of values that were widened to be stored. */
  readonly dtype: FloatDType;
  /** Whether r is a forced reference, so that x − r holds nothing inherited. */
  readonly forced: boolean;
  /** Rows and columns held; `x` and `r` are rows × width, row after row. */
  readonly rows: number;
  readonly width: number;
  readonly x: Float64Array;
  readonly r: Float64Array;
  /** Where each row held comes from, in the order of the tensor. */
  readonly at: readonly SpecimenRow[];
  /**
   * ρ_t = ‖x_t − r_t‖ / ‖r_t‖ of every row of the tensor, held or not (the first
   * 2²⁰ of them); infinite where x is no finite number or r is zero and x is not.
   */
  readonly errors: Float64Array;
  /** Null without a floor that covers the tensor. */
  readonly floor: FloorErrors | null;
}

/**
 * Reads a specimen of `unit`: all of it up to 2²² elements a side, else the rows
 * of the largest errors, those before them, and an even spread of others. Rows
 * longer than that are cut.
 *
 * @returns null where the unit cannot be measured.
 * @throws NpuDiffError where a file cannot be read.
 */
export function readSpecimen(
  unit: Unit,
  sides: Sides,
  own: OwnErrors,
  reader: SegmentReader,
): Specimen | null {
  const forced = own.pairs(unit);
  const compared: Compared = forced.candidate ?? {
    unit,
    dump: sides.candidate,
    reference: sides.reference,
  };
  const [first] = compared.unit.pairs;
  const dtype = first?.candidate.dtype;
  if (unmeasurable(compared.unit) !== null || compared.unit.shapeConflict !== null) return null;
  if (first === undefined || dtype === undefined || !isFloatDType(dtype)) return null;

  const errors = rowErrors(compared, reader);
  const width = Math.min(extentOf(first.candidate.shape).width, MAX_ELEMENTS);
  if (errors.length === 0 || width === 0) return null;
  const chosen = chooseRows(errors, Math.max(1, Math.floor(MAX_ELEMENTS / width)));
  const floors =
    forced.candidate === null
      ? plainFloors(unit, sides)
      : forced.floors.map((floor) => ({ ...floor, factor: floor.scale }));
  return {
    role: unit.role,
    dtype: coarser(dtype, compared.dump.run.dtype),
    forced: forced.candidate !== null,
    rows: chosen.length,
    width,
    ...readRows(compared, chosen, width),
    errors,
    floor: floorErrors(
      floors.map((floor) => ({ errors: rowErrors(floor, reader), factor: floor.factor })),
    ),
  };
}

function coarser(own: FloatDType, ofRun: DType): FloatDType {
  return isFloatDType(ofRun) && DTYPES[ofRun].u > DTYPES[own].u ? ofRun : own;
}

/** The floors of a plain pair that hold all of `unit`, each beside the reference. */
function plainFloors(
  unit: Unit,
  { reference, floors }: Sides,
): readonly (Compared & { readonly factor: number })[] {
  return floors.flatMap(({ dump, scale }, index) => {
    const pairs = unit.pairs.flatMap((pair) => {
      const floor = pair.floors[index] ?? null;
      return floor === null ? [] : [{ ...pair, candidate: floor }];
    });
    const beside = { ...unit, pairs };
    const whole = pairs.length === unit.pairs.length && unmeasurable(beside) === null;
    return whole ? [{ unit: beside, dump, reference, factor: scale }] : [];
  });
}

function floorErrors(
  floors: readonly { readonly errors: Float64Array; readonly factor: number }[],
): FloorErrors | null {
  const known = floors.filter(({ errors }) => errors.every(Number.isFinite));
  if (known.length === 0) return null;
  const largest = (q: number): number =>
    Math.max(...known.map(({ errors, factor }) => factor * quantileOf(errors, q)));
  return { median: largest(0.5), q99: largest(0.99) };
}

/** Indexes of at most `budget` rows, ascending. */
function chooseRows(errors: Float64Array, budget: number): readonly number[] {
  const rows = errors.length;
  if (rows <= budget) return Array.from({ length: rows }, (_, row) => row);
  const chosen = new Set<number>();
  const hottest = Array.from({ length: rows }, (_, row) => row)
    // Infinite errors have no difference.
    .sort(
      (a, b) =>
        Number((errors[a] as number) < (errors[b] as number)) -
        Number((errors[a] as number) > (errors[b] as number)),
    )
    .slice(0, Math.max(1, Math.floor(budget * HOTTEST)));
  for (const row of hottest) chosen.add(row);
  for (const row of hottest) if (row > 0 && chosen.size < budget) chosen.add(row - 1);
  const runs = Math.floor((budget - chosen.size) / RUN);
  for (let run = 0; run < runs; run += 1) {
    const start = Math.floor((run * rows) / runs);
    for (let row = start; row < Math.min(start + RUN, rows); row += 1) chosen.add(row);
  }
  return [...chosen].sort((a, b) => a - b);
}

function readRows(
  compared: Compared,
  chosen: readonly number[],
  width: number,
): Pick<Specimen, "x" | "r" | "at"> {
  const x = new Float64Array(chosen.length * width);
  const r = new Float64Array(chosen.length * width);
  const at: SpecimenRow[] = [];
  let start = 0;
  for (const pair of compared.unit.pairs) {
    const { rows } = extentOf(pair.candidate.shape);
    const sources = sourcesOf(compared, pair);
    for (let row = chosen[at.length]; row !== undefined; row = chosen[at.length]) {
      const token = row - start;
      if (token >= rows) break;
      const piece = at.length * width;
      readRow(sources[0], token, r.subarray(piece, piece + width));
      readRow(sources[1], token, x.subarray(piece, piece + width));
      at.push({ sample: pair.sample, step: pair.step, token });
    }
    start += rows;
  }
  for (let i = 0; i < r.length; i += 1) {
    if (Number.isFinite(r[i])) continue;
    r[i] = 0;
    x[i] = 0;
  }
  return { x, r, at };
}

function readRow({ dump, entry, factor }: Source, row: number, out: Float64Array): void {
  const size = DTYPES[entry.dtype].bytes;
  const bytes = new Uint8Array(out.length * size);
  dump.read(entry, row * rowBytes(entry, size), bytes);
  decodeInto(entry.dtype, bytes, out);
  if (factor !== 1) for (let i = 0; i < out.length; i += 1) out[i] = (out[i] as number) * factor;
}

function rowBytes(entry: TensorEntry, size: number): number {
  return extentOf(entry.shape).width * size;
}
