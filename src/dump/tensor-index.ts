/** Gathers rows into tensors: every chunk in its place, every tensor whole. */

import { DTYPES, type DType, isDType } from "../core/dtype.ts";
import type { NpuDiffError } from "../core/errors.ts";
import { MAX_COUNT } from "./bounds.ts";
import { RUN_END } from "./contract.ts";
import type { TensorChunk, TensorEntry } from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import type { Region } from "./regions.ts";
import type { Row } from "./rows.ts";

/** A tensor of which some chunks have been seen. */
interface PartialTensor {
  readonly entry: TensorEntry & { chunks: TensorChunk[] };
  /** Length of axis 0; a scalar has one row. */
  readonly rows: number;
  /** Bytes of one row in the file; 0 where rows have no data. */
  readonly rowBytes: number;
  /** Where the chunks so far start; null before the first. */
  starts: number[] | null;
  /** Rows that they cover. */
  covered: number;
}

/** What tensors without data share; never written to. */
const NO_CHUNKS: TensorChunk[] = [];

export class TensorIndex {
  readonly #file: DumpFile;
  readonly #sketchSize: number | null;
  readonly #tensors = new Map<string, PartialTensor>();
  #end: Region | null = null;

  /** @param sketchSize components of each row of a sketch, null where the file has none */
  constructor(file: DumpFile, sketchSize: number | null) {
    this.#file = file;
    this.#sketchSize = sketchSize;
  }

  /** Where the JSON of `run.end` lies; null while that row has not come. */
  get end(): Region | null {
    return this.#end;
  }

  /**
   * Takes the next row of the file.
   *
   * @throws NpuDiffError `dump-corrupt`, `duplicate-rows`
   */
  add(row: Row): void {
    if (this.#end !== null) {
      throw this.#file.corrupt(`${row.label} follows the row ${RUN_END}`, {
        found: `a row ${row.name} after the last one`,
        expected: `${RUN_END} as the last row`,
      });
    }
    const key = `${row.sample},${row.step},${row.repeat},${row.rank},${row.name}`;
    let tensor = this.#tensors.get(key);
    if (tensor === undefined) tensor = this.#begin(row);
    else this.#agree(tensor.entry, row);
    this.#cover(tensor, row);
    if (row.name === RUN_END) this.#finish(tensor, row);
    else this.#tensors.set(key, tensor);
  }

  /**
   * The tensors in order of their first rows.
   *
   * @param repaired whether tensors without all their rows are left out instead of refused
   * @throws NpuDiffError `dump-corrupt`
   */
  tensors(repaired: boolean): TensorEntry[] {
    const whole: TensorEntry[] = [];
    for (const { entry, covered, rows } of this.#tensors.values()) {
      if (covered === rows) whole.push(entry);
      else if (!repaired) {
        throw this.#file.corrupt(`${describe(entry)} lacks rows`, {
          found: `rows 0 to ${covered}`,
          expected: `rows 0 to ${rows}`,
        });
      }
    }
    return whole;
  }

  /** How many tensors have all their rows. */
  get complete(): number {
    let complete = 0;
    for (const { covered, rows } of this.#tensors.values()) if (covered === rows) complete += 1;
    return complete;
  }

  /** The first `most` of the tensors that lack rows, as `name@sample.step`. */
  incomplete(most: number): string[] {
    const names: string[] = [];
    for (const { entry, covered, rows } of this.#tensors.values()) {
      if (names.length === most) break;
      if (covered < rows) names.push(describe(entry));
    }
    return names;
  }

  #begin(row: Row): PartialTensor {
    const { name, kind, layer, module, sample, step, repeat, rank, shape, stats } = row;
    if (name === "") throw this.#corrupt(row, "has an empty name", "0 bytes", "1 byte or more");
    const { dtype, encoding } = row;
    if (!isDType(dtype)) {
      throw this.#corrupt(row, "has an unknown dtype", dtype, Object.keys(DTYPES).join(" "));
    }
    if (encoding !== "dense" && encoding !== "stats" && encoding !== "sketch") {
      throw this.#corrupt(row, "has an unknown encoding", encoding, "dense, stats or sketch");
    }
    if (encoding === "stats" && stats === null) {
      throw this.#corrupt(row, "has no statistics", "encoding stats without stats", "stats");
    }
    const { rows, elements } = this.#sizeOf(row, dtype);
    const rowBytes = this.#rowBytes(row, encoding, dtype, rows, elements);
    // Written out: objects that are put together from others take twice the memory.
    const entry: PartialTensor["entry"] = {
      name,
      kind,
      layer,
      module,
      sample,
      step,
      repeat,
      rank,
      dtype,
      shape,
      encoding,
      stats,
      elements,
      chunks: NO_CHUNKS,
    };
    return { entry, rows, rowBytes, starts: null, covered: 0 };
  }

  #sizeOf(row: Row, dtype: DType): { readonly rows: number; readonly elements: number } {
    let elements = 1;
    for (const length of row.shape) elements *= length;
    const legal = row.shape.every((length) => length >= 0);
    // Some axis of length 0 makes any other legal.
    if (!legal || elements * DTYPES[dtype].bytes > MAX_COUNT || Number.isNaN(elements)) {
      const found = `[${row.shape.join(", ")}] of ${dtype}`;
      throw this.#corrupt(row, "has an impossible shape", found, `at most ${MAX_COUNT} bytes`);
    }
    return { rows: row.shape[0] ?? 1, elements };
  }

  #rowBytes(
    row: Row,
    encoding: TensorEntry["encoding"],
    dtype: DType,
    rows: number,
    elements: number,
  ): number {
    if (encoding === "stats" || rows === 0) return 0;
    if (encoding === "dense") return (elements / rows) * DTYPES[dtype].bytes;
    if (this.#sketchSize !== null) return 4 * this.#sketchSize;
    throw this.#corrupt(
      row,
      "is a sketch of unknown size",
      "no capture.sketch.k",
      "it in the metadata",
    );
  }

  #agree(entry: TensorEntry, row: Row): void {
    for (const key of ["dtype", "kind", "encoding", "layer", "module"] as const) {
      if (entry[key] === row[key]) continue;
      throw this.#corrupt(
        row,
        `has another ${key} than its tensor`,
        `${row[key]}`,
        `${entry[key]}`,
      );
    }
    if (
      entry.shape.length === row.shape.length &&
      entry.shape.every((n, i) => n === row.shape[i])
    ) {
      return;
    }
    const [found, expected] = [row.shape.join(", "), entry.shape.join(", ")];
    throw this.#corrupt(row, "has another shape than its tensor", `[${found}]`, `[${expected}]`);
  }

  /** Places the row's data behind what has come of its tensor. */
  #cover(tensor: PartialTensor, row: Row): void {
    const { entry, rows, rowBytes, starts, covered } = tensor;
    const { start, data } = row;
    // A tensor without rows has one empty chunk.
    if (start !== covered || (rows === 0 && starts !== null)) throw this.#misplaced(tensor, row);
    // Rows without data come all at once.
    const length = rowBytes === 0 ? rows : data.length / rowBytes;
    const fits =
      rowBytes === 0
        ? data.length === 0
        : Number.isInteger(length) && length > 0 && covered + length <= rows;
    if (!fits) {
      const found = `${data.length} bytes from row ${start} on`;
      const expected = `1 to ${rows - covered} rows of ${rowBytes} bytes each`;
      const what = "has data that does not fit its shape";
      throw this.#corrupt(row, what, found, rowBytes === 0 ? "no bytes" : expected);
    }
    // An array that begins with its element has room for one; nearly every tensor has one chunk.
    if (entry.encoding === "dense" && data.length > 0) {
      const chunk = { offset: start * rowBytes, position: data.position, bytes: data.length };
      if (entry.chunks === NO_CHUNKS) entry.chunks = [chunk];
      else entry.chunks.push(chunk);
    }
    if (starts === null) tensor.starts = [start];
    else starts.push(start);
    tensor.covered = covered + length;
  }

  #misplaced({ starts, covered }: PartialTensor, row: Row): NpuDiffError {
    const { start } = row;
    if (starts?.includes(start) !== true) {
      const what = start < covered ? "overlaps the chunk before it" : "leaves a gap";
      return this.#corrupt(row, what, `a chunk from row ${start} on`, `one from row ${covered} on`);
    }
    return this.#file.fail(
      "duplicate-rows",
      `${this.#file.name} holds the same rows twice`,
      {
        found: `${describe(row)} from row ${start} on, again in ${row.label}`,
        expected: "each chunk once",
      },
      "capture the dump again, into one file by one writer",
    );
  }

  #finish({ entry, rows, covered }: PartialTensor, row: Row): void {
    const { dtype, encoding, shape } = entry;
    if (dtype !== "U8" || encoding !== "dense" || shape.length !== 1 || covered !== rows) {
      const found = `${encoding} ${dtype} [${shape.join(", ")}], ${row.data.length} bytes`;
      throw this.#corrupt(
        row,
        "is an end that cannot be read",
        found,
        "one dense chunk of U8 [bytes]",
      );
    }
    this.#end = row.data;
  }

  #corrupt(row: Row, what: string, found: string, expected: string): NpuDiffError {
    const disagreement = { found: `${found}, for ${describe(row)}`, expected };
    return this.#file.corrupt(`${row.label} ${what}`, disagreement);
  }
}

function describe({ name, sample, step }: { name: string; sample: number; step: number }): string {
  return `${name}@${sample}.${step}`;
}
