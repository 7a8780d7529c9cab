/**
 * Arrow files with any rows, legal or not, made with apache-arrow's own
 * builders: what a reader of dumps must be able to refuse.
 */

import {
  type DataType,
  Field,
  Float64,
  Int32,
  Int64,
  LargeBinary,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from "apache-arrow";

/** One row; what is absent has a legal value. */
export interface TestRow {
  readonly name?: string | null;
  readonly kind?: string;
  readonly layer?: number | null;
  readonly module?: string | null;
  readonly sample?: number | null;
  readonly step?: number;
  readonly repeat?: number;
  readonly rank?: number;
  readonly dtype?: string;
  readonly shape?: readonly number[] | null;
  readonly start?: number;
  readonly encoding?: string;
  readonly data?: Uint8Array | null;
  readonly stats?: Readonly<Record<string, number | bigint | null>> | null;
}

export interface ArrowFileOptions {
  /** Columns that are left out. */
  readonly without?: readonly string[];
  /** Columns of another type than the contract's, with their values. */
  readonly columns?: Readonly<Record<string, readonly [DataType, (row: number) => unknown]>>;
  /** A second column of this name. */
  readonly twice?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Rows of each batch; all in one by default. */
  readonly batches?: readonly number[];
}

export const RUN = { tool: { name: "test", version: "0" }, id: "ab12", dtype: "F32" } as const;

export const METADATA: Readonly<Record<string, string>> = {
  "npu_diff.version": "1",
  "npu_diff.run": JSON.stringify(RUN),
};

/** The last row of a dump. */
export function runEnd(end: unknown = { complete: true }): TestRow {
  const data = new TextEncoder().encode(typeof end === "string" ? end : JSON.stringify(end));
  return { name: "run.end", kind: "meta", sample: -1, dtype: "U8", shape: [data.length], data };
}

/** A row of F32 zeros. */
export function zeros(name: string, shape: readonly number[], row: TestRow = {}): TestRow {
  const elements = shape.reduce((product, length) => product * length, 1);
  return { name, shape, data: new Uint8Array(4 * elements), ...row };
}

const STATS = new Struct([
  ...["min", "max", "mean", "rms"].map((name) => new Field(name, new Float64(), true)),
  ...["nan", "posinf", "neginf"].map((name) => new Field(name, new Int64(), true)),
]);

const CONTRACT: readonly (readonly [string, DataType, (row: TestRow) => unknown])[] = [
  ["name", new Utf8(), (row) => row.name],
  ["kind", new Utf8(), (row) => row.kind ?? "hidden"],
  ["layer", new Int32(), (row) => row.layer ?? null],
  ["module", new Utf8(), (row) => row.module ?? null],
  ["sample", new Int32(), (row) => (row.sample === undefined ? 0 : row.sample)],
  ["step", new Int32(), (row) => row.step ?? 0],
  ["repeat", new Int32(), (row) => row.repeat ?? 0],
  ["rank", new Int32(), (row) => row.rank ?? 0],
  ["dtype", new Utf8(), (row) => row.dtype ?? "F32"],
  [
    "shape",
    new List(new Field("item", new Int64(), true)),
    (row) => (row.shape === null ? null : (row.shape ?? []).map(BigInt)),
  ],
  ["start", new Int64(), (row) => BigInt(row.start ?? 0)],
  ["encoding", new Utf8(), (row) => row.encoding ?? "dense"],
  ["data", new LargeBinary(), (row) => (row.data === undefined ? new Uint8Array(4) : row.data)],
  ["stats", STATS, (row) => row.stats ?? null],
];

/** The bytes of an Arrow IPC file. Every column is nullable, so that nulls can be tried. */
export function arrowFile(rows: readonly TestRow[], options: ArrowFileOptions = {}): Uint8Array {
  const { without = [], columns = {}, twice, metadata = METADATA } = options;
  const all: [string, DataType, (row: number) => unknown][] = [];
  for (const [name, type, value] of CONTRACT) {
    if (without.includes(name) || Object.hasOwn(columns, name)) continue;
    all.push([name, type, (i) => value(rows[i] as TestRow)]);
    if (twice === name) all.push([name, type, (i) => value(rows[i] as TestRow)]);
  }
  for (const [name, [type, value]] of Object.entries(columns)) all.push([name, type, value]);
  const schema = new Schema(
    all.map(([name, type]) => new Field(name, type, true)),
    new Map(Object.entries(metadata)),
  );
  let from = 0;
  const batches = (options.batches ?? [rows.length]).map((length) => {
    const children = all.map(([, type, value]) => {
      const values = Array.from({ length }, (_, i) => value(from + i));
      return vectorFromArray(values, type).data[0] ?? makeData({ type, length: 0 });
    });
    from += length;
    return new RecordBatch(
      schema,
      makeData({ type: new Struct(schema.fields), length, nullCount: 0, children }),
    );
  });
  return tableToIPC(new Table(schema, batches), "file");
}
