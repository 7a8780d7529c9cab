/** The rows of a record batch, by the columns of the contract. */

import { Type } from "apache-arrow/fb/type";
import { type Field, type Schema } from "./arrow-schema.ts";
import { MAX_AXES, MAX_INDEX_BYTES, MAX_INT32, MAX_TEXT_BYTES } from "./bounds.ts";
import {
  describeColumn,
  floatsOf,
  integersOf,
  type LoadedBuffers,
  listRangesOf,
  spansOf,
  validityOf,
} from "./columns.ts";
import { COLUMNS, type ColumnKind, type ColumnName, isColumnName, STATISTICS } from "./contract.ts";
import type { TensorStats } from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import type { RecordBatch, Region } from "./record-batch.ts";

/** One row: one chunk of one tensor, every number in the range of its column. */
export interface Row {
  /** `record batch 3, row 2`: for messages. */
  readonly label: string;
  readonly name: string;
  readonly kind: string;
  readonly layer: number | null;
  readonly module: string | null;
  readonly sample: number;
  readonly step: number;
  readonly repeat: number;
  readonly rank: number;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly encoding: string;
  /** Where its data lies in the file. */
  readonly data: Region;
  readonly stats: TensorStats | null;
}

/** The columns that a file has. */
export type Columns = Readonly<Partial<Record<ColumnName, Field>>>;

const ACCEPTED: Readonly<Record<ColumnKind, { types: readonly Type[]; words: string }>> = {
  text: { types: [Type.Utf8, Type.LargeUtf8, Type.Utf8View], words: "Utf8, LargeUtf8 or Utf8View" },
  integer: { types: [Type.Int], words: "an integer" },
  integers: { types: [Type.List, Type.LargeList], words: "a List or LargeList of integers" },
  bytes: {
    types: [Type.LargeBinary, Type.Binary, Type.BinaryView],
    words: "LargeBinary, Binary or BinaryView",
  },
  statistics: { types: [Type.Struct_], words: `a struct of ${STATISTICS.join(", ")}` },
};

/**
 * Finds the contract's columns by name; others are ignored.
 *
 * @throws NpuDiffError `dump-schema` where one is missing, there twice, or of a type that cannot hold it
 */
export function findColumns(file: DumpFile, schema: Schema): Columns {
  const columns: Partial<Record<ColumnName, Field>> = {};
  for (const field of schema.fields) {
    if (!isColumnName(field.name)) continue;
    if (columns[field.name] !== undefined) {
      throw file.fail("dump-schema", `${file.name} has a column twice`, {
        found: `two columns ${field.name}`,
        expected: "every column once",
      });
    }
    const { types, words } = ACCEPTED[COLUMNS[field.name].kind];
    if (field.dictionary || !types.includes(field.type) || !hasParts(field)) {
      throw file.fail("dump-schema", `${file.name} has a column of another type`, {
        found: describeColumn(field),
        expected: words,
      });
    }
    columns[field.name] = field;
  }
  for (const name of Object.keys(COLUMNS) as ColumnName[]) {
    if (columns[name] !== undefined || !COLUMNS[name].required) continue;
    throw file.fail("dump-schema", `${file.name} lacks the column ${name}`, {
      found: `the columns ${schema.fields.map((field) => field.name).join(", ")}`,
      expected: `a column ${name}`,
    });
  }
  return columns;
}

/** Whether a column's own parts are as its kind needs them. */
function hasParts(field: Field): boolean {
  switch (field.type) {
    case Type.Int:
      return isInteger(field);
    case Type.List:
    case Type.LargeList:
      return field.children.length === 1 && field.children.every(isInteger);
    case Type.Struct_:
      return STATISTICS.every((name, index) => {
        const parts = field.children.filter((child) => child.name === name);
        return parts.length === 1 && parts.every(index < 4 ? isReal : isInteger);
      });
    default:
      return true;
  }
}

function isInteger(field: Field): boolean {
  return field.type === Type.Int && !field.dictionary && [8, 16, 32, 64].includes(field.bits);
}

function isReal(field: Field): boolean {
  return field.type === Type.FloatingPoint && !field.dictionary && [32, 64].includes(field.bits);
}

/**
 * Reads the rows of the batches of one file. Texts and shapes that repeat are
 * held once.
 */
export class RowReader {
  readonly #file: DumpFile;
  readonly #columns: Columns;
  readonly #texts = new Map<string, string>();
  readonly #shapes = new Map<string, readonly number[]>();
  #bytesLeft = MAX_INDEX_BYTES;

  constructor(file: DumpFile, columns: Columns) {
    this.#file = file;
    this.#columns = columns;
  }

  /**
   * @throws NpuDiffError `dump-corrupt`, `dump-too-large`
   */
  *read(batch: RecordBatch): Generator<Row, void, undefined> {
    if (batch.rows === 0) return;
    const columns = this.#columns;
    const loaded = this.#load(batch);
    const text = (name: ColumnName, absent: string | null) => {
      return this.#textColumn(batch, columns[name], loaded, absent);
    };
    const int32 = (name: ColumnName, least: number, absent: number | null) => {
      return integerColumn(batch, columns[name], loaded, least, MAX_INT32, absent);
    };
    const read = {
      name: text("name", null),
      kind: text("kind", null),
      layer: int32("layer", 0, null),
      module: text("module", null),
      sample: int32("sample", -1, null),
      step: int32("step", 0, null),
      repeat: int32("repeat", 0, 0),
      rank: int32("rank", 0, 0),
      dtype: text("dtype", null),
      shape: this.#shapeColumn(batch, columns.shape as Field, loaded),
      start: integerColumn(batch, columns.start, loaded, 0, Number.MAX_SAFE_INTEGER, 0),
      encoding: text("encoding", "dense"),
      data: dataColumn(batch, columns.data as Field, loaded),
      stats: statsColumn(batch, columns.stats, loaded),
    };
    for (let row = 0; row < batch.rows; row++) {
      yield {
        label: `${batch.label}, row ${row}`,
        // Not-null columns: their readers give a value or throw.
        name: read.name(row) as string,
        kind: read.kind(row) as string,
        layer: read.layer(row),
        module: read.module(row),
        sample: read.sample(row) as number,
        step: read.step(row) as number,
        repeat: read.repeat(row) as number,
        rank: read.rank(row) as number,
        dtype: read.dtype(row) as string,
        shape: read.shape(row),
        start: read.start(row) as number,
        encoding: read.encoding(row) as string,
        data: read.data(row),
        stats: read.stats(row),
      };
    }
  }

  /** Reads the buffers of all columns but the tensors' data, neighbours together. */
  #load(batch: RecordBatch): LoadedBuffers {
    const wanted: Region[] = [];
    const add = (field: Field): void => {
      wanted.push(...batch.regions(field));
      field.children.forEach(add);
    };
    for (const field of Object.values(this.#columns)) {
      if (field === this.#columns.data) wanted.push(...batch.regions(field).slice(0, 2));
      else add(field);
    }
    const loaded = new Map<Region, Uint8Array>();
    for (const group of neighbours(wanted)) {
      this.#bytesLeft -= group.length;
      if (this.#bytesLeft < 0) {
        throw this.#file.fail("dump-too-large", `${this.#file.name} has too large an index`, {
          found: `more than ${MAX_INDEX_BYTES} bytes of names, shapes and statistics`,
          expected: `at most ${MAX_INDEX_BYTES}`,
        });
      }
      const bytes = this.#file.read(group.position, group.length);
      for (const region of group.regions) {
        const at = region.position - group.position;
        loaded.set(region, bytes.subarray(at, at + region.length));
      }
    }
    return loaded;
  }

  #textColumn(
    batch: RecordBatch,
    field: Field | undefined,
    loaded: LoadedBuffers,
    absent: string | null,
  ): (row: number) => string | null {
    if (field === undefined) return () => absent;
    const valid = validityOf(batch, field, loaded, isNullable(field));
    const span = spansOf(batch, field, loaded);
    const buffers = batch.regions(field).map((region) => {
      const { buffer, byteOffset, byteLength } = loaded.get(region) as Uint8Array;
      return Buffer.from(buffer, byteOffset, byteLength);
    });
    return (row) => {
      if (!valid(row)) return null;
      const { buffer, start, length } = span(row);
      if (length > MAX_TEXT_BYTES) {
        throw batch.corrupt(`a text of ${field.name} is too long`, {
          found: `${length} bytes in row ${row}`,
          expected: `at most ${MAX_TEXT_BYTES}`,
        });
      }
      const bytes = (buffers[buffer] as Buffer).subarray(start, start + length);
      return this.#text(bytes) ?? notUtf8(batch, field, row);
    };
  }

  /** The text of `bytes`, held once; null where they are not UTF-8. */
  #text(bytes: Buffer): string | null {
    const key = bytes.toString("latin1");
    const known = this.#texts.get(key);
    if (known !== undefined) return known;
    let text: string;
    try {
      text = UTF8.decode(bytes);
    } catch {
      return null;
    }
    this.#texts.set(key, text);
    return text;
  }

  #shapeColumn(
    batch: RecordBatch,
    field: Field,
    loaded: LoadedBuffers,
  ): (row: number) => readonly number[] {
    validityOf(batch, field, loaded, false);
    const child = field.children[0] as Field;
    validityOf(batch, child, loaded, false);
    const range = listRangesOf(batch, field, loaded);
    const axis = integersOf(batch, child, loaded);
    return (row) => {
      const [start, end] = range(row);
      if (end - start > MAX_AXES) {
        throw batch.corrupt("a shape has too many axes", {
          found: `${end - start} axes in row ${row}`,
          expected: `at most ${MAX_AXES}`,
        });
      }
      const shape = Array.from({ length: end - start }, (_, i) => axis(start + i));
      const key = shape.join();
      const known = this.#shapes.get(key);
      if (known !== undefined) return known;
      this.#shapes.set(key, shape);
      return shape;
    };
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function notUtf8(batch: RecordBatch, field: Field, row: number): never {
  throw batch.corrupt(`a text of ${field.name} is not UTF-8`, {
    found: `invalid bytes in row ${row}`,
    expected: "UTF-8",
  });
}

function isNullable(field: Field): boolean {
  return isColumnName(field.name) && COLUMNS[field.name].nullable;
}

function integerColumn(
  batch: RecordBatch,
  field: Field | undefined,
  loaded: LoadedBuffers,
  least: number,
  most: number,
  absent: number | null,
): (row: number) => number | null {
  if (field === undefined) return () => absent;
  const valid = validityOf(batch, field, loaded, isNullable(field));
  const integer = integersOf(batch, field, loaded);
  return (row) => {
    if (!valid(row)) return null;
    const value = integer(row);
    if (value >= least && value <= most) return value;
    throw batch.corrupt(`${field.name} is out of range`, {
      found: `${value} in row ${row}`,
      expected: `${least} to ${most}`,
    });
  };
}

function dataColumn(
  batch: RecordBatch,
  field: Field,
  loaded: LoadedBuffers,
): (row: number) => Region {
  validityOf(batch, field, loaded, false);
  const span = spansOf(batch, field, loaded);
  const regions = batch.regions(field);
  return (row) => {
    const { buffer, start, length } = span(row);
    return { position: (regions[buffer]?.position ?? 0) + start, length };
  };
}

/** `min max mean rms` are NaN where they are null: a tensor may have no finite value. */
function statsColumn(
  batch: RecordBatch,
  field: Field | undefined,
  loaded: LoadedBuffers,
): (row: number) => TensorStats | null {
  if (field === undefined) return () => null;
  const valid = validityOf(batch, field, loaded, true);
  const part = (name: (typeof STATISTICS)[number]): Field => {
    const child = field.children.find((candidate) => candidate.name === name) as Field;
    if (batch.node(child).length >= batch.rows) return child;
    throw batch.corrupt(`${field.name}.${name} is shorter than the batch`, {
      found: `${batch.node(child).length} values`,
      expected: `${batch.rows}`,
    });
  };
  const real = (name: (typeof STATISTICS)[number]): ((row: number) => number) => {
    const child = part(name);
    const there = validityOf(batch, child, loaded, true);
    const value = floatsOf(batch, child, loaded);
    return (row) => (there(row) ? value(row) : NaN);
  };
  const tally = (name: (typeof STATISTICS)[number]): ((row: number) => number) => {
    const child = part(name);
    const there = validityOf(batch, child, loaded, true);
    const value = integersOf(batch, child, loaded);
    return (row) => {
      const found = there(row) ? value(row) : null;
      if (found !== null && found >= 0) return found;
      throw batch.corrupt(`${field.name}.${name} is no count`, {
        found: `${found} in row ${row}`,
        expected: "0 or more",
      });
    };
  };
  const [min, max, mean, rms] = [real("min"), real("max"), real("mean"), real("rms")];
  const [nan, posInf, negInf] = [tally("nan"), tally("posinf"), tally("neginf")];
  return (row) => {
    if (!valid(row)) return null;
    return {
      min: min(row),
      max: max(row),
      mean: mean(row),
      rms: rms(row),
      nan: nan(row),
      posInf: posInf(row),
      negInf: negInf(row),
    };
  };
}

/** Gaps up to a page are cheaper read than skipped. */
const MAX_GAP = 4096;

interface Group extends Region {
  readonly regions: readonly Region[];
}

/** Gathers regions that lie close together, so that each group is one read. */
function neighbours(regions: readonly Region[]): Group[] {
  const groups: { position: number; length: number; regions: Region[] }[] = [];
  for (const region of regions.toSorted((a, b) => a.position - b.position)) {
    const last = groups.at(-1);
    if (last !== undefined && region.position <= last.position + last.length + MAX_GAP) {
      last.length = Math.max(last.length, region.position + region.length - last.position);
      last.regions.push(region);
    } else {
      groups.push({ ...region, regions: [region] });
    }
  }
  return groups;
}
