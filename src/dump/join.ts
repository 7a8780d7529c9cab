/**
 * How the shards of several ranks become the bytes of one tensor: streams of
 * bytes joined to one, a block at a time.
 */

import { DTYPES, type FloatDType } from "../core/dtype.ts";
import { decodeInto } from "./decode.ts";

/** Of each stretch of a joined tensor, what one rank stores and how much of that belongs to the tensor. */
export interface StrandWidth {
  readonly stored: number;
  /** Bytes; less than `stored` where the end is padding. */
  readonly used: number;
}

/**
 * How strands become one run of bytes. `end to end`: one strand after the other;
 * `side by side`: a stretch of each in turn; `sum`: the numbers of all strands,
 * added in float64 in their order, as float64.
 */
export type Join =
  | { readonly kind: "end to end" }
  | { readonly kind: "side by side"; readonly widths: readonly StrandWidth[] }
  | { readonly kind: "sum"; readonly dtype: FloatDType };

/** Of a tensor that lies in one file, and of shards along axis 0. */
export const END_TO_END: Join = { kind: "end to end" };

/** Whether strands are joined in the same way. */
export function sameJoin(a: Join, b: Join): boolean {
  if (a.kind === "sum") return b.kind === "sum" && a.dtype === b.dtype;
  if (a.kind === "end to end") return b.kind === "end to end";
  if (b.kind !== "side by side" || a.widths.length !== b.widths.length) return false;
  return a.widths.every(({ stored, used }, i) => {
    const other = b.widths[i];
    return other?.stored === stored && other.used === used;
  });
}

/** Bytes in order. What cannot be read is an error of whoever made the stream. */
export interface ByteStream {
  /** Puts the next `length` bytes at `offset` of `target`. */
  read(target: Uint8Array, offset: number, length: number): void;
  /** Passes over the next `length` bytes. */
  skip(length: number): void;
}

/** The bytes of `streams`, joined. Of a sum, lengths are multiples of 8. */
export function joined(join: Join, streams: readonly ByteStream[]): ByteStream {
  switch (join.kind) {
    case "end to end":
      // Ranges of several files are one stream already.
      return streams[0] as ByteStream;
    case "side by side":
      return new SideBySide(join.widths, streams);
    case "sum":
      return new Sum(join.dtype, streams);
  }
}

/** Bytes of what is read before it is put in its place. */
const SCRATCH_BYTES = 2 ** 18;

// One thread joins one piece at a time.
let scratch: Buffer | null = null;

function takeScratch(): Buffer {
  return (scratch ??= Buffer.allocUnsafe(SCRATCH_BYTES));
}

class SideBySide implements ByteStream {
  readonly #widths: readonly StrandWidth[];
  readonly #streams: readonly ByteStream[];
  /** Bytes of one stretch of all strands. */
  readonly #period: number;
  /** Stretches of any strand that fit the scratch. */
  readonly #atOnce: number;
  /** The strand that comes next, and how much of its stretch has come. */
  #strand = 0;
  #within = 0;

  constructor(widths: readonly StrandWidth[], streams: readonly ByteStream[]) {
    this.#widths = widths;
    this.#streams = streams;
    this.#period = widths.reduce((sum, { used }) => sum + used, 0);
    const widest = widths.reduce((most, { stored }) => Math.max(most, stored), 1);
    this.#atOnce = Math.floor(SCRATCH_BYTES / widest);
  }

  read(target: Uint8Array, offset: number, length: number): void {
    let at = offset;
    const end = offset + length;
    while (at < end) {
      const stretches = Math.min(Math.floor((end - at) / this.#period), this.#atOnce);
      if (this.#strand === 0 && this.#within === 0 && stretches > 1) {
        this.#readStretches(target, at, stretches);
        at += stretches * this.#period;
      } else {
        at += this.#advance(end - at, (stream, bytes) => {
          stream.read(target, at, bytes);
        });
      }
    }
  }

  skip(length: number): void {
    let left = length;
    while (left > 0) {
      left -= this.#advance(left, (stream, bytes) => {
        stream.skip(bytes);
      });
    }
  }

  /** Many short stretches in one read of each strand. */
  #readStretches(target: Uint8Array, offset: number, count: number): void {
    const buffer = takeScratch();
    let to = offset;
    for (const [i, { stored, used }] of this.#widths.entries()) {
      const stream = this.#streams[i] as ByteStream;
      if (used === 0) {
        stream.skip(count * stored);
        continue;
      }
      stream.read(buffer, 0, count * stored);
      for (let n = 0; n < count; n += 1) {
        buffer.copy(target, to + n * this.#period, n * stored, n * stored + used);
      }
      to += used;
    }
  }

  /** Lets `take` have what is left of the next strand's stretch, `most` bytes of it; says how many. */
  #advance(most: number, take: (stream: ByteStream, bytes: number) => void): number {
    const { stored, used } = this.#widths[this.#strand] as StrandWidth;
    const stream = this.#streams[this.#strand] as ByteStream;
    const bytes = Math.min(most, used - this.#within);
    if (bytes > 0) take(stream, bytes);
    this.#within += bytes;
    if (this.#within === used) {
      stream.skip(stored - used);
      this.#within = 0;
      this.#strand = (this.#strand + 1) % this.#widths.length;
    }
    return bytes;
  }
}

const SUM_BYTES = DTYPES.F64.bytes;

/** Elements that are added at a time. */
const SUM_ELEMENTS = SCRATCH_BYTES / SUM_BYTES;

class Sum implements ByteStream {
  readonly #dtype: FloatDType;
  readonly #streams: readonly ByteStream[];

  constructor(dtype: FloatDType, streams: readonly ByteStream[]) {
    this.#dtype = dtype;
    this.#streams = streams;
  }

  read(target: Uint8Array, offset: number, length: number): void {
    const elements = length / SUM_BYTES;
    const buffer = takeScratch();
    const size = DTYPES[this.#dtype].bytes;
    const most = Math.min(elements, SUM_ELEMENTS);
    const [sums, terms] = [new Float64Array(most), new Float64Array(most)];
    for (let done = 0; done < elements; done += most) {
      const count = Math.min(most, elements - done);
      for (const [i, stream] of this.#streams.entries()) {
        const bytes = buffer.subarray(0, count * size);
        stream.read(bytes, 0, bytes.length);
        // The first is taken as it is: 0 + −0 would lose the sign.
        const values = (i === 0 ? sums : terms).subarray(0, count);
        decodeInto(this.#dtype, bytes, values);
        for (let n = 0; i > 0 && n < count; n += 1) {
          sums[n] = (sums[n] as number) + (values[n] as number);
        }
      }
      target.set(new Uint8Array(sums.buffer, 0, count * SUM_BYTES), offset + done * SUM_BYTES);
    }
  }

  skip(length: number): void {
    const bytes = (length / SUM_BYTES) * DTYPES[this.#dtype].bytes;
    for (const stream of this.#streams) stream.skip(bytes);
  }
}
