/** The reduced logits of one sample as a dump stores them: `lse`, `topk_*`, `token_logprob`. */

import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { ReducedLogitsName } from "../dump/contract.ts";
import { decodeInto, readIntegers } from "../dump/decode.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import type { LogitsForm, LogitsRow, TopList } from "./logits-form.ts";

/** Numbers of one tensor that are in memory at a time, unless one position has more. */
const VALUES_AT_ONCE = 2 ** 14;

/** More tokens a position than any use of them needs: whole logits are smaller then. */
const MAX_K = 2 ** 16;

/** Rounding that a log-probability may carry beyond 0, and a sum of probabilities beyond 1: float32 on logits of some hundreds. */
const BEYOND = 1e-4;

/** Size of the log-sum-exp where it is not stored, and the least that counts: a sum over a vocabulary rounds too. */
const UNKNOWN_LSE = 64;
const LEAST_LSE = 4;

/** Roundings of half a unit in the last place that a stored log-probability may have gone through: devices without float64 compute in float32. */
const ROUNDINGS = 4;

/**
 * How far two stored log-probabilities of one token may be apart before the
 * file contradicts itself, relative to the numbers that they are differences
 * of: {@link ROUNDINGS} in bf16, the coarsest format that engines reduce in.
 */
const CONTRADICTION = ROUNDINGS * 2 * DTYPES.BF16.u;

/** Its tensors of one sample, by name. */
export type StoredTensors = ReadonlyMap<ReducedLogitsName, TensorEntry>;

/**
 * Reads what `tensors` hold, a block of positions at a time, and refuses what
 * cannot be: other shapes than `rows` positions, ids that repeat or lie outside
 * the vocabulary, probabilities above 1 or in another order than from the best
 * down, another log-probability of the true token than the list gives it. NaN is
 * no such thing: a broken model has it.
 */
export class StoredForm implements LogitsForm {
  readonly holdsLse: boolean;
  readonly holdsNext: boolean;
  readonly k: number;
  private readonly rows: number;
  private readonly vocabulary: number;
  private readonly truth: Column;
  private readonly lse: Column | null;
  private readonly next: Column | null;
  private readonly ids: Column | null;
  private readonly logprobs: Column | null;
  private readonly precision: number;

  /**
   * @param truth token ids of the sample.
   * @param vocabulary ids lie below it; infinite where it is not known.
   * @throws NpuDiffError `dump-corrupt`, here and while reading.
   */
  constructor(
    dump: Dump,
    tensors: StoredTensors,
    truth: { readonly dump: Dump; readonly entry: TensorEntry },
    vocabulary: number,
  ) {
    const rows = truth.entry.elements;
    this.rows = rows;
    this.truth = new Column(truth.dump, truth.entry, [rows], "integer");
    this.vocabulary = vocabulary;
    const flat = (name: ReducedLogitsName): Column | null => {
      const entry = tensors.get(name);
      return entry === undefined ? null : new Column(dump, entry, [rows], "float");
    };
    this.lse = flat("lse");
    this.next = flat("token_logprob");
    const [ids, logprobs] = [tensors.get("topk_ids"), tensors.get("topk_logprobs")];
    const k = ids?.shape[1] ?? 0;
    const whole = ids !== undefined && logprobs !== undefined;
    this.ids = whole ? new Column(dump, ids, [rows, k], "integer") : null;
    this.logprobs = whole ? new Column(dump, logprobs, [rows, k], "float") : null;
    // u is a quarter of a unit in the last place.
    this.precision = whole ? ROUNDINGS * 2 * (DTYPES[logprobs.dtype].u ?? 0) : 0;
    this.k = whole ? k : 0;
    this.holdsLse = this.lse !== null;
    this.holdsNext = this.next !== null;
    if (this.ids !== null && k > MAX_K) {
      throw this.ids.corrupt("lists too many tokens", `${k} a position`, `at most ${MAX_K}`);
    }
  }

  at(row: number): LogitsRow {
    const { next } = this;
    const lse = this.lse === null ? null : (this.lse.row(row)[0] as number);
    let nextLogprob: number | null = null;
    if (next !== null) {
      nextLogprob = row + 1 < this.rows ? (next.row(row + 1)[0] as number) : Number.NaN;
      this.checkLogprob(next, nextLogprob, row + 1);
    }
    const top = this.top(row, Math.abs(lse ?? UNKNOWN_LSE));
    if (next !== null && top !== null && row + 1 < this.rows) {
      this.checkNext(next, top, nextLogprob ?? Number.NaN, row + 1);
    }
    return { lse, top, nextLogprob };
  }

  /** A token in the list has the list's log-probability, any other at most that of the last one. */
  private checkNext(
    next: Column,
    { ids, logprobs, scale }: TopList,
    found: number,
    at: number,
  ): void {
    const place = ids.indexOf(this.truth.row(at)[0] as number);
    const listed = logprobs[place === -1 ? logprobs.length - 1 : place] as number;
    const slack = CONTRADICTION * Math.max(scale, Math.abs(listed));
    const difference = place === -1 ? found - listed : Math.abs(found - listed);
    // NaN, and −∞ on both sides, are no contradiction.
    if (!(difference > slack)) return;
    const expected = `${place === -1 ? "at most " : ""}${listed} by topk_logprobs`;
    throw next.corrupt(
      "contradicts the list of the best tokens",
      `${found} at token ${at}`,
      expected,
    );
  }

  private top(row: number, size: number): TopList | null {
    const { ids, logprobs, precision } = this;
    if (ids === null || logprobs === null || this.k === 0) return null;
    const scale = Math.max(LEAST_LSE, Number.isFinite(size) ? size : UNKNOWN_LSE);
    const top = { ids: ids.row(row), logprobs: logprobs.row(row), precision, scale };
    const seen = new Set<number>();
    for (const id of top.ids) {
      if (id < 0 || id >= this.vocabulary || seen.has(id)) {
        const what = seen.has(id) ? "lists a token twice" : "lists an id outside the vocabulary";
        const expected = Number.isFinite(this.vocabulary)
          ? `different ids below ${this.vocabulary}`
          : "different ids from 0 on";
        throw ids.corrupt(what, `${id} at token ${row}`, expected);
      }
      seen.add(id);
    }
    let before = Number.POSITIVE_INFINITY;
    let sum = 0;
    for (const logprob of top.logprobs) {
      this.checkLogprob(logprobs, logprob, row);
      if (logprob > before) {
        const found = `${logprob} after ${before} at token ${row}`;
        throw logprobs.corrupt("is not in falling order", found, "the best token first");
      }
      before = logprob;
      sum += Math.exp(logprob);
    }
    if (sum > 1 + BEYOND + precision * this.k) {
      const found = `probabilities of ${sum} at token ${row}`;
      throw logprobs.corrupt("holds no probabilities", found, "a sum of at most 1");
    }
    return top;
  }

  private checkLogprob(column: Column, logprob: number, row: number): void {
    if (!(logprob > BEYOND + this.precision)) return;
    const found = `${logprob} at token ${row}`;
    throw column.corrupt("holds no log-probabilities", found, "numbers of at most 0");
  }
}

/** The rows of one small tensor, read block by block. */
class Column {
  private readonly dump: Dump;
  private readonly entry: TensorEntry;
  private readonly rows: number;
  private readonly width: number;
  private from = 0;
  private block: Float64Array = new Float64Array(0);

  constructor(dump: Dump, entry: TensorEntry, shape: readonly number[], kind: "integer" | "float") {
    this.dump = dump;
    this.entry = entry;
    this.rows = shape[0] ?? 0;
    this.width = shape[1] ?? 1;
    const isKind = isFloatDType(entry.dtype) === (kind === "float");
    const fits =
      entry.shape.length === shape.length && shape.every((n, axis) => n === entry.shape[axis]);
    if (entry.encoding === "dense" && isKind && fits) return;
    throw this.corrupt(
      "does not fit its sample",
      `${entry.encoding} ${entry.dtype} [${entry.shape.join(", ")}]`,
      `dense ${kind}s [${shape.join(", ")}]`,
    );
  }

  /** A view of row `index`, which the next block overwrites. */
  row(index: number): Float64Array {
    const { width } = this;
    if (index < this.from || (index - this.from + 1) * width > this.block.length) this.load(index);
    const start = (index - this.from) * width;
    return this.block.subarray(start, start + width);
  }

  corrupt(what: string, found: string, expected: string): NpuDiffError {
    const { name, sample } = this.entry;
    return new NpuDiffError("dump-corrupt", {
      what: `${this.dump.file}: ${name} of sample ${sample} ${what}`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "capture the dump again",
    });
  }

  private load(row: number): void {
    const { dump, entry, width } = this;
    const { dtype } = entry;
    const rows = Math.min(this.rows - row, Math.max(1, Math.floor(VALUES_AT_ONCE / width)));
    const size = DTYPES[dtype].bytes;
    const bytes = new Uint8Array(rows * width * size);
    dump.read(entry, row * width * size, bytes);
    this.from = row;
    if (isFloatDType(dtype)) {
      this.block = new Float64Array(rows * width);
      decodeInto(dtype, bytes, this.block);
    } else {
      this.block = readIntegers(dtype, bytes);
    }
  }
}
