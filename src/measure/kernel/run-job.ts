/** Runs jobs with the kernel: reads a piece of every side, calls the loops, puts the results together. */

import { DTYPES } from "../../core/dtype.ts";
import type { ByteStream } from "../../dump/join.ts";
import { NEGLIGIBLE } from "../softmax-pair.ts";
import { type Job, KERNEL_DTYPES, MAX_PIECE_ELEMENTS } from "./job.ts";
import { jobBytes } from "./job-bytes.ts";
import { MemoryLayout } from "./memory-layout.ts";
import { runWithOracle } from "./oracle.ts";
import {
  AT,
  CHANNEL_SUMS,
  LOGITS,
  type ResultLayout,
  ROW,
  ROW_NUMBERS,
  resultLayout,
  rowWeight,
  SIDE_LOGITS,
  SIDE_LOGITS_NUMBERS,
  SOFTMAX,
  SOFTMAX_NUMBERS,
  TOP,
  TOP_NUMBERS,
  TOTALS,
} from "./results.ts";
import { instantiateKernel, type Kernel } from "./wasm.ts";

/**
 * Bytes of each side that are read at a time. Two sides then lie in the second
 * cache, where the kernel finds them, and reading them costs few calls.
 */
const PIECE_BYTES = 2 ** 18;

/** Below this share of the mean square, what is left of it when the mean is taken off has lost too many digits. */
const CANCELLED = 1e-6;

/** dtype of whatever was widened to float64. */
const WIDE = KERNEL_DTYPES.indexOf("F64");

/** Rows, or columns of one row, that are in memory together. */
interface Piece {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
}

/** One thread's kernel and its memory. */
export class JobRunner {
  readonly #kernel: Kernel;

  constructor(module: WebAssembly.Module) {
    this.#kernel = instantiateKernel(module);
  }

  /**
   * Runs `job` and writes what comes of it to the start of `result`
   * ({@link resultLayout}).
   *
   * What the kernel does not do, because it is rare and slow anyway, the plain
   * path does for the whole job: float64 values that are not finite or whose squares
   * leave the range, logits that are no numbers.
   *
   * @throws UnreadableJob
   * @throws RangeError where `result` is too short.
   */
  run(job: Job, result: Float64Array): void {
    const { length } = resultLayout(job);
    if (length > result.length) throw new RangeError(`${length} results in ${result.length}`);
    // Of rows without columns there is nothing to add.
    const fits = job.width > 0 && job.sides.length <= this.#kernel.mostSides();
    if (!fits || !new KernelRun(this.#kernel, job, result).done()) runWithOracle(job, result);
  }
}

class KernelRun {
  readonly #kernel: Kernel;
  readonly #job: Job;
  readonly #result: Float64Array;
  readonly #layout: ResultLayout;
  /** dtypes as the loops see them. */
  readonly #dtypes: readonly number[];
  readonly #wide: boolean;
  readonly #bytes: readonly ByteStream[];
  readonly #pieceColumns: number;
  readonly #pieceRows: number;
  // Addresses in the kernel's memory.
  readonly #state: readonly number[];
  readonly #records: number;
  readonly #weights: number;
  readonly #channels: number;
  readonly #sides: number;
  readonly #raw: readonly number[];
  readonly #loops: readonly number[];

  constructor(kernel: Kernel, job: Job, result: Float64Array) {
    this.#kernel = kernel;
    this.#job = job;
    this.#result = result;
    this.#layout = resultLayout(job);
    const { sides, width, rows } = job;
    this.#wide = sides.some(({ dtype, factor }) => dtype === "F64" || factor !== 1);
    this.#dtypes = sides.map(({ dtype }) => (this.#wide ? WIDE : KERNEL_DTYPES.indexOf(dtype)));
    this.#bytes = sides.map(jobBytes);
    const widest = this.#wide ? 8 : Math.max(...sides.map(({ dtype }) => DTYPES[dtype].bytes));
    const elements = PIECE_BYTES / widest;
    this.#pieceColumns = Math.min(width, MAX_PIECE_ELEMENTS);
    this.#pieceRows = Math.min(rows, Math.max(1, Math.floor(elements / width)));

    const memory = new MemoryLayout(kernel);
    this.#state = sides.slice(1).map(() => memory.place(kernel.stateBytes()));
    this.#records = memory.place((sides.length - 1) * this.#pieceRows * ROW_NUMBERS * 8);
    this.#weights = memory.place(this.#pieceRows * 8);
    this.#channels = memory.place(job.leastRowError === null ? 0 : CHANNEL_SUMS * width * 8);
    this.#sides = memory.place(sides.length * 8);
    const count = this.#pieceRows * this.#pieceColumns;
    this.#raw = sides.map(({ dtype }) => memory.place(count * DTYPES[dtype].bytes));
    this.#loops = this.#wide ? sides.map(() => memory.place(count * 8)) : this.#raw;
    memory.grow();
  }

  /** False where the kernel cannot do it. */
  done(): boolean {
    this.#start();
    for (const piece of this.#pieces()) {
      this.#load(piece);
      this.#addPairs(piece);
      if (this.#state.some((state) => this.#numbers(state)[AT.unsafe] !== 0)) return false;
      if (this.#job.truth !== null && !this.#addLogits(piece)) return false;
      if (this.#job.leastRowError !== null) this.#addChannels(piece, this.#job.leastRowError);
    }
    this.#finish();
    return true;
  }

  #start(): void {
    const { maxFinite, saturationDistance } = this.#job;
    for (const state of this.#state) {
      this.#kernel.clearState(state);
      // Behind the totals, see assembly/state.ts.
      this.#numbers(state).set([maxFinite, saturationDistance], AT.exponents);
    }
    const { leastRowError, width } = this.#job;
    if (leastRowError !== null) this.#numbers(this.#channels).fill(0, 0, CHANNEL_SUMS * width);
  }

  *#pieces(): Generator<Piece, void, undefined> {
    const { rows, width } = this.#job;
    for (let row = 0; row < rows; row += this.#pieceRows) {
      const count = Math.min(this.#pieceRows, rows - row);
      for (let column = 0; column < width; column += this.#pieceColumns) {
        const columns = Math.min(this.#pieceColumns, width - column);
        yield { row, rows: count, column, columns };
      }
    }
  }

  #load({ rows, columns }: Piece): void {
    const { sides, bits } = this.#job;
    const memory = new Uint8Array(this.#kernel.memory.buffer);
    const count = rows * columns;
    for (const [i, { dtype, factor }] of sides.entries()) {
      const raw = this.#raw[i] as number;
      this.#bytes[i]?.read(memory, raw, count * DTYPES[dtype].bytes);
      if (!this.#wide) continue;
      const to = this.#loops[i] as number;
      this.#kernel.widenTo(KERNEL_DTYPES.indexOf(dtype), raw, count, factor, to);
    }
    if (!bits) return;
    const [x, y] = this.#raw as [number, number];
    const { bytes } = DTYPES[(sides[0] as Job["sides"][0]).dtype];
    const state = this.#numbers(this.#state[0] as number);
    state[AT.differing] =
      (state[AT.differing] as number) + this.#kernel.countDiffering(x, y, count, bytes);
  }

  #addPairs({ row, rows, column, columns }: Piece): void {
    const { width } = this.#job;
    const ends = column + columns === width;
    const [x, ...others] = this.#loops as [number, ...number[]];
    const [ofX, ...dtypes] = this.#dtypes as [number, ...number[]];
    for (const [i, y] of others.entries()) {
      const records = this.#records + i * this.#pieceRows * ROW_NUMBERS * 8;
      this.#kernel.addPairs(
        ofX,
        dtypes[i] as number,
        x,
        y,
        rows,
        columns,
        column,
        row,
        ends,
        this.#state[i] as number,
        records,
        ROW_NUMBERS * 8,
      );
      if (ends) this.#takeRecords(row, rows, i, records);
    }
  }

  #takeRecords(row: number, rows: number, side: number, records: number): void {
    const numbers = this.#numbers(records);
    const { stride } = this.#layout;
    for (let r = 0; r < rows; r += 1) {
      const at = TOTALS + (row + r) * stride + side * ROW_NUMBERS;
      const from = r * ROW_NUMBERS;
      for (let i = 0; i < ROW_NUMBERS; i += 1) {
        this.#result[at + i] = numbers[from + i] as number;
      }
    }
  }

  /** False where a row is for the oracle. */
  #addLogits({ row, rows, column, columns }: Piece): boolean {
    const { width, sides } = this.#job;
    const kernel = this.#kernel;
    const places = new Int32Array(kernel.memory.buffer, this.#sides, sides.length * 2);
    for (let r = 0; r < rows; r += 1) {
      for (const [i, { dtype }] of sides.entries()) {
        const size = this.#wide ? 8 : DTYPES[dtype].bytes;
        places[2 * i] = this.#dtypes[i] as number;
        places[2 * i + 1] = (this.#loops[i] as number) + r * columns * size;
      }
      if (column === 0) kernel.startRow(sides.length);
      // Whether all is finite is known at the end of a row; a long one may hold anything.
      const masked = column + columns < width || column > 0 || this.#isMasked(row + r);
      kernel.addLogits(this.#sides, sides.length, columns, column, masked);
      this.#noteTruth(row + r, column, columns, places);
      if (column + columns === width && !this.#endLogits(row + r, places)) return false;
    }
    return true;
  }

  /** Whether some pair of the row is not finite. */
  #isMasked(row: number): boolean {
    const { stride } = this.#layout;
    const { width, sides } = this.#job;
    for (let side = 0; side + 1 < sides.length; side += 1) {
      const at = TOTALS + row * stride + side * ROW_NUMBERS;
      if (this.#result[at + ROW.count] !== width) return true;
    }
    return false;
  }

  #noteTruth(row: number, column: number, columns: number, places: Int32Array): void {
    const id = this.#job.truth?.[row] ?? -1;
    const at = this.#logitsAt(row);
    if (column === 0) {
      this.#result[at + LOGITS.truthReference] = Number.NaN;
      this.#result[at + LOGITS.truthCandidate] = Number.NaN;
    }
    if (id < column || id >= column + columns) return;
    for (const [side, place] of [LOGITS.truthReference, LOGITS.truthCandidate].entries()) {
      const [dtype, from] = [places[2 * side] as number, places[2 * side + 1] as number];
      this.#result[at + place] = this.#kernel.elementAt(dtype, from, id - column);
    }
  }

  /** Where the numbers of a row's logits are, those of its sides first. */
  #logitsAt(row: number): number {
    const { stride, pairs } = this.#layout;
    const others = this.#job.sides.length - 1;
    return TOTALS + row * stride + pairs + others * SIDE_LOGITS_NUMBERS;
  }

  #endLogits(row: number, places: Int32Array): boolean {
    const { sides } = this.#job;
    const result = this.#result;
    const softmax = this.#numbers(this.#kernel.softmaxSides());
    const at = this.#logitsAt(row);
    const lse = (side: number): number => {
      const from = side * SOFTMAX_NUMBERS;
      return (
        (softmax[from + SOFTMAX.largest] as number) +
        Math.log(softmax[from + SOFTMAX.sum] as number)
      );
    };
    const lseReference = lse(0);
    const others = sides.length - 1;
    for (let side = 0; side < others; side += 1) {
      const lseSide = lse(side + 1);
      if (!Number.isFinite(lseReference) || !Number.isFinite(lseSide)) return false;
      const place = at - (others - side) * SIDE_LOGITS_NUMBERS;
      result[place + SIDE_LOGITS.kl] = klOf(softmax, side + 1, lseReference - lseSide);
      const sigma = this.#sigma(row, side, places);
      if (sigma === null) return false;
      result[place + SIDE_LOGITS.sigma] = sigma;
    }
    result[at + LOGITS.lseReference] = lseReference;
    result[at + LOGITS.lseCandidate] = lse(1);
    this.#noteBest(at);
    return true;
  }

  /**
   * Root of the mean square of the row's error after its mean is taken off. Where
   * that cancels, the row is gone through again; null where it is no longer in
   * memory as a whole.
   */
  #sigma(row: number, side: number, places: Int32Array): number | null {
    const at = TOTALS + row * this.#layout.stride + side * ROW_NUMBERS;
    const count = this.#result[at + ROW.count] as number;
    const square = (this.#result[at + ROW.dd] as number) / count;
    const mean = (this.#result[at + ROW.d] as number) / count;
    const left = square - mean * mean;
    if (square === 0 || left >= CANCELLED * square) return Math.sqrt(Math.max(0, left));
    const { width } = this.#job;
    if (width > this.#pieceColumns) return null;
    const [ofX, x] = [places[0] as number, places[1] as number];
    const [ofY, y] = [places[2 * side + 2] as number, places[2 * side + 3] as number];
    return Math.sqrt(this.#kernel.squaresAround(ofX, ofY, x, y, width, mean) / count);
  }

  #noteBest(at: number): void {
    const result = this.#result;
    const tops = this.#numbers(this.#kernel.softmaxTops());
    const [x, y] = [tops.subarray(0, TOP_NUMBERS), tops.subarray(TOP_NUMBERS, 2 * TOP_NUMBERS)];
    const [bestX = 0, secondX = 0] = x;
    const [bestY = 0] = y;
    const [atX, atY] = [x[TOP.columns] as number, y[TOP.columns] as number];
    result[at + LOGITS.margin] = bestX - secondX;
    // Logits of few bits tie; whichever of the tied a side picks is no disagreement.
    result[at + LOGITS.agrees] = bestY === x[TOP.other] || bestX === y[TOP.other] ? 1 : 0;
    result[at + LOGITS.strict] = atX === atY && atX >= 0 ? 1 : 0;
    result[at + LOGITS.overlap5] = overlap(x, y, 5);
    result[at + LOGITS.overlap10] = overlap(x, y, 10);
  }

  #addChannels({ row, rows }: Piece, least: number): void {
    const { stride } = this.#layout;
    const weights = this.#numbers(this.#weights);
    for (let r = 0; r < rows; r += 1) {
      const at = TOTALS + (row + r) * stride;
      const [xx, rho] = [this.#result[at + ROW.xx] as number, this.#result[at + ROW.rho] as number];
      weights[r] = rowWeight(xx, rho, least);
    }
    const [x, y] = this.#loops as [number, number];
    const [ofX, ofY] = this.#dtypes as [number, number];
    const { width } = this.#job;
    this.#kernel.addChannels(ofX, ofY, x, y, rows, width, this.#weights, this.#channels);
  }

  #finish(): void {
    const { leastRowError, width } = this.#job;
    const totals = this.#numbers(this.#state[0] as number).subarray(0, AT.exponents);
    this.#result.set(totals, 0);
    this.#result.fill(0, AT.exponents, TOTALS);
    if (leastRowError === null) return;
    const sums = this.#numbers(this.#channels).subarray(0, CHANNEL_SUMS * width);
    this.#result.set(sums, this.#layout.channelsAt);
  }

  /** The kernel's memory from `at` on. */
  #numbers(at: number): Float64Array {
    return new Float64Array(this.#kernel.memory.buffer, at);
  }
}

/** KL(reference ‖ side), from the sums of a row and the difference of the two log-sum-exps. */
function klOf(softmax: Float64Array, side: number, lseDifference: number): number {
  const from = side * SOFTMAX_NUMBERS;
  const lost = softmax[from + SOFTMAX.lost] as number;
  if (lost - (softmax[SOFTMAX.largest] as number) > -NEGLIGIBLE) return Number.POSITIVE_INFINITY;
  return (
    (softmax[from + SOFTMAX.weighted] as number) / (softmax[SOFTMAX.sum] as number) - lseDifference
  );
}

/** Share of the `k` best columns of `x` that `y` has among its `k` best too. */
function overlap(x: Float64Array, y: Float64Array, k: number): number {
  const [ofX, ofY] = [x[TOP.count] as number, y[TOP.count] as number];
  let shared = 0;
  for (let i = 0; i < Math.min(k, ofX); i += 1) {
    const column = x[TOP.columns + i];
    for (let j = 0; j < Math.min(k, ofY); j += 1) if (y[TOP.columns + j] === column) shared += 1;
  }
  return shared / k;
}
