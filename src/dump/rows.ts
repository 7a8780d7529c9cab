/** The rows of a record batch, by the columns of the contract. */

import { counted } from "../core/counted.ts";
import type { Field } from "./arrow-schema.ts";
import { MAX_AXES, MAX_INDEX_BYTES, MAX_INT32, MAX_ROWS, MAX_TEXT_BYTES } from "./bounds.ts";
import { integersOf, type LoadedBuffers, listRangesOf, spansOf, validityOf } from "./columns.ts";
import { COLUMNS, type ColumnName, isColumnName } from "./contract.ts";
import type { TensorFacts } from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import type { Columns } from "./find-columns.ts";
import type { RecordBatch } from "./record-batch.ts";
import { neighbours, type Region } from "./regions.ts";
import { statsColumn } from "./stats-column.ts";

/** One row: one chunk of one tensor, every number in the range of its column. */
export interface Row extends TensorFacts {
  /** `record batch 3, row 2`: for messages. */
  readonly label: string;
  readonly dtype: string;
  readonly start: number;
  readonly encoding: string;
  /** Where its data lies in the file. */
  readonly data: Region;
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
  #rowsLeft = MAX_ROWS;

  constructor(file: DumpFile, columns: Columns) {
    this.#file = file;
    this.#columns = columns;
  }

  /**
   * @throws NpuDiffError `dump-corrupt`, `dump-too-large`
   */
  *read(batch: RecordBatch): Generator<Row, void, undefined> {
    this.#count(batch);
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

  #count(batch: RecordBatch): void {
    this.#rowsLeft -= batch.rows;
    if (this.#rowsLeft >= 0) return;
    throw this.#file.fail("dump-too-large", `${this.#file.name} has too many rows`, {
      found: `${counted(MAX_ROWS - this.#rowsLeft, "row")} by ${batch.label}`,
      expected: `at most ${MAX_ROWS}`,
    });
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
          found: `${counted(length, "byte")} in row ${row}`,
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
