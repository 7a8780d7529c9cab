/**
 * An Arrow schema, as far as a reader of dumps needs it: the columns, and how
 * many field nodes and buffers each type takes in a record batch, so that
 * columns of any type can be stepped over.
 */

import { Endianness } from "apache-arrow/fb/endianness";
import { Type } from "apache-arrow/fb/type";
import { MAX_FIELD_DEPTH, MAX_FIELDS, MAX_METADATA_PAIRS } from "./bounds.ts";
import { MalformedFlatbuffer, type Table } from "./flatbuffer.ts";

/** The name of an Arrow type, as the format's definition has it. */
export type TypeName = Exclude<keyof typeof Type, "NONE">;

/** The versions of Arrow's metadata that are read; older ones are laid out otherwise. */
export type MetadataVersionName = "V4" | "V5";

/** One column, or one field of a nested column. */
export interface Field {
  readonly name: string;
  readonly type: TypeName;
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
  const name = field.type.replace("_", "");
  return field.dictionary ? `dictionary<${name}>` : name;
}

/**
 * Reads a Schema table (0 endianness, 1 fields, 2 metadata).
 *
 * @throws MalformedFlatbuffer where it is malformed, or larger or deeper than the contract's bounds
 */
export function readSchema(table: Table, version: MetadataVersionName): Schema {
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
    littleEndian: Endianness[table.int16(0)] === "Little",
  };
}

/** Reads a vector of Field tables. `budget` bounds their number: hostile offsets may share subtrees. */
function readFields(
  table: Table,
  id: number,
  depth: number,
  version: MetadataVersionName,
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
  version: MetadataVersionName,
  nodes: Field[],
  budget: { fields: number },
): Field {
  const node = nodes.length;
  const type = Type[table.uint8(2)] ?? "";
  if (!isTypeName(type)) {
    throw new MalformedFlatbuffer(`a column of the unknown type ${table.uint8(2)}`);
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
    signed: type === "Int" && (detail?.bool(1) ?? false),
    listSize: type === "FixedSizeList" ? (detail?.int32(0) ?? 0) : 1,
    children: dictionary === null ? children : [],
    node,
    buffers: dictionary === null ? buffersOf(type, detail, version) : ["validity", "values"],
    variadic: dictionary === null && (type === "Utf8View" || type === "BinaryView"),
  };
  nodes[node] = field;
  return field;
}

const PLACEHOLDER: Field = {
  name: "",
  type: "Null",
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

const FIXED: readonly BufferKind[] = ["validity", "values"];
const VARIABLE: readonly BufferKind[] = ["validity", "offsets", "bytes"];
const LARGE: readonly BufferKind[] = ["validity", "largeOffsets", "bytes"];
const VIEWS: readonly BufferKind[] = ["validity", "views"];
// Views of lists have offsets and sizes, one of each for every value.
const LIST_VIEWS: readonly BufferKind[] = ["validity", "values", "values"];

/** The buffers of each type, by the columnar format. */
const BUFFERS: Readonly<Record<TypeName, readonly BufferKind[]>> = {
  Null: [],
  Int: FIXED,
  FloatingPoint: FIXED,
  Binary: VARIABLE,
  Utf8: VARIABLE,
  Bool: FIXED,
  Decimal: FIXED,
  Date: FIXED,
  Time: FIXED,
  Timestamp: FIXED,
  Interval: FIXED,
  List: ["validity", "offsets"],
  Struct_: ["validity"],
  // A dense union has offsets too: see buffersOf.
  Union: ["typeIds"],
  FixedSizeBinary: FIXED,
  FixedSizeList: ["validity"],
  Map: ["validity", "offsets"],
  Duration: FIXED,
  LargeBinary: LARGE,
  LargeUtf8: LARGE,
  LargeList: ["validity", "largeOffsets"],
  RunEndEncoded: [],
  BinaryView: VIEWS,
  Utf8View: VIEWS,
  ListView: LIST_VIEWS,
  LargeListView: LIST_VIEWS,
};

function isTypeName(name: string): name is TypeName {
  return Object.hasOwn(BUFFERS, name);
}

/** Before V5, unions had a validity bitmap. */
function buffersOf(
  type: TypeName,
  detail: Table | null,
  version: MetadataVersionName,
): readonly BufferKind[] {
  if (type !== "Union") return BUFFERS[type];
  const dense = detail?.int16(0) === 1;
  const buffers: readonly BufferKind[] = dense ? ["typeIds", "values"] : BUFFERS.Union;
  return version === "V4" ? ["validity", ...buffers] : buffers;
}

/**
 * Bits of one of a type's `values`; of list views and dense unions: of their
 * offsets. The numbers are ids of fields in the type's own table, then what
 * their absence means.
 */
const BITS: Readonly<Partial<Record<TypeName, (detail: Table) => number>>> = {
  Int: (detail) => detail.int32(0),
  FloatingPoint: (detail) => [16, 32, 64][detail.int16(0)] ?? 0,
  Bool: () => 1,
  Decimal: (detail) => detail.int32(2, 128),
  Date: (detail) => (detail.int16(0, 1) === 0 ? 32 : 64),
  Time: (detail) => detail.int32(1, 32),
  Timestamp: () => 64,
  Interval: (detail) => [32, 64, 128][detail.int16(0)] ?? 0,
  Duration: () => 64,
  FixedSizeBinary: (detail) => 8 * detail.int32(0),
  ListView: () => 32,
  LargeListView: () => 64,
  Union: () => 32,
};

function bitsOf(type: TypeName, detail: Table | null): number {
  return detail === null ? 0 : (BITS[type]?.(detail) ?? 0);
}
