/** Arrays that do not lie in C order, little-endian, in one of our dtypes: rewritten once, into a temporary file. */

import { NpuDiffError } from "../../core/errors.ts";
import type { ByteSource } from "../byte-source.ts";
import type { Piece } from "../foreign/foreign-tensor.ts";
import type { Spool } from "../spool.ts";
import type { Conversion } from "./npy-header.ts";

/** Bytes of what is rewritten at a time. */
const BLOCK_BYTES = 2 ** 26;

/** Bytes that are read at a time out of what is not needed as a whole. */
const SPAN_BYTES = 2 ** 22;

/** A run of bytes that is worth a read of its own. */
const WORTH_A_READ = 4096;

/** Converts consecutive elements. */
export function converted(piece: Piece, conversion: Conversion, spool: Spool): Piece {
  if (conversion.kind === "none") return piece;
  const position = spool.size;
  const block = Math.floor(BLOCK_BYTES / 4 / conversion.bytes) * conversion.bytes;
  for (let done = 0; done < piece.bytes; done += block) {
    const bytes = new Uint8Array(Math.min(block, piece.bytes - done));
    piece.source.readInto(piece.position + done, bytes);
    spool.append(
      conversion.kind === "swap"
        ? swapped(bytes, conversion.bytes)
        : widened(bytes, conversion, piece.source),
    );
  }
  return { source: spool, position, bytes: spool.size - position };
}

function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size === 2) return buffer.swap16();
  return size === 4 ? buffer.swap32() : buffer.swap64();
}

function widened(
  bytes: Uint8Array,
  { bytes: size, bigEndian }: Extract<Conversion, { kind: "widen" }>,
  source: ByteSource,
): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length / size;
  const out = new DataView(new ArrayBuffer(count * (size === 2 ? 4 : 8)));
  for (let i = 0; i < count; i++) {
    if (size === 2) out.setInt32(i * 4, view.getUint16(i * 2, !bigEndian), true);
    else if (size === 4) out.setBigInt64(i * 8, BigInt(view.getUint32(i * 4, !bigEndian)), true);
    else {
      const value = view.getBigUint64(i * 8, !bigEndian);
      if (value >= 2n ** 63n) throw tooLarge(source, value);
      out.setBigInt64(i * 8, value, true);
    }
  }
  return new Uint8Array(out.buffer);
}

function tooLarge({ name }: ByteSource, value: bigint): NpuDiffError {
  return new NpuDiffError("dump-corrupt", {
    what: `${name} holds an integer that no dtype of a dump can hold`,
    facts: [
      { label: "found", text: `${value} of uint64` },
      { label: "expected", text: "at most 2^63 − 1 (I64)" },
    ],
    help: "store the array as int64",
  });
}

/**
 * Puts an array in Fortran order (the first index runs fastest) into C order.
 *
 * @param size bytes of an element
 */
export function transposed(
  piece: Piece,
  shape: readonly number[],
  size: number,
  spool: Spool,
): Piece {
  // Axes of length 1 are in no order.
  const axes = shape.filter((length) => length !== 1);
  const [rows = 1, ...rest] = axes;
  if (rest.length === 0 || piece.bytes === 0) return piece;
  const columns = rest.reduce((product, length) => product * length, 1);
  spool.reserve(piece.bytes);
  const position = spool.size;
  const atOnce = Math.max(1, Math.min(rows, Math.floor(BLOCK_BYTES / (columns * size))));
  for (let from = 0; from < rows; from += atOnce) {
    const count = Math.min(atOnce, rows - from);
    const out = new Uint8Array(count * columns * size);
    const runs = readColumns(piece, { rows, columns, size }, from, count);
    const order = new OrderOfColumns(rest);
    for (const run of runs) {
      const column = order.next();
      for (let i = 0; i < count; i++) {
        const target = (i * columns + column) * size;
        for (let byte = 0; byte < size; byte++) {
          out[target + byte] = run.bytes[run.at + i * size + byte] as number;
        }
      }
    }
    spool.append(out);
  }
  return { source: spool, position, bytes: piece.bytes };
}

interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly size: number;
}

/** Of each column in the order of the file the elements of some rows: bytes, and where in them they begin. */
function* readColumns(
  { source, position }: Piece,
  { rows, columns, size }: Matrix,
  from: number,
  count: number,
): Generator<{ readonly bytes: Uint8Array; readonly at: number }, void, undefined> {
  const column = rows * size;
  if (count < rows && count * size >= WORTH_A_READ) {
    const bytes = new Uint8Array(count * size);
    for (let c = 0; c < columns; c++) {
      source.readInto(position + c * column + from * size, bytes);
      yield { bytes, at: 0 };
    }
    return;
  }
  const atOnce = Math.max(1, Math.floor(SPAN_BYTES / column));
  for (let c = 0; c < columns; c += atOnce) {
    const bytes = new Uint8Array(Math.min(atOnce, columns - c) * column);
    source.readInto(position + c * column, bytes);
    for (let at = 0; at < bytes.length; at += column) yield { bytes, at: at + from * size };
  }
}

/** The place in C order of each column, in the order of the file: there the first of `axes` runs fastest. */
class OrderOfColumns {
  readonly #axes: readonly number[];
  readonly #strides: readonly number[];
  readonly #index: number[];
  #column = 0;
  #started = false;

  constructor(axes: readonly number[]) {
    this.#axes = axes;
    this.#index = axes.map(() => 0);
    let stride = 1;
    this.#strides = axes
      .toReversed()
      .map((length) => {
        stride *= length;
        return stride / length;
      })
      .toReversed();
  }

  next(): number {
    if (!this.#started) {
      this.#started = true;
      return 0;
    }
    for (let axis = 0; axis < this.#axes.length; axis++) {
      const [length, stride] = [this.#axes[axis] as number, this.#strides[axis] as number];
      this.#column += stride;
      this.#index[axis] = (this.#index[axis] as number) + 1;
      if (this.#index[axis] !== length) break;
      this.#column -= stride * length;
      this.#index[axis] = 0;
    }
    return this.#column;
  }
}
