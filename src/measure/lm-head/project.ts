/** From rows of hidden states to rows of logits, a block of tokens and a tile of the vocabulary at a time. */

import { DTYPES, type FloatDType } from "../../core/dtype.ts";
import { decodeInto } from "../../dump/decode.ts";
import type { Dump } from "../../dump/dump.ts";
import type { HeadWeights } from "../../dump/lm-head/head-weights.ts";
import type { Spool } from "../../dump/spool.ts";
import { type HeadRows, rowCount } from "./head-dump.ts";
import type { Product } from "./product.ts";

/** Bytes of a tile of the weight as float32. */
const TILE_BYTES = 2 ** 23;

/**
 * Bytes of the logits of a block of tokens: the weight is read once a block, so that a block is as large as the
 * stored weight, within bounds.
 */
const BLOCK_BYTES = { least: 2 ** 26, most: 2 ** 29 };

/** More tokens at a time make a product no faster. */
const MOST_TOKENS = 1024;

/** Changes `count` rows of hidden states in place, for instance by a norm. */
export type RowTransform = (rows: Float64Array, count: number) => void;

/** Computes logits. Its buffers are kept from call to call. */
export class Projector {
  readonly #head: HeadWeights;
  readonly #product: Product;
  readonly #tokens: number;
  readonly #columns: number;
  readonly #hidden: Float32Array;
  readonly #weights: Float32Array;
  readonly #tile: Float32Array;
  readonly #logits: Float32Array;
  /** Rows that wait for the block to be full. */
  #waiting = 0;

  constructor(head: HeadWeights, product: Product) {
    const { vocabulary, width } = head;
    const size = Float32Array.BYTES_PER_ELEMENT;
    const room = Math.min(BLOCK_BYTES.most, Math.max(BLOCK_BYTES.least, head.bytes));
    this.#head = head;
    this.#product = product;
    this.#tokens = Math.max(1, Math.min(MOST_TOKENS, Math.floor(room / (vocabulary * size))));
    this.#columns = Math.max(1, Math.min(vocabulary, Math.floor(TILE_BYTES / (width * size))));
    this.#hidden = new Float32Array(this.#tokens * width);
    this.#weights = new Float32Array(this.#columns * width);
    this.#tile = new Float32Array(this.#tokens * this.#columns);
    this.#logits = new Float32Array(this.#tokens * vocabulary);
  }

  /**
   * Appends the logits of `from`, tensors [T, width] of `dump`, to `spool`: in their order, F32, row after row.
   *
   * Hidden states are exact on their way, but for F64 and what `transform` makes, which are rounded to float32;
   * products are summed in float32.
   *
   * @param progress called with the number of rows since the last call.
   */
  async project(
    dump: Dump,
    from: readonly HeadRows[],
    transform: RowTransform | null,
    spool: Spool,
    progress: (rows: number) => void,
  ): Promise<void> {
    const { width } = this.#head;
    const values = new Float64Array(this.#tokens * width);
    for (const source of from) {
      const total = rowCount(source);
      for (let done = 0; done < total; ) {
        const count = Math.min(total - done, this.#tokens - this.#waiting);
        const block = values.subarray(0, count * width);
        readRows(dump, source, done, width, block);
        transform?.(block, count);
        this.#hidden.set(block, this.#waiting * width);
        this.#waiting += count;
        done += count;
        if (this.#waiting === this.#tokens) await this.#flush(spool, progress);
      }
    }
    if (this.#waiting > 0) await this.#flush(spool, progress);
  }

  async #flush(spool: Spool, progress: (rows: number) => void): Promise<void> {
    const { vocabulary, width } = this.#head;
    const rows = this.#waiting;
    const hidden = this.#hidden.subarray(0, rows * width);
    const logits = this.#logits.subarray(0, rows * vocabulary);
    for (let first = 0; first < vocabulary; first += this.#columns) {
      const columns = Math.min(this.#columns, vocabulary - first);
      const weights = this.#weights.subarray(0, columns * width);
      const tile = this.#tile.subarray(0, rows * columns);
      this.#head.readRows(first, weights);
      await this.#product.multiply(hidden, weights, tile, width);
      this.#head.finish(first, columns, tile);
      for (let row = 0; row < rows; row += 1) {
        logits.set(tile.subarray(row * columns, (row + 1) * columns), row * vocabulary + first);
      }
    }
    spool.append(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength));
    this.#waiting = 0;
    progress(rows);
  }
}

/** Fills `out` with rows `done …` of `source`, whose tensor is dense and float, exactly. */
export function readRows(
  dump: Dump,
  { entry, rows }: HeadRows,
  done: number,
  width: number,
  out: Float64Array,
): void {
  const dtype = entry.dtype as FloatDType;
  const rowBytes = width * DTYPES[dtype].bytes;
  const count = out.length / width;
  const bytes = new Uint8Array(count * rowBytes);
  if (rows === null) dump.read(entry, done * rowBytes, bytes);
  for (let i = 0; rows !== null && i < count; i += 1) {
    const row = rows[done + i] as number;
    dump.read(entry, row * rowBytes, bytes.subarray(i * rowBytes, (i + 1) * rowBytes));
  }
  decodeInto(dtype, bytes, out);
}
