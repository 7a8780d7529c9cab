/**
 * Measures one tensor: every sample of one name in one step group, in one pass
 * over the bytes of all sides.
 */

import type { Pair, Unit } from "../align/align.ts";
import { residualFactors } from "../align/residual.ts";
import { extentOf, unravel } from "../align/shapes.ts";
import { DTYPES, isFloatDType } from "../core/dtype.ts";
import type {
  ElementAt,
  FloorFigures,
  NonFinite,
  TokenAt,
  TokenCosine,
  TokenRelL2,
} from "../core/result.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import { FloorComparison } from "./noise-floor.ts";
import { addPairs, PairSums, type PairTraits } from "./pair-sums.ts";
import { relationOf } from "./relation.ts";
import { RowCosines, RowErrors } from "./row-figures.ts";
import type { Segment, SegmentReader, Source } from "./segments.ts";

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
  /** Whether to count elements whose bytes differ. */
  readonly bits: boolean;
}

/** Whoever wants to see the rows of a tensor as they stream by. */
export interface RowObserver {
  /** @param floors which floor each further array of values belongs to. */
  startPair(pair: Pair, floors: readonly number[]): void;
  /** A piece of a row: all sides' values from `start` on, `length` of them, the first being column `column` of row `row`. */
  columns(
    values: readonly Float64Array[],
    start: number,
    length: number,
    row: number,
    column: number,
  ): void;
  endRow(row: number): void;
  endSample(sample: number): void;
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
  /** The largest geometric mean of a sample over its allowance. */
  readonly worstSampleExcess: number;
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

/** Four units in the last place: a candidate at its largest value is saturated where the reference is farther from it. */
const SATURATION_ULPS = 4;

/** Why a tensor cannot be measured, null where it can. */
export function unmeasurable(unit: Unit): "reduced" | "integer" | null {
  const entries = unit.pairs.flatMap(({ reference, candidate }) => [reference, candidate]);
  if (entries.some(({ dtype }) => !isFloatDType(dtype))) return "integer";
  return entries.some(({ encoding }) => encoding !== "dense") ? "reduced" : null;
}

/**
 * Measures `unit`, whose shapes agree and whose data is dense and float.
 *
 * Memory is bounded by {@link SegmentReader} and by a few times 8 bytes a row
 * up to a million rows, whatever the size of the tensor.
 *
 * @param progress called with the number of bytes read since the last call.
 * @throws NpuDiffError where a file cannot be read.
 */
export function measureTensor(
  unit: Unit,
  sides: Sides,
  options: MeasureOptions,
  reader: SegmentReader,
  observer: RowObserver | null,
  progress: (bytes: number) => void,
): TensorMeasurement {
  const meter = new TensorMeter(unit, sides, options, observer);
  for (const [index, pair] of unit.pairs.entries()) {
    const { rows, width } = extentOf(pair.reference.shape);
    const sources = meter.startPair(pair);
    reader.walk(sources, rows, width, (segment) => {
      meter.addSegment(segment);
      progress(segment.bytes.reduce((sum, bytes) => sum + bytes.byteLength, 0));
    });
    if (unit.pairs[index + 1]?.sample !== pair.sample) meter.endSample(pair.sample);
  }
  return meter.measurement();
}

/** The running sums of {@link measureTensor}. */
class TensorMeter {
  private readonly u: number;
  private readonly total = new PairSums();
  private readonly row = new PairSums();
  private readonly floorRows: readonly PairSums[];
  private readonly errors: RowErrors;
  private readonly cosines = new RowCosines();
  private readonly comparisons: readonly FloorComparison[];
  private readonly sides: Sides;
  private readonly observer: RowObserver | null;
  private readonly unit: Unit;
  /** Factors of the reference, the candidate and each floor. */
  private readonly factors: readonly number[];
  private maxAt: ElementAt | null = null;
  private mismatchAt: ElementAt | null = null;
  private rows = 0;
  private elements = 0;
  private bitsDiffering: number | null;
  private pair: Pair;
  private width = 1;
  private traits: PairTraits;
  /** Which floor each source beyond the first two belongs to. */
  private floorAt: readonly number[] = [];

  constructor(unit: Unit, sides: Sides, options: MeasureOptions, observer: RowObserver | null) {
    const [first] = unit.pairs;
    if (first === undefined) throw new RangeError("a unit without pairs has nothing to measure");
    this.unit = unit;
    this.sides = sides;
    this.observer = observer;
    this.pair = first;
    this.traits = traitsOf(first);
    const dumps = [sides.reference, sides.candidate, ...sides.floors.map(({ dump }) => dump)];
    this.factors = residualFactors(
      dumps.map(({ run }) => run),
      unit.role,
      unit.layer,
    );
    this.u = unit.pairs.reduce(
      (coarsest, { candidate }) => Math.max(coarsest, DTYPES[candidate.dtype].u ?? 0),
      options.u,
    );
    this.errors = new RowErrors(this.u, options.sampleAllowance);
    this.comparisons = sides.floors.map(
      ({ scale }) => new FloorComparison(this.u, scale, options.sampleAllowance),
    );
    this.floorRows = sides.floors.map(() => new PairSums());
    this.bitsDiffering =
      options.bits &&
      unit.pairs.every(({ reference, candidate }) => reference.dtype === candidate.dtype)
        ? 0
        : null;
  }

  startPair(pair: Pair): readonly Source[] {
    const { rows, width } = extentOf(pair.reference.shape);
    this.pair = pair;
    this.width = width;
    this.traits = traitsOf(pair);
    this.rows += rows;
    this.elements += rows * width;
    const [ofReference = 1, ofCandidate = 1, ...ofFloors] = this.factors;
    const sources = [
      floatSource(this.sides.reference, pair.reference, ofReference),
      floatSource(this.sides.candidate, pair.candidate, ofCandidate),
    ];
    const floorAt: number[] = [];
    for (const [index, { dump }] of this.sides.floors.entries()) {
      const entry = pair.floors[index] ?? null;
      if (entry?.encoding !== "dense" || !isFloatDType(entry.dtype)) continue;
      floorAt.push(index);
      sources.push(floatSource(dump, entry, ofFloors[index] ?? 1));
    }
    this.floorAt = floorAt;
    this.observer?.startPair(pair, floorAt);
    return sources;
  }

  addSegment(segment: Segment): void {
    const [x, y, ...floors] = segment.values as readonly [Float64Array, Float64Array];
    const { column, columns } = segment;
    const rowsEnd = column + columns === this.width;
    for (let r = 0; r < segment.rows; r += 1) {
      const start = r * columns;
      addPairs(this.row, x, y, start, columns, column, this.traits);
      for (const [position, values] of (floors as readonly Float64Array[]).entries()) {
        const sums = this.floorRows[this.floorAt[position] ?? -1];
        if (sums !== undefined) addPairs(sums, x, values, start, columns, column, this.traits);
      }
      this.observer?.columns(segment.values, start, columns, segment.row + r, column);
      if (rowsEnd) this.endRow(segment.row + r);
    }
    if (this.bitsDiffering !== null) {
      this.bitsDiffering += countDifferingElements(
        segment.bytes,
        DTYPES[this.pair.reference.dtype].bytes,
      );
    }
  }

  private endRow(index: number): void {
    const { row, total, pair } = this;
    const offset = index * this.width;
    if (row.count > 0) {
      const at: TokenAt = { sample: pair.sample, step: pair.step, token: index };
      const relation = relationOf(row);
      this.errors.add(relation.relL2, at);
      if (this.width > 1) this.cosines.add(relation.cosineDistance, at);
      for (const floor of this.floorAt) {
        const sums = this.floorRows[floor];
        if (sums !== undefined && sums.count > 0) {
          this.comparisons[floor]?.add(relation.relL2, relationOf(sums).relL2, at);
        }
      }
    }
    for (const floor of this.floorAt) this.floorRows[floor]?.reset();
    if (row.maxAbs > total.maxAbs) {
      this.maxAt = elementAt(pair, offset + row.maxIndex, row.maxReference, row.maxCandidate);
    }
    if (row.mismatched > 0) {
      this.mismatchAt ??= elementAt(
        pair,
        offset + row.mismatchIndex,
        row.mismatchReference,
        row.mismatchCandidate,
      );
    }
    total.merge(row, 0);
    row.reset();
    this.observer?.endRow(index);
  }

  endSample(sample: number): void {
    this.errors.endSample();
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
      snrDb: -20 * Math.log10(relation.relL2),
      tokenRelL2,
      worstSampleExcess: errors.worstSample,
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

/** What the inner loop has to watch for in a pair. */
export function traitsOf({ reference, candidate }: Pair): PairTraits {
  const { maxFinite, u } = DTYPES[candidate.dtype];
  const largest = maxFinite ?? Number.POSITIVE_INFINITY;
  return {
    wide: reference.dtype === "F64" || candidate.dtype === "F64",
    maxFinite: largest,
    // The largest value is just below a power of two, so one unit in its last
    // place is 2 u of it.
    saturationDistance: SATURATION_ULPS * 2 * (u ?? 0) * largest,
  };
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

function elementAt(pair: Pair, flat: number, reference: number, candidate: number): ElementAt {
  return {
    sample: pair.sample,
    step: pair.step,
    index: unravel(flat, pair.reference.shape),
    reference,
    candidate,
  };
}

/** Elements of `size` bytes in which the first two of `sides` differ by a bit. */
function countDifferingElements(sides: readonly Uint8Array[], size: number): number {
  const [a, b] = sides;
  if (a === undefined || b === undefined || Buffer.compare(a, b) === 0) return 0;
  let count = 0;
  for (let at = 0; at < a.length; at += size) {
    for (let byte = at; byte < at + size; byte += 1) {
      if (a[byte] !== b[byte]) {
        count += 1;
        break;
      }
    }
  }
  return count;
}
