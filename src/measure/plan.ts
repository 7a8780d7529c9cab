/** Cuts a unit into jobs. The cut depends on the unit alone, so that sums do not depend on who adds them up. */

import type { Pair, Unit } from "../align/align.ts";
import { residualFactors } from "../align/residual.ts";
import { extentOf } from "../align/shapes.ts";
import { DTYPES, type DType, type FloatDType, isFloatDType } from "../core/dtype.ts";
import type { Dump, FileRange, TensorEntry } from "../dump/dump.ts";
import { END_TO_END, type Join, sameJoin } from "../dump/join.ts";
import { type Job, type JobSide, MAX_PIECE_ELEMENTS, numbersOf } from "./kernel/job.ts";
import { resultLayout } from "./kernel/results.ts";

/**
 * Bytes of the widest side in a job: enough that a job takes much longer than
 * handing it over, and little enough that several threads end together.
 */
const JOB_BYTES = 2 ** 20;

/** Rows of a job, whose results are kept until they are taken in order. */
const JOB_ROWS = 2048;

/** Rows of a job whose channels are summed: fewer would leave more sums to be put together than it takes to make them. */
const CHANNEL_ROWS = 64;

/** A dump as one side of a unit, and the entry of a pair that is its. */
export interface UnitSide {
  readonly dump: Dump;
  readonly entry: (pair: Pair) => TensorEntry | null;
}

/** What is to be measured of a unit besides the sums of its rows. */
export interface Wanted {
  readonly bits: boolean;
  /** The column of the token after each row, see {@link Job.truth}; null where the unit holds no logits. */
  readonly truth: ((pair: Pair, row: number) => number) | null;
  /** See {@link Job.leastRowError}. */
  readonly leastRowError: number | null;
}

/** Rows `row … row+rows` of one pair. */
export interface JobPart {
  readonly pair: Pair;
  readonly row: number;
  readonly rows: number;
  /** Whether the pair ends with it. */
  readonly last: boolean;
}

/** A job, and which rows of which pairs it holds. */
export interface PlannedJob {
  readonly job: Job;
  readonly sides: readonly UnitSide[];
  readonly parts: readonly JobPart[];
  /** Which of the further sides are in it: a floor may lack some samples. */
  readonly present: readonly number[];
}

/**
 * The jobs of `unit`, in order of its rows: `sides` are the reference, the other
 * side, and further ones of which some pairs may lack some.
 */
export function* planUnit(
  unit: Unit,
  sides: readonly [UnitSide, UnitSide, ...UnitSide[]],
  wanted: Wanted,
): Generator<PlannedJob, void, undefined> {
  const factors = residualFactors(
    sides.map(({ dump }) => dump.run),
    unit.role,
    unit.layer,
  );
  let open: OpenJob | null = null;
  for (const pair of unit.pairs) {
    const { width, ...extent } = extentOf(pair.reference.shape);
    // Rows without columns hold nothing, and there may be any number of them.
    const rows = width === 0 ? 0 : extent.rows;
    const pairSides = sidesOf(pair, sides, factors);
    if (open !== null && !open.takes(pairSides)) {
      yield open.close();
      open = null;
    }
    // A pair without rows is seen all the same: its sample ends.
    for (let row = 0; row < rows || row === 0; ) {
      open ??= new OpenJob(sides, pairSides, width, wanted);
      const count = Math.min(rows - row, open.room);
      open.add(pair, row, count, row + count >= rows, pairSides);
      row += Math.max(1, count);
      if (open.isFull) {
        yield open.close();
        open = null;
      }
    }
  }
  if (open !== null) yield open.close();
}

/** One side of one pair. */
interface PairSide {
  readonly dump: Dump;
  readonly entry: TensorEntry & { readonly dtype: FloatDType };
  readonly factor: number;
  /** How the ranks' parts become the tensor. */
  readonly join: Join;
  /** Place among all sides. */
  readonly index: number;
}

function sidesOf(
  pair: Pair,
  sides: readonly UnitSide[],
  factors: readonly number[],
): readonly PairSide[] {
  return sides.flatMap(({ dump, entry: entryOf }, index) => {
    const entry = entryOf(pair);
    if (entry?.encoding !== "dense") return [];
    const { dtype } = entry;
    if (!isFloatDType(dtype)) return [];
    const { join } = dump.locate(entry, 0, 0);
    return [{ dump, entry: { ...entry, dtype }, factor: factors[index] ?? 1, join, index }];
  });
}

class OpenJob {
  readonly #sides: readonly UnitSide[];
  readonly #first: readonly PairSide[];
  readonly #width: number;
  readonly #wanted: Wanted;
  readonly #mostRows: number;
  /** Of each side, of each of its strands. */
  readonly #strands: FileRange[][][];
  readonly #parts: JobPart[] = [];
  readonly #truth: number[] = [];
  #rows = 0;

  constructor(
    sides: readonly UnitSide[],
    first: readonly PairSide[],
    width: number,
    wanted: Wanted,
  ) {
    this.#sides = sides;
    this.#first = first;
    this.#width = width;
    this.#wanted = wanted;
    this.#strands = first.map(() => []);
    const widest = Math.max(...first.map(({ entry }) => DTYPES[entry.dtype].bytes));
    const fitting = Math.floor(JOB_BYTES / Math.max(1, width * widest));
    const least = this.#sumsChannels ? CHANNEL_ROWS : 1;
    this.#mostRows = Math.min(JOB_ROWS, Math.max(least, fitting));
  }

  get #sumsChannels(): boolean {
    return this.#wanted.leastRowError !== null && hasChannels(this.#width);
  }

  /** Whether a pair can be in the same job: the same sides, in the same dtypes, put together in the same way. */
  takes(sides: readonly PairSide[]): boolean {
    return (
      sides.length === this.#first.length &&
      sides.every(({ index, entry, join }, i) => {
        const first = this.#first[i] as PairSide;
        const isAlike = index === first.index && entry.dtype === first.entry.dtype;
        return isAlike && sameJoin(join, first.join);
      })
    );
  }

  /** How many more rows it takes. */
  get room(): number {
    return this.#mostRows - this.#rows;
  }

  get isFull(): boolean {
    return this.room === 0 || this.#parts.length >= JOB_ROWS;
  }

  add(pair: Pair, row: number, rows: number, last: boolean, sides: readonly PairSide[]): void {
    this.#parts.push({ pair, row, rows, last });
    this.#rows += rows;
    const elements = rows * this.#width;
    for (const [i, { dump, entry }] of sides.entries()) {
      const { bytes } = DTYPES[entry.dtype];
      const { strands } = dump.locate(entry, row * this.#width * bytes, elements * bytes);
      const mine = this.#strands[i] as FileRange[][];
      for (const [s, ranges] of strands.entries()) (mine[s] ??= []).push(...ranges);
    }
    const { truth } = this.#wanted;
    if (truth === null) return;
    for (let r = row; r < row + rows; r += 1) this.#truth.push(truth(pair, r));
  }

  close(): PlannedJob {
    const sides = this.#first.map(
      ({ entry, factor, join }, i): JobSide => ({
        dtype: entry.dtype,
        factor,
        join,
        strands: this.#strands[i] ?? [],
      }),
    );
    const { bits, leastRowError, truth } = this.#wanted;
    const ofCandidate = (this.#first[1] as PairSide).entry.dtype;
    return {
      job: {
        rows: this.#rows,
        width: this.#width,
        sides,
        ...saturationOf(ofCandidate),
        bits,
        truth: truth === null ? null : this.#truth,
        leastRowError: this.#sumsChannels ? leastRowError : null,
      },
      sides: this.#sides,
      parts: this.#parts,
      present: this.#first.slice(2).map(({ index }) => index - 2),
    };
  }
}

/** Whether the channels of rows of `width` elements are summed: not of single numbers, and of rows that lie in memory as a whole. */
export function hasChannels(width: number): boolean {
  return width > 1 && width <= MAX_PIECE_ELEMENTS;
}

/** Four units in the last place: a candidate at its largest value is saturated where the reference is farther from it. */
const SATURATION_ULPS = 4;

/** The largest finite value of a dtype, and how far a reference must lie from it to be another value. */
export function saturationOf(dtype: DType): Pick<Job, "maxFinite" | "saturationDistance"> {
  const { maxFinite, u } = DTYPES[dtype];
  const largest = maxFinite ?? Number.POSITIVE_INFINITY;
  // The largest value is just below a power of two, so one unit in its last
  // place is 2 u of it.
  return { maxFinite: largest, saturationDistance: SATURATION_ULPS * 2 * (u ?? 0) * largest };
}

/**
 * How many numbers the jobs of a comparison, and what comes of them, have at most.
 *
 * @param others sides beside the reference.
 * @param channels width of the widest rows whose channels are summed; 0 without any.
 * @param ranks of the dump that most ranks wrote.
 */
export function slotSizes(
  others: number,
  channels: number,
  ranks: number,
): { readonly jobNumbers: number; readonly resultNumbers: number } {
  // A range holds a row at least: chunks are whole rows, and rows without bytes are not run.
  const range = { descriptor: 0, position: 0, bytes: 0 };
  const ranges = Array.from({ length: JOB_ROWS }, () => range);
  const strands = Array.from({ length: ranks }, () => ranges);
  const sides = Array.from({ length: others + 1 }, (): JobSide => {
    return { dtype: "F64", factor: 1, join: END_TO_END, strands };
  });
  const truth = Array.from({ length: JOB_ROWS }, () => 0);
  const largest = {
    rows: JOB_ROWS,
    width: channels,
    sides,
    truth,
    leastRowError: channels > 0 ? 0 : null,
    bits: false,
    ...saturationOf("F64"),
  };
  return { jobNumbers: numbersOf(largest), resultNumbers: resultLayout(largest).length };
}

/** Bytes that are read at a time to see whether they can be. */
const REREAD_BYTES = 2 ** 20;

/**
 * Why a job could not be read.
 *
 * @returns `cause` where it can be read now.
 */
export function readingError({ job, sides, parts }: PlannedJob, cause: unknown): unknown {
  const target = new Uint8Array(REREAD_BYTES);
  try {
    for (const { pair, row, rows } of parts) {
      for (const { dump, entry: entryOf } of sides) {
        const entry = entryOf(pair);
        if (entry?.encoding !== "dense") continue;
        const rowBytes = job.width * DTYPES[entry.dtype].bytes;
        const end = (row + rows) * rowBytes;
        for (let at = row * rowBytes; at < end; at += REREAD_BYTES) {
          dump.read(entry, at, target.subarray(0, Math.min(REREAD_BYTES, end - at)));
        }
      }
    }
  } catch (error) {
    return error;
  }
  return cause;
}
