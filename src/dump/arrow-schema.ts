/**
 * An Arrow schema, as far as a reader of dumps needs it: the columns, and how
 * many field nodes and buffers each type takes in a record batch, so that
 * columns of any type can be stepped over.
 */

import { Endianness } from "apache-arrow/fb/endianness";
import { MetadataVersion } from "apache-arrow/fb/metadata-version";
import { Type } from "apache-arrow/fb/type";
import { MAX_FIELD_DEPTH, MAX_FIELDS, MAX_METADATA_PAIRS } from "./bounds.ts";
import { MalformedFlatbuffer, type Table } from "./flatbuffer.ts";

/** One column, or one field of a nested column. */
export interface Field {
  readonly name: string;
  readonly type: Type;
  readonly nullable: boolean;
  /** Stored as indices into a dictionary; `type` is then the dictionary's. */
  readonly dictionary: boolean;
  /** Bits of one value; 0 where the type has no fixed width. */
  readonly bits: number;
  /** For integers. */
  readonly signed: boolean;
  /** Entries of one value of a fixed-size list, 1 elsewhere. */
  readonly listSize: number;
  readonly children: readonly Field[];
  /** Position of this field among the batch's field nodes (pre-order). */
  readonly node: number;
  /** Kinds of buffers that this field itself has, in order, without its variadic ones. */
  readonly buffers: readonly BufferKind[];
  /** Whether any number of further buffers follows, as the batch says. */
  readonly variadic: boolean;
}

export type BufferKind =
  | "validity"
  | "values"
  | "offsets"
  | "largeOffsets"
  | "bytes"
  | "views"
  | "typeIds";

export interface Schema {
  readonly fields: readonly Field[];
  /** All fields, nested ones included, by `node`. */
  readonly nodes: readonly Field[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly littleEndian: boolean;
}

/** The name of a field's type, for messages: `Utf8`, `Int`, `dictionary<Utf8>`. */
export function typeName(field: Field): string {
  const name = Type[field.type].replace("_", "");
  return field.dictionary ? `dictionary<${name}>` : name;
}

/**
 * Reads a Schema table (0 endianness, 1 fields, 2 metadata).
 *
 * @throws MalformedFlatbuffer where it is malformed, or larger or deeper than the contract's bounds
 */
export function readSchema(table: Table, version: MetadataVersion): Schema {
  const nodes: Field[] = [];
  const budget = { fields: MAX_FIELDS };
  const fields = readFields(table, 1, 1, version, nodes, budget);
  const metadata = new Map<string, string>();
  for (const pair of table.tables(2, MAX_METADATA_PAIRS)) {
    const key = pair.string(0);
    if (key === null) continue;
    if (metadata.has(key)) throw new MalformedFlatbuffer(`the metadata key ${key} twice`);
    metadata.set(key, pair.string(1) ?? "");
  }
  return {
    fields,
    nodes,
    metadata,
    littleEndian: table.int16(0) === (Endianness.Little as number),
  };
}

/** Reads a vector of Field tables. `budget` bounds their number: hostile offsets may share subtrees. */
function readFields(
  table: Table,
  id: number,
  depth: number,
  version: MetadataVersion,
  nodes: Field[],
  budget: { fields: number },
): Field[] {
  const tables = table.tables(id, budget.fields);
  budget.fields -= tables.length;
  if (tables.length > 0 && depth > MAX_FIELD_DEPTH) {
    throw new MalformedFlatbuffer(`columns nested deeper than ${MAX_FIELD_DEPTH}`);
  }
  return tables.map((entry) => readField(entry, depth, version, nodes, budget));
}

/** A Field table: 0 name, 1 nullable, 2 type's id, 3 type, 4 dictionary, 5 children. */
function readField(
  table: Table,
  depth: number,
  version: MetadataVersion,
  nodes: Field[],
  budget: { fields: number },
): Field {
  const node = nodes.length;
  const type = table.uint8(2) as Type;
  if (Type[type] === undefined || type === Type.NONE) {
    throw new MalformedFlatbuffer(`a column of the unknown type ${type}`);
  }
  const dictionary = table.table(4);
  // The children of a dictionary's type live in the dictionary, not in the batch.
  const own: Field[] = dictionary === null ? nodes : [];
  // Holds this field's place in pre-order while its children are read.
  nodes.push(PLACEHOLDER);
  const children = readFields(table, 5, depth + 1, version, own, budget);
  const detail = table.table(3);
  const indices = dictionary?.table(1);
  const field: Field = {
    name: table.string(0) ?? "",
    type,
    nullable: table.bool(1),
    dictionary: dictionary !== null,
    bits: dictionary === null ? bitsOf(type, detail) : (indices?.int32(0, 32) ?? 32),
    signed: type === Type.Int && (detail?.bool(1) ?? false),
    listSize: type === Type.FixedSizeList ? (detail?.int32(0) ?? 0) : 1,
    children: dictionary === null ? children : [],
    node,
    buffers: dictionary === null ? buffersOf(type, detail, version) : ["validity", "values"],
    variadic: dictionary === null && (type === Type.Utf8View || type === Type.BinaryView),
  };
  nodes[node] = field;
  return field;
}

const PLACEHOLDER: Field = {
  name: "",
  type: Type.Null,
  nullable: true,
  dictionary: false,
  bits: 0,
  signed: false,
  listSize: 1,
  children: [],
  node: 0,
  buffers: [],
  variadic: false,
};

/** Buffers of one type, by the columnar format; before V5, unions had a validity bitmap. */
function buffersOf(type: Type, detail: Table | null, version: MetadataVersion): BufferKind[] {
  switch (type) {
    case Type.NONE:
    case Type.Null:
    case Type.RunEndEncoded:
      return [];
    case Type.Struct_:
    case Type.FixedSizeList:
      return ["validity"];
    case Type.Binary:
    case Type.Utf8:
      return ["validity", "offsets", "bytes"];
    case Type.LargeBinary:
    case Type.LargeUtf8:
      return ["validity", "largeOffsets", "bytes"];
    case Type.List:
    case Type.Map:
      return ["validity", "offsets"];
    case Type.LargeList:
      return ["validity", "largeOffsets"];
    // Views of lists have offsets and sizes, neither with a last one.
    case Type.ListView:
    case Type.LargeListView:
      return ["validity", "values", "values"];
    case Type.BinaryView:
    case Type.Utf8View:
      return ["validity", "views"];
    case Type.Union: {
      const dense = detail?.int16(0) === 1;
      const buffers: BufferKind[] = dense ? ["typeIds", "values"] : ["typeIds"];
      return version < MetadataVersion.V5 ? ["validity", ...buffers] : buffers;
    }
    default:
      return ["validity", "values"];
  }
}

/** Bits of one entry of a type's `values`; list views and unions: of their offsets. */
function bitsOf(type: Type, detail: Table | null): number {
  switch (type) {
    case Type.Int:
      return detail?.int32(0) ?? 0;
    case Type.FloatingPoint:
      return 16 << Math.min(3, Math.max(0, detail?.int16(0) ?? 0));
    case Type.Bool:
      return 1;
    case Type.Decimal:
      return detail?.int32(2, 128) ?? 128;
    case Type.Date:
      return detail?.int16(0, 1) === 0 ? 32 : 64;
    case Type.Time:
      return detail?.int32(1, 32) ?? 32;
    case Type.Interval:
      return 32 << Math.min(2, Math.max(0, detail?.int16(0) ?? 0));
    case Type.Timestamp:
    case Type.Duration:
    case Type.LargeListView:
      return 64;
    case Type.ListView:
    case Type.Union:
      return 32;
    case Type.FixedSizeBinary:
      return 8 * (detail?.int32(0) ?? 0);
    default:
      return 0;
  }
}
