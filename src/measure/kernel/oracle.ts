/**
 * Runs jobs in plain TypeScript on float64 values: the kernel must agree with it,
 * and what the kernel does not do is done here.
 */

import { DTYPES } from "../../core/dtype.ts";
import { decodeInto } from "../../dump/decode.ts";
import type { ByteStream } from "../../dump/join.ts";
import { CentredError } from "../centred-error.ts";
import { addPairs, PairSums, type PairTraits } from "../pair-sums.ts";
import { relationOf } from "../relation.ts";
import { SoftmaxPair } from "../softmax-pair.ts";
import { Best, TopK } from "../top-k.ts";
import { type Job, MAX_PIECE_ELEMENTS } from "./job.ts";
import { jobBytes } from "./job-bytes.ts";
import {
  AT,
  CHANNEL_SUMS,
  LOGITS,
  ROW,
  ROW_NUMBERS,
  resultLayout,
  rowWeight,
  SIDE_LOGITS,
  SIDE_LOGITS_NUMBERS,
  SUMS,
  TOTALS,
} from "./results.ts";

/**
 * See `JobRunner.run`: the same result, but for rounding.
 *
 * @throws UnreadableJob
 */
export function runWithOracle(job: Job, result: Float64Array): void {
  const { rows, width, sides, leastRowError } = job;
  const { length, stride, channelsAt } = resultLayout(job);
  result.fill(0, 0, length);
  const others = sides.slice(1).map((side) => new Side(side === sides[1], job));
  const channels =
    leastRowError === null ? null : result.subarray(channelsAt, channelsAt + CHANNEL_SUMS * width);
  const readers = sides.map((side) => new Reader(side, Math.min(width, MAX_PIECE_ELEMENTS)));
  const logits = job.truth === null ? null : new LogitsRowSums(sides.length);
  let differing = 0;
  for (let row = 0; row < rows; row += 1) {
    const at = TOTALS + row * stride;
    let [x, y]: readonly Float64Array[] = [NONE, NONE];
    for (let column = 0; column < width; column += MAX_PIECE_ELEMENTS) {
      const n = Math.min(MAX_PIECE_ELEMENTS, width - column);
      const values = readers.map((reader) => reader.read(n));
      [x, y] = values;
      for (const [i, other] of others.entries()) {
        other.add(x ?? NONE, values[i + 1] as Float64Array, column);
      }
      logits?.add(values, column, job.truth?.[row] ?? -1);
      if (job.bits) differing += countDiffering(readers);
    }
    for (const [i, other] of others.entries()) {
      other.endRow(row, result.subarray(at + i * ROW_NUMBERS, at + (i + 1) * ROW_NUMBERS));
    }
    logits?.endRow(result.subarray(at + others.length * ROW_NUMBERS, at + stride));
    if (channels === null || leastRowError === null) continue;
    const [xx, rho] = [result[at + ROW.xx] as number, result[at + ROW.rho] as number];
    addChannels(x ?? NONE, y ?? NONE, rowWeight(xx, rho, leastRowError), channels);
  }
  others[0]?.writeTotals(result);
  result[AT.differing] = differing;
}

const NONE = new Float64Array(0);

/** The values of one side, piece after piece. */
class Reader {
  readonly #side: Job["sides"][number];
  readonly #from: ByteStream;
  readonly #buffer: Uint8Array;
  readonly #values: Float64Array;
  #length = 0;

  constructor(side: Job["sides"][number], elements: number) {
    this.#side = side;
    this.#from = jobBytes(side);
    this.#buffer = new Uint8Array(elements * DTYPES[side.dtype].bytes);
    this.#values = new Float64Array(elements);
  }

  /** The next `n` values, good until the next call. */
  read(n: number): Float64Array {
    const { dtype, factor } = this.#side;
    this.#length = n * DTYPES[dtype].bytes;
    this.#from.read(this.#buffer, 0, this.#length);
    const values = this.#values.subarray(0, n);
    decodeInto(dtype, this.bytes, values);
    if (factor !== 1) for (let i = 0; i < n; i += 1) values[i] = (values[i] as number) * factor;
    return values;
  }

  /** Those that were read last. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  get itemSize(): number {
    return DTYPES[this.#side.dtype].bytes;
  }
}

/** The sums of one side beside the reference. */
class Side {
  readonly #total = new PairSums();
  readonly #row = new PairSums();
  readonly #traits: PairTraits;
  readonly #width: number;

  /** @param isCandidate whether saturation is looked for. */
  constructor(isCandidate: boolean, { sides, width, maxFinite, saturationDistance }: Job) {
    this.#width = width;
    this.#traits = {
      wide: sides.some(({ dtype }) => dtype === "F64"),
      maxFinite: isCandidate ? maxFinite : Number.POSITIVE_INFINITY,
      saturationDistance,
    };
  }

  add(x: Float64Array, y: Float64Array, column: number): void {
    addPairs(this.#row, x, y, 0, x.length, column, this.#traits);
  }

  endRow(index: number, record: Float64Array): void {
    const row = this.#row;
    const { relL2, cosineDistance } = relationOf(row);
    const known = row.count > 0;
    record[ROW.rho] = known ? relL2 : Number.NaN;
    record[ROW.cosineDistance] = known ? cosineDistance : Number.NaN;
    record[ROW.xx] = row.xx.value();
    record[ROW.xd] = row.xd.value();
    record[ROW.maxAbs] = row.maxAbs;
    record[ROW.d] = row.d.value();
    record[ROW.dd] = row.dd.value();
    record[ROW.count] = row.count;
    this.#total.merge(row, index * this.#width);
    row.reset();
  }

  writeTotals(result: Float64Array): void {
    const total = this.#total;
    for (const [i, name] of SUMS.entries()) {
      const { sum, lost, exponent } = total[name].parts;
      result[AT[name]] = sum;
      result[AT[name] + 1] = lost;
      result[AT.exponents + i] = exponent;
    }
    result[AT.count] = total.count;
    result[AT.maxAbs] = total.maxAbs;
    result[AT.maxRow] = Math.floor(total.maxIndex / this.#width);
    result[AT.maxColumn] = total.maxIndex % this.#width;
    result[AT.maxX] = total.maxReference;
    result[AT.maxY] = total.maxCandidate;
    for (const [at, side] of [
      [AT.nonFiniteX, total.reference],
      [AT.nonFiniteY, total.candidate],
    ] as const) {
      result.set([side.nan, side.posInf, side.negInf], at);
    }
    result[AT.mismatched] = total.mismatched;
    result[AT.mismatchRow] = Math.floor(total.mismatchIndex / this.#width);
    result[AT.mismatchColumn] = total.mismatchIndex % this.#width;
    result[AT.mismatchX] = total.mismatchReference;
    result[AT.mismatchY] = total.mismatchCandidate;
    result[AT.saturated] = total.saturated;
  }
}

/** What one row of logits says. */
class LogitsRowSums {
  readonly #softmax: readonly SoftmaxPair[];
  readonly #errors: readonly CentredError[];
  readonly #best = { reference: new Best(), candidate: new Best() };
  readonly #top = { reference: new TopK(), candidate: new TopK() };
  #truth: readonly [number, number] = [Number.NaN, Number.NaN];

  constructor(sides: number) {
    this.#softmax = Array.from({ length: sides - 1 }, () => new SoftmaxPair());
    this.#errors = Array.from({ length: sides - 1 }, () => new CentredError());
  }

  add(values: readonly Float64Array[], column: number, truth: number): void {
    const [x, y] = values as [Float64Array, Float64Array];
    for (const [i, other] of values.slice(1).entries()) {
      this.#softmax[i]?.add(x, other, 0, other.length);
      this.#errors[i]?.add(x, other, 0, other.length);
    }
    if (truth >= column && truth < column + x.length) {
      this.#truth = [x[truth - column] as number, y[truth - column] as number];
    }
    const { reference, candidate } = this.#best;
    for (let i = 0; i < x.length; i += 1) {
      const [a, b] = [x[i] as number, y[i] as number];
      if (!(a <= reference.second)) reference.add(a, column + i, b);
      if (!(b <= candidate.second)) candidate.add(b, column + i, a);
      this.#top.reference.add(a, column + i);
      this.#top.candidate.add(b, column + i);
    }
  }

  endRow(record: Float64Array): void {
    for (const [i, softmax] of this.#softmax.entries()) {
      record[i * SIDE_LOGITS_NUMBERS + SIDE_LOGITS.kl] = softmax.kl;
      record[i * SIDE_LOGITS_NUMBERS + SIDE_LOGITS.sigma] = this.#errors[i]?.sigma ?? Number.NaN;
    }
    const [first] = this.#softmax;
    const { reference, candidate } = this.#best;
    const row = record.subarray(this.#softmax.length * SIDE_LOGITS_NUMBERS);
    row[LOGITS.lseReference] = first?.lseReference ?? Number.NaN;
    row[LOGITS.lseCandidate] = first?.lseCandidate ?? Number.NaN;
    [row[LOGITS.truthReference], row[LOGITS.truthCandidate]] = this.#truth;
    row[LOGITS.margin] = reference.value - reference.second;
    const agrees = candidate.value === reference.other || reference.value === candidate.other;
    row[LOGITS.agrees] = agrees ? 1 : 0;
    const strict = reference.index === candidate.index && reference.index >= 0;
    row[LOGITS.strict] = strict ? 1 : 0;
    row[LOGITS.overlap5] = this.#top.reference.overlap(this.#top.candidate, 5);
    row[LOGITS.overlap10] = this.#top.reference.overlap(this.#top.candidate, 10);
    this.#truth = [Number.NaN, Number.NaN];
    for (const one of [...this.#softmax, ...this.#errors, reference, candidate]) one.reset();
    for (const top of Object.values(this.#top)) top.reset();
  }
}

/** Adds a row to Σe, Σe², Σze and Σz² of each column, see `channelSums` of the kernel. */
function addChannels(x: Float64Array, y: Float64Array, weight: number, sums: Float64Array): void {
  const width = x.length;
  for (let j = 0; j < width; j += 1) {
    const a = x[j] as number;
    const d = (y[j] as number) - a;
    if (!Number.isFinite(d)) continue;
    const error = weight * d;
    const value = weight * a;
    sums[j] = (sums[j] as number) + error;
    sums[width + j] = (sums[width + j] as number) + error * error;
    sums[2 * width + j] = (sums[2 * width + j] as number) + value * error;
    sums[3 * width + j] = (sums[3 * width + j] as number) + value * value;
  }
}

/** Elements in which the first two sides differ by a bit. */
function countDiffering([first, second]: readonly Reader[]): number {
  if (first === undefined || second === undefined) return 0;
  const [a, b, size] = [first.bytes, second.bytes, first.itemSize];
  if (Buffer.compare(a, b) === 0) return 0;
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
