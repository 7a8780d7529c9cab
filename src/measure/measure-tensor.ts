/**
 * Measures one tensor: every sample of one name in one step group, in one pass
 * over the bytes of all sides. Jobs make the sums of rows; here they become figures.
 */

import type { Unit } from "../align/align.ts";
import { unravel } from "../align/shapes.ts";
import { DTYPES, isFloatDType } from "../core/dtype.ts";
import type { ElementAt, TokenAt } from "../core/places.ts";
import type { FloorFigures, NonFinite, TokenCosine, TokenRelL2 } from "../core/tensor-result.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import type { JobResult } from "./kernel/job-stream.ts";
import { AT, ROW, ROW_NUMBERS, resultLayout, TOTALS } from "./kernel/results.ts";
import { addTotals } from "./kernel/totals.ts";
import { FloorComparison } from "./noise-floor.ts";
import { PairSums } from "./pair-sums.ts";
import { type JobPart, type PlannedJob, planUnit, type UnitSide, type Wanted } from "./plan.ts";
import { relationOf } from "./relation.ts";
import { RowCosines, RowErrors } from "./row-figures.ts";
import type { Source } from "./segments.ts";

/** A floor as the measurement uses it. */
export interface FloorSource {
  readonly dump: Dump;
  /** Factor that brings its errors to the candidate's precision. */
  readonly scale: number;
}

/** All sides of a comparison. */
export interface Sides {
  readonly reference: Dump;
  readonly candidate: Dump;
  readonly floors: readonly FloorSource[];
}

export interface MeasureOptions {
  /** Unit of the run's number format; a tensor's own counts where it is coarser. */
  readonly u: number;
  /** Factor that a sample of so many rows may lie above the limit of the whole tensor. */
  readonly sampleAllowance: (rows: number) => number;
}

/** Whoever wants to see the rows of a tensor as they come. */
export interface RowObserver {
  /**
   * A row.
   *
   * @param numbers of its job; those of the row begin at `at` (kernel/results.ts).
   * @param token where it lies; may change afterwards.
   * @param index of the row in the job.
   */
  row(
    numbers: Float64Array,
    at: number,
    token: TokenAt,
    planned: PlannedJob,
    part: JobPart,
    index: number,
  ): void;
  /** All rows of a job have been seen. */
  endJob?(planned: PlannedJob, numbers: Float64Array): void;
  endSample(sample: number): void;
}

/** Gives the jobs of all plans in their order. */
export interface Jobs {
  next(): Promise<JobResult>;
}

/** The figures of one tensor. */
export interface TensorFigures {
  /** Unit of the tensor's number format that limits are scaled by. */
  readonly u: number;
  readonly rows: number;
  /** Rows that hold a pair of finite values. */
  readonly measuredRows: number;
  readonly elements: number;
  readonly relL2: number;
  readonly snrDb: number;
  readonly tokenRelL2: TokenRelL2;
  /** The largest geometric mean of a sample over its allowance, and that sample; null where no row has an error. */
  readonly worstSample: { readonly excess: number; readonly sample: number | null };
  /** Rows with ‖x_t‖ = 0 and ‖d_t‖ > 0. */
  readonly infiniteRows: number;
  readonly cosine: number;
  readonly cosineDistance: number;
  readonly tokenCosine: TokenCosine | null;
  readonly mse: number;
  readonly rmse: number;
  readonly meanAbs: number;
  readonly bias: number;
  readonly maxAbs: number;
  readonly maxAbsAt: ElementAt;
  readonly normRatio: number;
  readonly slope: number;
  /** Whether either side is zero throughout. */
  readonly zero: { readonly reference: boolean; readonly candidate: boolean };
}

/** What came of measuring one tensor. */
export interface TensorMeasurement {
  /** Null where no pair of finite values was found. */
  readonly figures: TensorFigures | null;
  /** For each floor: its figures; null where it does not hold every row of this tensor. */
  readonly floors: readonly (FloorFigures | null)[];
  /** For each floor: whether it differs from the reference here; null where it lacks the tensor. */
  readonly floorsDiffer: readonly (boolean | null)[];
  readonly nonFinite: NonFinite;
  /** Elements whose bytes differ; null unless asked for and of one dtype. */
  readonly bitsDiffering: number | null;
}

/** Why a tensor cannot be measured, null where it can. */
export function unmeasurable(unit: Unit): "reduced" | "integer" | null {
  const entries = unit.pairs.flatMap(({ reference, candidate }) => [reference, candidate]);
  if (entries.some(({ dtype }) => !isFloatDType(dtype))) return "integer";
  return entries.some(({ encoding }) => encoding !== "dense") ? "reduced" : null;
}

/** Whether the figures of `unit` can be made: its shapes agree, its data is dense and float. */
export function isMeasurable(unit: Unit): boolean {
  return unit.shapeConflict === null && unmeasurable(unit) === null;
}

/**
 * The jobs that {@link measureTensor} takes for `unit`, whose shapes agree and
 * whose data is dense and float.
 */
export function planTensor(
  unit: Unit,
  sides: Sides,
  wanted: Partial<Wanted>,
): Generator<PlannedJob, void, undefined> {
  const all: [UnitSide, UnitSide, ...UnitSide[]] = [
    { dump: sides.reference, entry: (pair) => pair.reference },
    { dump: sides.candidate, entry: (pair) => pair.candidate },
    ...sides.floors.map(
      ({ dump }, floor): UnitSide => ({ dump, entry: (pair) => pair.floors[floor] ?? null }),
    ),
  ];
  const bits = wanted.bits === true && hasOneDtype(unit);
  return planUnit(unit, all, { truth: null, leastRowError: null, ...wanted, bits });
}

function hasOneDtype({ pairs }: Unit): boolean {
  return pairs.every(({ reference, candidate }) => reference.dtype === candidate.dtype);
}

/**
 * Makes the figures of `unit` from the next jobs, which must be those of
 * {@link planTensor}.
 *
 * Memory is bounded by a few times 8 bytes a row up to a million rows, whatever
 * the size of the tensor.
 *
 * @param progress called with the number of bytes read since the last call.
 * @throws FailedJob where a file cannot be read.
 */
export async function measureTensor(
  unit: Unit,
  sides: Sides,
  options: MeasureOptions,
  jobs: Jobs,
  observer: RowObserver | null,
  progress: (bytes: number) => void,
): Promise<TensorMeasurement> {
  const meter = new TensorMeter(unit, sides, options, observer);
  for (let pairs = 0; pairs < unit.pairs.length; ) {
    const result = await jobs.next();
    meter.add(result);
    pairs += result.parts.filter(({ last }) => last).length;
    progress(bytesOf(result));
  }
  return meter.measurement();
}

function bytesOf({ job: { sides, rows, width } }: PlannedJob): number {
  return sides.reduce((sum, { dtype }) => sum + rows * width * DTYPES[dtype].bytes, 0);
}

/** The running sums of {@link measureTensor}. */
class TensorMeter {
  private readonly u: number;
  private readonly total = new PairSums();
  private readonly errors: RowErrors;
  private readonly cosines = new RowCosines();
  private readonly comparisons: readonly FloorComparison[];
  private readonly observer: RowObserver | null;
  private readonly unit: Unit;
  private maxAt: ElementAt | null = null;
  private mismatchAt: ElementAt | null = null;
  private rows = 0;
  private elements = 0;
  private bitsDiffering: number | null = null;
  private pairsDone = 0;

  constructor(unit: Unit, sides: Sides, options: MeasureOptions, observer: RowObserver | null) {
    this.unit = unit;
    this.observer = observer;
    this.u = unit.pairs.reduce(
      (coarsest, { candidate }) => Math.max(coarsest, DTYPES[candidate.dtype].u ?? 0),
      options.u,
    );
    this.errors = new RowErrors(this.u, options.sampleAllowance);
    this.comparisons = sides.floors.map(
      ({ scale }) => new FloorComparison(this.u, scale, options.sampleAllowance),
    );
  }

  add(result: JobResult): void {
    const { job, parts, numbers } = result;
    const { stride } = resultLayout(job);
    this.addTotals(result);
    let index = 0;
    for (const part of parts) {
      const { sample, step } = part.pair;
      const token = { sample, step, token: part.row };
      for (let row = 0; row < part.rows; row += 1) {
        token.token = part.row + row;
        const at = TOTALS + index * stride;
        this.addRow(result, at, token);
        this.observer?.row(numbers, at, token, result, part, index);
        index += 1;
      }
      if (part.last) this.endPair(sample);
    }
    this.observer?.endJob?.(result, numbers);
  }

  private addRow({ job, numbers, present }: JobResult, at: number, token: TokenAt): void {
    const rho = numbers[at + ROW.rho] as number;
    // Of no pair of this row both are finite.
    if (Number.isNaN(rho)) return;
    this.errors.add(rho, token);
    if (job.width > 1) this.cosines.add(numbers[at + ROW.cosineDistance] as number, token);
    for (const [i, floor] of present.entries()) {
      const ofFloor = numbers[at + (i + 1) * ROW_NUMBERS + ROW.rho] as number;
      if (!Number.isNaN(ofFloor)) this.comparisons[floor]?.add(rho, ofFloor, token);
    }
  }

  private addTotals(result: JobResult): void {
    const { job, numbers } = result;
    const { total } = this;
    this.rows += job.rows;
    this.elements += job.rows * job.width;
    const maxBefore = total.maxAbs;
    const mismatchedBefore = total.mismatched;
    addTotals(total, numbers);
    if (total.maxAbs > maxBefore) {
      const [row, column] = [numbers[AT.maxRow] as number, numbers[AT.maxColumn] as number];
      const [x, y] = [numbers[AT.maxX] as number, numbers[AT.maxY] as number];
      this.maxAt = elementAt(result, row, column, x, y);
    }
    if (mismatchedBefore === 0 && total.mismatched > 0) {
      const row = numbers[AT.mismatchRow] as number;
      const column = numbers[AT.mismatchColumn] as number;
      const [x, y] = [numbers[AT.mismatchX] as number, numbers[AT.mismatchY] as number];
      this.mismatchAt = elementAt(result, row, column, x, y);
    }
    if (job.bits)
      this.bitsDiffering = (this.bitsDiffering ?? 0) + (numbers[AT.differing] as number);
  }

  /** Samples come one after the other, each with all its pairs. */
  private endPair(sample: number): void {
    this.pairsDone += 1;
    if (this.unit.pairs[this.pairsDone]?.sample === sample) return;
    this.errors.endSample(sample);
    for (const comparison of this.comparisons) comparison.endSample(sample);
    this.observer?.endSample(sample);
  }

  measurement(): TensorMeasurement {
    const { total, errors } = this;
    return {
      figures: this.figures(),
      floors: this.comparisons.map((comparison) => comparison.figures(errors)),
      floorsDiffer: this.comparisons.map((comparison, floor) =>
        this.unit.pairs.some((pair) => (pair.floors[floor] ?? null) !== null)
          ? comparison.differsFromReference
          : null,
      ),
      nonFinite: {
        reference: { ...total.reference },
        candidate: { ...total.candidate },
        mismatched: total.mismatched,
        firstAt: this.mismatchAt,
        saturated: total.saturated,
      },
      bitsDiffering: this.bitsDiffering,
    };
  }

  private figures(): TensorFigures | null {
    const { total, errors, maxAt } = this;
    const tokenRelL2 = errors.figures();
    if (tokenRelL2 === null || maxAt === null) return null;
    const relation = relationOf(total);
    return {
      u: this.u,
      rows: this.rows,
      measuredRows: errors.rows,
      elements: this.elements,
      relL2: relation.relL2,
      // From 0: JSON has no -0, and a stored result is to be the same.
      snrDb: 0 - 20 * Math.log10(relation.relL2),
      tokenRelL2,
      worstSample: errors.worstSample,
      infiniteRows: errors.infinite,
      cosine: 1 - relation.cosineDistance,
      cosineDistance: relation.cosineDistance,
      tokenCosine: this.cosines.figures(),
      mse: total.dd.mean(total.count),
      rmse: total.dd.rootMean(total.count),
      meanAbs: total.absD.mean(total.count),
      bias: total.d.mean(total.count),
      maxAbs: total.maxAbs,
      maxAbsAt: maxAt,
      normRatio: relation.normRatio,
      slope: relation.slope,
      zero: { reference: total.xx.isZero, candidate: total.yy.isZero },
    };
  }
}

/** The values of a float tensor, times `factor`.
 *
 * @throws RangeError where the tensor holds no floats.
 */
export function floatSource(dump: Dump, entry: TensorEntry, factor: number): Source {
  const { dtype } = entry;
  if (!isFloatDType(dtype)) throw new RangeError(`${dtype} is no float dtype`);
  return { dump, entry: { ...entry, dtype }, factor };
}

/** Element `column` of row `row` of a job. */
function elementAt(
  { job, parts }: PlannedJob,
  row: number,
  column: number,
  reference: number,
  candidate: number,
): ElementAt {
  let rest = row;
  for (const part of parts) {
    if (rest < part.rows) {
      const { sample, step, reference: entry } = part.pair;
      const flat = (part.row + rest) * job.width + column;
      return { sample, step, index: unravel(flat, entry.shape), reference, candidate };
    }
    rest -= part.rows;
  }
  throw new RangeError(`row ${row} of a job of ${job.rows} rows`);
}
