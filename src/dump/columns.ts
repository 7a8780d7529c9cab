/**
 * Reads the values of one column of one record batch, each offset, view and
 * bitmap checked against the buffer that it leads into.
 */

import { counted } from "../core/counted.ts";
import { type Field, typeName } from "./arrow-schema.ts";
import { MAX_COUNT } from "./bounds.ts";
import type { RecordBatch } from "./record-batch.ts";
import type { Region } from "./regions.ts";

/** Bytes of a value, by the buffer of its column that holds them and where they start in it. */
export interface Span {
  readonly buffer: number;
  readonly start: number;
  readonly length: number;
}

/** The buffers of a batch that have been read. */
export type LoadedBuffers = ReadonlyMap<Region, Uint8Array>;

/** Bytes of one view: its length, then the value itself or a prefix, a buffer and an offset. */
const VIEW_BYTES = 16;
/** Values up to this length lie inside their view. */
const MAX_INLINE_BYTES = 12;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The `index`-th buffer of `field`, read, and long enough for `bytes`. */
function loadedBuffer(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
  index: number,
  bytes: number,
): DataView {
  const region = batch.regions(field)[index];
  const buffer = region === undefined ? undefined : loaded.get(region);
  if (buffer === undefined || buffer.length < bytes) {
    throw batch.corrupt(`a buffer of ${field.name} is too short`, {
      found: counted(buffer?.length ?? 0, "byte"),
      expected: `${counted(bytes, "byte")} of ${field.buffers[index] ?? "values"}`,
    });
  }
  return viewOf(buffer);
}

/**
 * Whether the value at an index is there (not null).
 *
 * @throws NpuDiffError `dump-corrupt` where the bitmap contradicts the null count, or `nullable` is false
 *   and there are nulls
 */
export function validityOf(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
  nullable: boolean,
): (index: number) => boolean {
  const { length, nulls } = batch.node(field);
  if (nulls === 0) return () => true;
  if (!nullable) {
    throw batch.corrupt(`the column ${field.name} has nulls`, {
      found: `${nulls} of ${length} values are null`,
      expected: "a value in every row",
    });
  }
  const bitmap = loadedBuffer(batch, field, loaded, 0, Math.ceil(length / 8));
  const valid = (index: number): boolean =>
    ((bitmap.getUint8(index >> 3) >> (index & 7)) & 1) === 1;
  let invalid = 0;
  for (let index = 0; index < length; index++) if (!valid(index)) invalid += 1;
  if (invalid !== nulls) {
    throw batch.corrupt(`the nulls of ${field.name} contradict each other`, {
      found: `${invalid} nulls in the bitmap`,
      expected: `${nulls}, the null count`,
    });
  }
  return valid;
}

/**
 * The integers of an Int column of any width and sign.
 *
 * @throws NpuDiffError `dump-corrupt` where one is beyond ±(2⁵³ − 1)
 */
export function integersOf(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
): (index: number) => number {
  const { bits, signed } = field;
  const view = loadedBuffer(batch, field, loaded, 1, (batch.node(field).length * bits) / 8);
  switch (bits) {
    case 8:
      return (i) => (signed ? view.getInt8(i) : view.getUint8(i));
    case 16:
      return (i) => (signed ? view.getInt16(2 * i, true) : view.getUint16(2 * i, true));
    case 32:
      return (i) => (signed ? view.getInt32(4 * i, true) : view.getUint32(4 * i, true));
    default:
      return (i) => {
        const value = signed ? view.getBigInt64(8 * i, true) : view.getBigUint64(8 * i, true);
        if (Number.isSafeInteger(Number(value))) return Number(value);
        throw batch.corrupt(`an integer of ${field.name} is out of range`, {
          found: `${value}`,
          expected: `at most ${MAX_COUNT} in size`,
        });
      };
  }
}

/** The numbers of a FloatingPoint column of 32 or 64 bits. */
export function floatsOf(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
): (index: number) => number {
  const view = loadedBuffer(batch, field, loaded, 1, (batch.node(field).length * field.bits) / 8);
  return (i) => (field.bits === 64 ? view.getFloat64(8 * i, true) : view.getFloat32(4 * i, true));
}

/**
 * Where the values of a text or binary column lie, in any of Arrow's layouts.
 * The buffers that the spans lead into need not have been read.
 */
export function spansOf(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
): (index: number) => Span {
  if (field.variadic) return viewsOf(batch, field, loaded);
  const range = rangesOf(batch, field, loaded, batch.regions(field)[2]?.length ?? 0);
  return (index) => {
    const [start, end] = range(index);
    return { buffer: 2, start, length: end - start };
  };
}

/** Where the entries of a list column lie in its child: from the first to before the second index. */
export function listRangesOf(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
): (index: number) => readonly [number, number] {
  const child = field.children[0];
  return rangesOf(batch, field, loaded, child === undefined ? 0 : batch.node(child).length);
}

function rangesOf(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
  limit: number,
): (index: number) => readonly [number, number] {
  const large = field.buffers[1] === "largeOffsets";
  const { length } = batch.node(field);
  // A column without rows may have no offsets at all.
  const bytes = length === 0 ? 0 : (length + 1) * (large ? 8 : 4);
  const view = loadedBuffer(batch, field, loaded, 1, bytes);
  const offset = (i: number): number =>
    large ? Number(view.getBigInt64(8 * i, true)) : view.getInt32(4 * i, true);
  return (index) => {
    const start = offset(index);
    const end = offset(index + 1);
    if (start < 0 || end < start || end > limit) {
      throw batch.corrupt(`the offsets of ${field.name} lead astray`, {
        found: `row ${index} from ${start} to ${end}`,
        expected: `rising offsets of at most ${limit}`,
      });
    }
    return [start, end];
  };
}

function viewsOf(batch: RecordBatch, field: Field, loaded: LoadedBuffers): (index: number) => Span {
  const regions = batch.regions(field);
  const views = loadedBuffer(batch, field, loaded, 1, VIEW_BYTES * batch.node(field).length);
  return (index) => {
    const at = VIEW_BYTES * index;
    const length = views.getInt32(at, true);
    if (length >= 0 && length <= MAX_INLINE_BYTES) return { buffer: 1, start: at + 4, length };
    const buffer = 2 + views.getInt32(at + 8, true);
    const start = views.getInt32(at + 12, true);
    const available = buffer < 2 ? undefined : regions[buffer]?.length;
    if (length < 0 || start < 0 || available === undefined || start + length > available) {
      throw batch.corrupt(`the views of ${field.name} lead astray`, {
        found: `row ${index}: ${counted(length, "byte")} at ${start} of buffer ${buffer - 2}`,
        expected: `at most ${available ?? 0} bytes, in one of ${regions.length - 2} buffers`,
      });
    }
    return { buffer, start, length };
  };
}

/** What `field` is stored as, for messages. */
export function describeColumn(field: Field): string {
  return field.type === "Int"
    ? `${field.name} as ${field.signed ? "Int" : "Uint"}${field.bits}`
    : `${field.name} as ${typeName(field)}`;
}
