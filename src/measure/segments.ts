/**
 * Walks the rows of several tensors of one shape side by side in bounded
 * memory.
 */

import type { FloatDType } from "../core/dtype.ts";
import { DTYPES } from "../core/dtype.ts";
import { decodeInto } from "../dump/decode.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";

/**
 * Elements of each side that are in memory at a time (2 MiB as float64). Large
 * enough that reading dominates the calls, and a row of logits of any
 * vocabulary known today lies in one piece; longer rows come in several.
 */
export const SEGMENT_ELEMENTS = 2 ** 18;

/** A float tensor, and the dump that holds it. */
export interface Source {
  readonly dump: Dump;
  readonly entry: TensorEntry & { readonly dtype: FloatDType };
  /** Factor that its values are multiplied by; 1 for nearly all. */
  readonly factor: number;
}

/** Rows `row … row+rows` and columns `column … column+columns` of every source. */
export interface Segment {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
  /** Decoded values of each source, row after row. */
  readonly values: readonly Float64Array[];
  /** The same as bytes. */
  readonly bytes: readonly Uint8Array[];
}

/** Buffers for {@link SegmentReader.walk}, kept from tensor to tensor. */
export class SegmentReader {
  private readonly values: Float64Array[] = [];
  private readonly bytes: Uint8Array[] = [];

  /**
   * Calls `visit` with every element of `sources` exactly once, rows in order
   * and the columns of a row in order. Several rows come together only where
   * whole rows fit. The arrays are overwritten by the next segment.
   *
   * @returns the number of bytes read.
   */
  walk(
    sources: readonly Source[],
    rows: number,
    width: number,
    visit: (segment: Segment) => void,
  ): number {
    if (rows === 0 || width === 0) return 0;
    const columnsAtOnce = Math.min(width, SEGMENT_ELEMENTS);
    const rowsAtOnce = Math.max(1, Math.floor(SEGMENT_ELEMENTS / width));
    let read = 0;
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const rowCount = Math.min(rowsAtOnce, rows - row);
      for (let column = 0; column < width; column += columnsAtOnce) {
        const columns = Math.min(columnsAtOnce, width - column);
        const elements = rowCount * columns;
        const segment = {
          row,
          rows: rowCount,
          column,
          columns,
          values: [] as Float64Array[],
          bytes: [] as Uint8Array[],
        };
        for (const [index, source] of sources.entries()) {
          const size = DTYPES[source.entry.dtype].bytes;
          const { bytes, values } = this.buffers(index);
          const target = bytes.subarray(0, elements * size);
          source.dump.read(source.entry, (row * width + column) * size, target);
          const decoded = values.subarray(0, elements);
          decodeInto(source.entry.dtype, target, decoded);
          if (source.factor !== 1) scale(decoded, source.factor);
          segment.values.push(decoded);
          segment.bytes.push(target);
          read += target.byteLength;
        }
        visit(segment);
      }
    }
    return read;
  }

  private buffers(index: number): { readonly bytes: Uint8Array; readonly values: Float64Array } {
    const bytes = (this.bytes[index] ??= new Uint8Array(SEGMENT_ELEMENTS * 8));
    const values = (this.values[index] ??= new Float64Array(SEGMENT_ELEMENTS));
    return { bytes, values };
  }
}

function scale(values: Float64Array, factor: number): void {
  for (let i = 0; i < values.length; i += 1) values[i] = (values[i] as number) * factor;
}
