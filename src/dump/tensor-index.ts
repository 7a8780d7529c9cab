/** Gathers rows into tensors: every chunk in its place, every tensor whole. */

import { counted } from "../core/counted.ts";
import { DTYPES, type DType, isDType, isFloatDType } from "../core/dtype.ts";
import type { NpuDiffError } from "../core/errors.ts";
import { MAX_COUNT } from "./bounds.ts";
import { RUN_END } from "./contract.ts";
import type { TensorChunk, TensorEntry } from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import type { RankPart } from "./rank-part.ts";
import type { Region } from "./regions.ts";
import type { Row } from "./rows.ts";
import type { Share } from "./shards.ts";
import { misfit, type RankEntry, type Slice } from "./slice.ts";

/** A tensor of which some chunks have been seen. */
interface PartialTensor {
  readonly entry: RankEntry & { chunks: TensorChunk[] };
  /** Rows of axis 0 that belong here, a scalar's being one; without an end where only the rows themselves say how many. */
  readonly first: number;
  readonly end: number;
  /** Bytes of one row in the file; 0 where rows have no data. */
  readonly rowBytes: number;
  /** Where the chunks so far start; null before the first. */
  starts: number[] | null;
  /** The row up to which they cover. */
  covered: number;
}

/** What tensors without data share; never written to. */
const NO_CHUNKS: TensorChunk[] = [];

export class TensorIndex {
  readonly #file: DumpFile;
  readonly #sketchSize: number | null;
  readonly #part: RankPart | null;
  readonly #tensors = new Map<string, PartialTensor>();
  #end: Region | null = null;

  /**
   * @param sketchSize components of each row of a sketch, null where the file has none
   * @param part which rank's tensors these are, null where they are whole
   */
  constructor(file: DumpFile, sketchSize: number | null, part: RankPart | null) {
    this.#file = file;
    this.#sketchSize = sketchSize;
    this.#part = part;
  }

  /** Where the JSON of `run.end` lies; null while that row has not come. */
  get end(): Region | null {
    return this.#end;
  }

  /**
   * Takes the next row of the file.
   *
   * @throws NpuDiffError `dump-corrupt`, `duplicate-rows`, `shards-invalid`
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
  tensors(repaired: boolean): RankEntry[] {
    const whole: RankEntry[] = [];
    for (const tensor of this.#tensors.values()) {
      const { entry, first, covered, end } = tensor;
      if (isWhole(tensor)) whole.push(end === Infinity ? measured(tensor) : entry);
      else if (!repaired) {
        throw this.#file.corrupt(`${describe(entry)} lacks rows`, {
          found: `rows ${first} to ${covered}`,
          expected: `rows ${first} to ${end}`,
        });
      }
    }
    return whole;
  }

  /** How many tensors have all their rows. */
  get complete(): number {
    let complete = 0;
    for (const tensor of this.#tensors.values()) if (isWhole(tensor)) complete += 1;
    return complete;
  }

  /** The first `most` of the tensors that lack rows, as `name@sample.step`. */
  incomplete(most: number): string[] {
    const names: string[] = [];
    for (const tensor of this.#tensors.values()) {
      if (names.length === most) break;
      if (!isWhole(tensor)) names.push(describe(tensor.entry));
    }
    return names;
  }

  #begin(row: Row): PartialTensor {
    const { name, kind, layer, module, sample, step, repeat, rank, stats } = row;
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
    const slice = this.#sliceOf(row, dtype, encoding);
    const shape = slice === null ? row.shape : row.shape.with(slice.axis, slice.length);
    if (slice !== null) this.#elementsOf(row, row.shape, dtype);
    const elements = this.#elementsOf(row, shape, dtype);
    const rows = shape[0] ?? 1;
    const rowBytes = this.#rowBytes(row, encoding, dtype, shape);
    const first = slice?.axis === 0 ? slice.start : 0;
    const end = slice?.axis === 0 && this.#isOpen(row) && rowBytes > 0 ? Infinity : first + rows;
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
    const rest = { first, end, rowBytes, starts: null, covered: first };
    return { entry: slice === null ? entry : { ...entry, slice }, ...rest };
  }

  /** What `run.shards` says of the row's tensor; null of a whole dump's. */
  #shareOf({ name }: Row): Share | null {
    return this.#part === null || name === RUN_END ? null : this.#part.shards.of(name);
  }

  /** Whether a slice along axis 0 says itself neither where it starts nor how long it is. */
  #isOpen(row: Row): boolean {
    const share = this.#shareOf(row);
    return share?.kind === "slice" && share.length === null;
  }

  /** Which part of its tensor a row is; null where it is all of it, or a term of a sum. */
  #sliceOf(row: Row, dtype: DType, encoding: TensorEntry["encoding"]): Slice | null {
    if (this.#part === null || row.name === RUN_END) return null;
    if (row.rank !== this.#part.rank) {
      const found = `rank ${row.rank}`;
      throw this.#corrupt(row, "is of another rank than its file", found, `${this.#part.rank}`);
    }
    const share = this.#shareOf(row);
    const { shape } = row;
    const wrong =
      share === null
        ? { found: "no glob that matches", expected: "an axis, replicated, or a partial sum" }
        : misfit(share, { shape, encoding, isFloat: isFloatDType(dtype) });
    if (wrong !== null) {
      throw this.#file.fail(
        "shards-invalid",
        `${this.#file.name}: run.shards does not say how ${describe(row)} was shared out`,
        wrong,
        `add ${JSON.stringify(row.name)} to run.shards of every rank, as it was computed`,
      );
    }
    if (share?.kind !== "slice") return null;
    const { axis, length, start } = share;
    if (axis === 0 && start !== null && row.start !== start) {
      const expected = `index ${start}, as run.shards says`;
      throw this.#corrupt(row, "starts elsewhere than its slice", `index ${row.start}`, expected);
    }
    return { whole: shape, axis, start: start ?? row.start, length: length ?? 1 };
  }

  #elementsOf(row: Row, shape: readonly number[], dtype: DType): number {
    let elements = 1;
    for (const length of shape) elements *= length;
    const legal = shape.every((length) => length >= 0);
    // Some axis of length 0 makes any other legal.
    if (!legal || elements * DTYPES[dtype].bytes > MAX_COUNT || Number.isNaN(elements)) {
      const found = `[${shape.join(", ")}] of ${dtype}`;
      throw this.#corrupt(row, "has an impossible shape", found, `at most ${MAX_COUNT} bytes`);
    }
    return elements;
  }

  #rowBytes(
    row: Row,
    encoding: TensorEntry["encoding"],
    dtype: DType,
    shape: readonly number[],
  ): number {
    const [rows = 1, ...rest] = shape;
    if (encoding === "stats" || rows === 0) return 0;
    if (encoding === "dense") {
      return rest.reduce((product, length) => product * length, DTYPES[dtype].bytes);
    }
    if (this.#sketchSize !== null) return 4 * this.#sketchSize;
    throw this.#corrupt(
      row,
      "is a sketch of unknown size",
      "no capture.sketch.k",
      "it in the metadata",
    );
  }

  #agree(entry: RankEntry, row: Row): void {
    for (const key of ["dtype", "kind", "encoding", "layer", "module"] as const) {
      if (entry[key] === row[key]) continue;
      throw this.#corrupt(
        row,
        `has another ${key} than its tensor`,
        `${row[key]}`,
        `${entry[key]}`,
      );
    }
    const shape = entry.slice?.whole ?? entry.shape;
    if (shape.length === row.shape.length && shape.every((n, i) => n === row.shape[i])) return;
    const [found, expected] = [row.shape.join(", "), shape.join(", ")];
    throw this.#corrupt(row, "has another shape than its tensor", `[${found}]`, `[${expected}]`);
  }

  /** Places the row's data behind what has come of its tensor. */
  #cover(tensor: PartialTensor, row: Row): void {
    const { entry, first, end, rowBytes, starts, covered } = tensor;
    const { start, data } = row;
    // A tensor without rows has one empty chunk.
    const isEmpty = covered === first && starts !== null;
    if (start !== covered || isEmpty) throw this.#misplaced(tensor, row);
    // Rows without data come all at once.
    const length = rowBytes === 0 ? end - first : data.length / rowBytes;
    // Only a slice that does not know its length may turn out to have none.
    const least = end === Infinity && starts === null ? 0 : 1;
    const fits =
      rowBytes === 0
        ? data.length === 0
        : Number.isInteger(length) && length >= least && covered + length <= end;
    if (!fits) {
      const found = `${counted(data.length, "byte")} from row ${start} on`;
      const rows = end === Infinity ? "whole" : `1 to ${end - covered}`;
      const expected = `${counted(rows, "row")} of ${counted(rowBytes, "byte")} each`;
      const what =
        entry.slice === undefined
          ? "has data that does not fit its shape"
          : "has data that does not fit its slice of the shape";
      throw this.#corrupt(row, what, found, rowBytes === 0 ? "no bytes" : expected);
    }
    // An array that begins with its element has room for one; nearly every tensor has one chunk.
    if (entry.encoding === "dense" && data.length > 0) {
      const chunk = {
        offset: (start - first) * rowBytes,
        position: data.position,
        bytes: data.length,
      };
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

  #finish(tensor: PartialTensor, row: Row): void {
    const { dtype, encoding, shape } = tensor.entry;
    if (dtype !== "U8" || encoding !== "dense" || shape.length !== 1 || !isWhole(tensor)) {
      const found = `${encoding} ${dtype} [${shape.join(", ")}], ${counted(row.data.length, "byte")}`;
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

function isWhole({ covered, end }: PartialTensor): boolean {
  return covered === end || end === Infinity;
}

/** The entry of a slice along axis 0 of which only the rows say how long it is. */
function measured({ entry, first, covered }: PartialTensor): RankEntry {
  const { slice, shape } = entry;
  if (slice === undefined) return entry;
  const length = covered - first;
  const elements = shape.slice(1).reduce((product, axis) => product * axis, length);
  return {
    ...entry,
    shape: shape.with(0, length),
    elements,
    slice: { ...slice, length },
  };
}

function describe({ name, sample, step }: { name: string; sample: number; step: number }): string {
  return `${name}@${sample}.${step}`;
}
