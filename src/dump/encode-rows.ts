/**
 * Lays rows out as the buffers of a record batch, in whatever Arrow types a
 * schema has for the contract's columns. Other columns are left empty.
 */

import { BufferRegion, FieldNode, RecordBatch } from "apache-arrow/ipc/metadata/message";
import type { BufferKind, Field, Schema } from "./arrow-schema.ts";
import { isColumnName } from "./contract.ts";
import type { TensorFacts, TensorStats } from "./dump.ts";

/** The values of one row, by column. */
export interface RowValues extends TensorFacts {
  readonly dtype: string;
  readonly start: number;
  readonly encoding: string;
  readonly data: Uint8Array;
}

type Value = RowValues[keyof RowValues];

/** A record batch that is ready to be written: its header, and its body in parts. */
export interface EncodedBatch {
  readonly header: RecordBatch;
  readonly body: readonly Uint8Array[];
  readonly bodyBytes: number;
}

/** Every buffer starts at a multiple of this, as Arrow recommends. */
const ALIGNMENT = 64;

/** Collects the nodes and buffers of a batch in pre-order. */
class BatchBuilder {
  readonly nodes: FieldNode[] = [];
  readonly regions: BufferRegion[] = [];
  readonly variadic: number[] = [];
  readonly body: Uint8Array[] = [];
  bytes = 0;

  /** Adds one buffer that is made of `parts`. */
  buffer(...parts: readonly Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    this.regions.push(new BufferRegion(this.bytes, length));
    const padding = (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
    this.body.push(...parts, new Uint8Array(padding));
    this.bytes += length + padding;
  }

  /** Adds a node and its validity bitmap, which is empty where nothing is null. */
  node(values: readonly unknown[]): void {
    const bitmap = new Uint8Array(Math.ceil(values.length / 8));
    let nulls = 0;
    for (const [i, value] of values.entries()) {
      if (value === null) nulls += 1;
      else bitmap[i >> 3] = (bitmap[i >> 3] as number) | (1 << (i & 7));
    }
    this.nodes.push(new FieldNode(values.length, nulls));
    this.buffer(nulls === 0 ? new Uint8Array(0) : bitmap);
  }
}

/** The largest column of one empty row that {@link encodeRows} is asked to make. */
const MAX_EMPTY_BYTES = 1024 * 1024;

/** The first column that {@link encodeRows} cannot leave empty; null where there is none. */
export function unsupportedColumn(fields: readonly Field[], entries = 1): Field | null {
  for (const field of fields) {
    const { type, bits, listSize, children } = field;
    if (type === "Union" || type === "RunEndEncoded") return field;
    if (listSize < 0 || bits < 0 || entries * Math.max(bits / 8, listSize) > MAX_EMPTY_BYTES) {
      return field;
    }
    const found = unsupportedColumn(children, entries * listSize);
    if (found !== null) return found;
  }
  return null;
}

/** Lays out `rows` in the types of `schema`, whose contract columns have been checked. */
export function encodeRows(schema: Schema, rows: readonly RowValues[]): EncodedBatch {
  const builder = new BatchBuilder();
  for (const field of schema.fields) {
    const { name } = field;
    if (isColumnName(name)) {
      encodeColumn(
        builder,
        field,
        rows.map((row) => row[name]),
      );
    } else {
      encodeEmpty(builder, field, rows.length);
    }
  }
  const { nodes, regions, variadic, body, bytes } = builder;
  const header = new RecordBatch(rows.length, nodes, regions, null, variadic);
  return { header, body, bodyBytes: bytes };
}

/** The kind of each column goes with its type, which has been checked. */
function encodeColumn(builder: BatchBuilder, field: Field, values: readonly Value[]): void {
  const { type } = field;
  if (type === "Int") {
    builder.node(values);
    builder.buffer(integers(field.bits, values as (number | null)[]));
  } else if (type === "List" || type === "LargeList") {
    encodeLists(builder, field, values as number[][]);
  } else if (type === "Struct_") {
    encodeStats(builder, field, values as (TensorStats | null)[]);
  } else {
    encodeBytes(builder, field, values as (string | Uint8Array | null)[]);
  }
}

function integers(bits: number, values: readonly (number | null)[]): Uint8Array {
  const bytes = new Uint8Array((values.length * bits) / 8);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) {
    if (bits === 8) view.setInt8(i, value ?? 0);
    else if (bits === 16) view.setInt16(2 * i, value ?? 0, true);
    else if (bits === 32) view.setInt32(4 * i, value ?? 0, true);
    else view.setBigInt64(8 * i, BigInt(value ?? 0), true);
  }
  return bytes;
}

/** Rising offsets, one more than there are lengths. */
function offsets(large: boolean, lengths: readonly number[]): Uint8Array {
  let end = 0;
  const ends = lengths.map((length) => {
    end += length;
    return end;
  });
  return integers(large ? 64 : 32, [0, ...ends]);
}

function encodeLists(builder: BatchBuilder, field: Field, values: readonly number[][]): void {
  const lengths = values.map((list) => list.length);
  builder.node(values);
  builder.buffer(offsets(field.type === "LargeList", lengths));
  encodeColumn(builder, field.children[0] as Field, values.flat());
}

function encodeStats(
  builder: BatchBuilder,
  field: Field,
  values: readonly (TensorStats | null)[],
): void {
  builder.node(values);
  for (const child of field.children) {
    const key = STATS_KEYS.get(child.name);
    if (key === undefined) {
      encodeEmpty(builder, child, values.length);
      continue;
    }
    const parts = values.map((value) => value?.[key] ?? null);
    builder.node(parts);
    builder.buffer(child.type === "Int" ? integers(child.bits, parts) : floats(child.bits, parts));
  }
}

const STATS_KEYS: ReadonlyMap<string, keyof TensorStats> = new Map([
  ["min", "min"],
  ["max", "max"],
  ["mean", "mean"],
  ["rms", "rms"],
  ["nan", "nan"],
  ["posinf", "posInf"],
  ["neginf", "negInf"],
]);

function floats(bits: number, values: readonly (number | null)[]): Uint8Array {
  const bytes = new Uint8Array((values.length * bits) / 8);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) {
    if (bits === 64) view.setFloat64(8 * i, value ?? 0, true);
    else view.setFloat32(4 * i, value ?? 0, true);
  }
  return bytes;
}

function encodeBytes(
  builder: BatchBuilder,
  field: Field,
  values: readonly (string | Uint8Array | null)[],
): void {
  const parts = values.map((value) => {
    if (value === null) return new Uint8Array(0);
    return typeof value === "string" ? new TextEncoder().encode(value) : value;
  });
  builder.node(values);
  if (field.variadic) {
    builder.variadic.push(1);
    builder.buffer(views(parts));
  } else {
    const large = field.type === "LargeUtf8" || field.type === "LargeBinary";
    const lengths = parts.map((part) => part.length);
    builder.buffer(offsets(large, lengths));
  }
  builder.buffer(...parts);
}

/** Bytes of one view. */
const VIEW_BYTES = 16;

/** Views: the length, then the value itself or its first 4 bytes, buffer 0 and its offset there. */
function views(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(VIEW_BYTES * parts.length);
  const view = new DataView(bytes.buffer);
  let start = 0;
  for (const [i, part] of parts.entries()) {
    view.setInt32(16 * i, part.length, true);
    bytes.set(part.subarray(0, part.length <= 12 ? 12 : 4), 16 * i + 4);
    if (part.length > 12) view.setInt32(16 * i + 12, start, true);
    start += part.length;
  }
  return bytes;
}

/** Bytes of a buffer of `length` empty values. */
const EMPTY_BYTES: Readonly<Record<BufferKind, (length: number, bits: number) => number>> = {
  validity: (length) => Math.ceil(length / 8),
  values: (length, bits) => Math.ceil((bits * length) / 8),
  offsets: (length) => 4 * (length + 1),
  largeOffsets: (length) => 8 * (length + 1),
  bytes: () => 0,
  views: (length) => VIEW_BYTES * length,
  typeIds: (length) => length,
};

/** A column of nulls, or of zeros where it must not be null; its children are as short as they may be. */
function encodeEmpty(builder: BatchBuilder, field: Field, length: number): void {
  if (field.type === "Null") {
    builder.nodes.push(new FieldNode(length, length));
    return;
  }
  builder.node(new Array(length).fill(field.nullable ? null : 0));
  for (const kind of field.buffers.slice(1)) {
    builder.buffer(new Uint8Array(EMPTY_BYTES[kind](length, field.bits)));
  }
  if (field.variadic) builder.variadic.push(0);
  for (const child of field.children) {
    const fixed = field.type === "Struct_" || field.type === "FixedSizeList";
    encodeEmpty(builder, child, fixed ? length * field.listSize : 0);
  }
}
