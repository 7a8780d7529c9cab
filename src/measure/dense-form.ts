/** Whole logits of one sample, reduced row by row to what a dump of reduced ones would hold. */

import { extentOf } from "../align/shapes.ts";
import { readIds } from "../align/tokens.ts";
import { DTYPES, type FloatDType } from "../core/dtype.ts";
import { decodeInto } from "../dump/decode.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import type { LogitsForm, LogitsRow } from "./logits-form.ts";
import { SEGMENT_ELEMENTS } from "./segments.ts";
import { TopK } from "./top-k.ts";

/** Of float64 arithmetic: a thousand roundings, for the sum over a vocabulary. */
const PRECISION = 2 ** -43;

/** Tokens that are sought in a row: each that enters moves all below it. */
const MAX_K = 64;

/** The token ids of the sample, and the dump that holds them; null where they are not known. */
export type SampleIds = { readonly dump: Dump; readonly entry: TensorEntry } | null;

/** Reads one row at a time, and of a long one a piece of {@link SEGMENT_ELEMENTS}. */
export class DenseForm implements LogitsForm {
  readonly holdsLse = true;
  readonly holdsNext: boolean;
  readonly k: number;
  private readonly dump: Dump;
  private readonly entry: TensorEntry & { readonly dtype: FloatDType };
  private readonly ids: SampleIds;
  private readonly width: number;
  private readonly piece: number;
  private readonly largest: TopK;
  /** Made with the first row: there are as many forms as samples. */
  private bytes: Uint8Array = new Uint8Array(0);
  private values: Float64Array = new Float64Array(0);

  /** @param k tokens that {@link LogitsRow.top} shall list: {@link MAX_K} of them at most, or the vocabulary. */
  constructor(
    dump: Dump,
    entry: TensorEntry & { readonly dtype: FloatDType },
    ids: SampleIds,
    k: number,
  ) {
    const { width } = extentOf(entry.shape);
    this.dump = dump;
    this.entry = entry;
    this.ids = ids;
    this.holdsNext = ids !== null;
    this.width = width;
    this.k = Math.min(k, width, MAX_K);
    this.piece = Math.min(width, SEGMENT_ELEMENTS);
    this.largest = new TopK(this.k);
  }

  at(row: number): LogitsRow {
    const { ids, width, largest } = this;
    const isLast = row + 1 >= (this.entry.shape[0] ?? 1);
    const truth = ids === null || isLast ? -1 : (readIds(ids.dump, ids.entry, row + 1, 1)[0] ?? -1);
    const sum = new LogSumExp();
    let nextLogit = Number.NaN;
    largest.reset();
    for (let column = 0; column < width; column += this.piece) {
      const values = this.read(row, column);
      sum.add(values);
      for (let i = 0; i < values.length; i += 1) {
        const value = values[i] as number;
        if (value > largest.threshold || largest.count < this.k) largest.add(value, column + i);
      }
      if (truth >= column && truth < column + values.length) {
        nextLogit = values[truth - column] as number;
      }
    }
    const lse = sum.value;
    const logprobs = largest.values.map((value) => value - lse);
    return {
      lse,
      top: {
        ids: Float64Array.from(largest.indices),
        logprobs,
        precision: PRECISION,
        scale: Math.max(1, Math.abs(lse)),
      },
      nextLogprob: ids === null ? null : nextLogit - lse,
    };
  }

  private read(row: number, column: number): Float64Array {
    const { dtype } = this.entry;
    const size = DTYPES[dtype].bytes;
    const length = Math.min(this.piece, this.width - column);
    if (this.values.length < length) {
      this.bytes = new Uint8Array(this.piece * size);
      this.values = new Float64Array(this.piece);
    }
    const bytes = this.bytes.subarray(0, length * size);
    const values = this.values.subarray(0, length);
    this.dump.read(this.entry, (row * this.width + column) * size, bytes);
    decodeInto(dtype, bytes, values);
    return values;
  }
}

/** ln Σ exp(x) in pieces. −∞ adds nothing; NaN or +∞ anywhere makes it NaN. */
class LogSumExp {
  private max = Number.NEGATIVE_INFINITY;
  private sum = 0;

  add(values: Float64Array): void {
    let max = this.max;
    for (const value of values) if (value > max) max = value;
    // Nothing but −∞ so far: any shift will do, and ∞ − ∞ must not be one.
    const shift = max === Number.NEGATIVE_INFINITY ? 0 : max;
    let sum = this.max === max ? this.sum : this.sum * Math.exp(this.max - shift);
    for (const value of values) sum += Math.exp(value - shift);
    this.max = max;
    this.sum = sum;
  }

  get value(): number {
    return this.max + Math.log(this.sum);
  }
}
