/** The floors of a comparison: which can be used, and on what scale. */

import { checkInputs } from "../align/inputs.ts";
import { type RunRelation, refuseUnrelatedFloor } from "../align/runs.ts";
import { checkTokens } from "../align/tokens.ts";
import { counted } from "../core/counted.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { CompareOptions } from "../core/options.ts";
import type { Dump } from "../dump/dump.ts";
import { sameFiles } from "../dump/same-bytes.ts";
import type { FloorSource, TensorMeasurement } from "./measure-tensor.ts";

export interface Floors {
  readonly used: readonly FloorSource[];
  /** Files of floors that are the candidate itself. */
  readonly dropped: readonly string[];
  /** Floors of another precision than the candidate's. */
  readonly scaled: readonly {
    readonly file: string;
    readonly dtype: DType;
    readonly factor: number;
  }[];
}

/** More than this many floors tell nothing more, and each takes memory in every thread. */
const MAX_FLOORS = 14;

/** @throws NpuDiffError `usage` */
export function refuseTooMany({ floors, forced }: CompareOptions): void {
  if (floors.length <= MAX_FLOORS && forced.length <= MAX_FLOORS + 1) return;
  throw new NpuDiffError("usage", {
    what: "too many floors or forced references",
    facts: [
      {
        label: "given",
        text: `${counted(floors.length, "floor")}, ${counted(forced.length, "forced reference")}`,
      },
      { label: "expected", text: `at most ${MAX_FLOORS} and ${MAX_FLOORS + 1}` },
    ],
    help: "give the two or three floors that differ most",
  });
}

/**
 * Opens the dumps at `paths` as floors of `candidate`.
 *
 * One that *is* the candidate, by id or by its bytes, is dropped: a candidate
 * must not be its own floor. One of another precision is scaled by the quotient
 * of the units.
 *
 * @param relation how reference and candidate relate: a floor must be what the candidate is.
 * @throws NpuDiffError where a floor cannot be read, was made from other tokens, or in another way.
 */
export function openFloors(
  paths: readonly string[],
  open: (path: string) => Dump,
  reference: Dump,
  candidate: { readonly dump: Dump; readonly path: string },
  relation: RunRelation,
): Floors {
  const used: FloorSource[] = [];
  const dropped: string[] = [];
  const scaled: Floors["scaled"][number][] = [];
  const u = DTYPES[candidate.dump.run.dtype].u;
  for (const path of paths) {
    const dump = open(path);
    if (dump.run.id === candidate.dump.run.id || sameFiles(path, candidate.path)) {
      dropped.push(dump.file);
      continue;
    }
    refuseUnrelatedFloor(dump, reference, relation);
    checkTokens(reference, dump, "floor");
    checkInputs(reference, dump, "floor");
    const floorU = DTYPES[dump.run.dtype].u;
    const scale = u === null || floorU === null ? 1 : u / floorU;
    if (scale !== 1) scaled.push({ file: dump.file, dtype: dump.run.dtype, factor: scale });
    used.push({ dump, scale });
  }
  return { used, dropped, scaled };
}

/**
 * Refuses a floor whose tensors all equal the reference's: it would make every
 * candidate look infinitely bad, or be the reference given twice by mistake.
 *
 * @throws NpuDiffError `floor-is-reference`.
 */
export function refuseReferenceAsFloor(
  floors: readonly FloorSource[],
  measurements: readonly TensorMeasurement[],
  reference: Dump,
): void {
  for (const [index, { dump }] of floors.entries()) {
    const differs = measurements
      .map((measurement) => measurement.floorsDiffer[index] ?? null)
      .filter((answer) => answer !== null);
    if (differs.length === 0 || differs.some(Boolean)) continue;
    throw new NpuDiffError("floor-is-reference", {
      what: "the floor equals the reference in every tensor",
      facts: [
        { label: "reference", text: `${reference.file}   ${reference.run.dtype}` },
        { label: "floor", text: `${dump.file}   ${dump.run.dtype}` },
      ],
      help: "make the floor with the reference engine in the candidate's precision, or leave --floor away",
    });
  }
}
