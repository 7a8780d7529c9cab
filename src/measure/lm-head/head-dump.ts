/** A dump whose logits are computed instead of read. */

import type { Dump, FileRange, Located, RunMetadata, TensorEntry } from "../../dump/dump.ts";
import { END_TO_END } from "../../dump/join.ts";
import type { Spool } from "../../dump/spool.ts";

/** Rows of a tensor whose logits are computed: all of them, or those that are named. */
export interface HeadRows {
  readonly entry: TensorEntry;
  /** In ascending order; null for all. */
  readonly rows: readonly number[] | null;
}

/** How many rows of `from` there are. */
export function rowCount({ entry, rows }: HeadRows): number {
  return rows?.length ?? entry.shape[0] ?? 1;
}

/**
 * The entries of logits [rows, vocabulary], F32, one for each of `from`, that lie one after the other from byte
 * `position` on.
 */
export function logitsEntries(
  from: readonly HeadRows[],
  vocabulary: number,
  position: number,
): readonly TensorEntry[] {
  let next = position;
  return from.map((source) => {
    const { entry } = source;
    const rows = rowCount(source);
    const bytes = rows * vocabulary * Float32Array.BYTES_PER_ELEMENT;
    const chunk = { offset: 0, position: next, bytes };
    next += bytes;
    return {
      ...entry,
      name: "logits",
      kind: "logits",
      layer: null,
      module: null,
      dtype: "F32",
      encoding: "dense",
      shape: [rows, vocabulary],
      elements: rows * vocabulary,
      stats: null,
      chunks: [chunk],
    };
  });
}

/** `dump` with `logits` of its own that a spool holds, in the place of any that it stores. */
export class HeadDump implements Dump {
  readonly tensors: readonly TensorEntry[];
  readonly #dump: Dump;
  readonly #spool: Spool;

  /** @param logits by {@link logitsEntries}; the spool may be filled later. It is not closed with the dump. */
  constructor(dump: Dump, logits: readonly TensorEntry[], spool: Spool) {
    this.#dump = dump;
    this.#spool = spool;
    this.tensors = [...dump.tensors.filter(({ name }) => name !== "logits"), ...logits];
  }

  get file(): string {
    return this.#dump.file;
  }

  get bytes(): number {
    return this.#dump.bytes;
  }

  get run(): RunMetadata {
    return this.#dump.run;
  }

  get end(): Readonly<Record<string, unknown>> {
    return this.#dump.end;
  }

  get repaired(): boolean {
    return this.#dump.repaired;
  }

  get ranks(): number {
    return this.#dump.ranks;
  }

  read(entry: TensorEntry, offset: number, target: Uint8Array): void {
    if (entry.name !== "logits") {
      this.#dump.read(entry, offset, target);
      return;
    }
    this.#spool.readInto(this.#range(entry, offset, target.length).position, target);
  }

  locate(entry: TensorEntry, offset: number, length: number): Located {
    if (entry.name !== "logits") return this.#dump.locate(entry, offset, length);
    return { join: END_TO_END, strands: [[this.#range(entry, offset, length)]] };
  }

  #range({ chunks: [chunk] }: TensorEntry, offset: number, length: number): FileRange {
    if (chunk === undefined || offset < 0 || offset + length > chunk.bytes) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of ${chunk?.bytes ?? 0}`);
    }
    return {
      descriptor: this.#spool.descriptor,
      position: chunk.position + offset,
      bytes: length,
    };
  }

  close(): void {
    this.#dump.close();
  }
}
