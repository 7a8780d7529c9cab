/** A dump in its own format: an Arrow IPC file. */

import { checkMagic, type Footer, readFooter } from "./arrow-file.ts";
import {
  type Dump,
  dataBytes,
  type FileRange,
  type Located,
  type RunMetadata,
  type TensorChunk,
} from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import { findColumns } from "./find-columns.ts";
import { MalformedFlatbuffer } from "./flatbuffer.ts";
import { END_TO_END } from "./join.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import { readRun, readRunEnd, sketchSize } from "./metadata.ts";
import { type RankPart, readRankPart } from "./rank-part.ts";
import { readRecordBatch } from "./record-batch.ts";
import { RowReader } from "./rows.ts";
import type { RankEntry } from "./slice.ts";
import { TensorIndex } from "./tensor-index.ts";

/** A dump that is one file: a whole one, or one rank's part of it. */
export interface FileDump extends Dump {
  /** Which part of its run it is; null where it is all of it. */
  readonly part: RankPart | null;
  readonly tensors: readonly RankEntry[];
}

/** What a file says of itself before its index is read. */
export interface DumpHead {
  readonly file: DumpFile;
  readonly footer: Footer;
  readonly run: RunMetadata;
  /** Which part of its run it is; null where it is all of it. */
  readonly part: RankPart | null;
}

/**
 * Reads the footer of an Arrow file.
 *
 * @throws NpuDiffError
 */
export function readHead(file: DumpFile): DumpHead {
  return decoding(file, () => {
    checkMagic(file);
    const footer = readFooter(file);
    const run = readRun(file, footer.schema.metadata);
    return { file, footer, run, part: readRankPart(file, run) };
  });
}

/**
 * Reads the index of an Arrow file. The dump keeps the file and closes it.
 *
 * @throws NpuDiffError
 */
export function openArrowDump(head: DumpHead): FileDump {
  const { file } = head;
  return decoding(file, () => {
    const index = readIndex(head);
    const end = readRunEnd(file, index.end);
    const repaired = isJsonObject(end["repaired"]);
    return new ArrowDump(head, end, repaired, index.tensors(repaired));
  });
}

/**
 * Reads the run metadata alone, which the footer holds.
 *
 * @throws NpuDiffError
 */
export function readRunOf(file: DumpFile): RunMetadata {
  return decoding(file, () => {
    checkMagic(file);
    return readRun(file, readFooter(file).schema.metadata);
  });
}

/** Runs `read`, turning malformed metadata into `dump-corrupt`. */
export function decoding<T>(file: DumpFile, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MalformedFlatbuffer)) throw error;
    const disagreement = { found: error.message, expected: "metadata that fits the file" };
    throw file.corrupt("the Arrow metadata contradicts itself", disagreement, error);
  }
}

function readIndex({ file, footer: { schema, batches }, run, part }: DumpHead): TensorIndex {
  const rows = new RowReader(file, findColumns(file, schema));
  const index = new TensorIndex(file, sketchSize(run), part);
  for (const [i, block] of batches.entries()) {
    const batch = readRecordBatch(file, schema, block, `record batch ${i}`);
    for (const row of rows.read(batch)) index.add(row);
  }
  return index;
}

class ArrowDump implements FileDump {
  readonly file: string;
  readonly bytes: number;
  readonly run: RunMetadata;
  readonly part: RankPart | null;
  readonly end: JsonObject;
  readonly repaired: boolean;
  readonly ranks = 1;
  readonly tensors: readonly RankEntry[];
  readonly #file: DumpFile;

  constructor(
    { file, run, part }: DumpHead,
    end: JsonObject,
    repaired: boolean,
    tensors: readonly RankEntry[],
  ) {
    this.#file = file;
    this.file = file.name;
    this.bytes = file.size;
    this.run = run;
    this.part = part;
    this.end = end;
    this.repaired = repaired;
    this.tensors = tensors;
  }

  read(entry: RankEntry, offset: number, target: Uint8Array): void {
    let done = 0;
    for (const { position, bytes } of this.#rangesOf(entry, offset, target.length)) {
      this.#file.readInto(position, target.subarray(done, done + bytes));
      done += bytes;
    }
  }

  locate(entry: RankEntry, offset: number, length: number): Located {
    return { join: END_TO_END, strands: [this.#rangesOf(entry, offset, length)] };
  }

  #rangesOf(entry: RankEntry, offset: number, length: number): readonly FileRange[] {
    const { chunks } = entry;
    const size = dataBytes(entry);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of a tensor of ${size} bytes`);
    }
    const { descriptor } = this.#file;
    const ranges: FileRange[] = [];
    let done = 0;
    for (let i = chunkAt(chunks, offset); done < length; i++) {
      const chunk = chunks[i] as TensorChunk;
      const skipped = offset + done - chunk.offset;
      const bytes = Math.min(chunk.bytes - skipped, length - done);
      ranges.push({ descriptor, position: chunk.position + skipped, bytes });
      done += bytes;
    }
    return ranges;
  }

  close(): void {
    this.#file.close();
  }
}

/** Index of the chunk that holds the byte at `offset`, by bisection. */
function chunkAt(chunks: readonly TensorChunk[], offset: number): number {
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((chunks[middle] as TensorChunk).offset <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
