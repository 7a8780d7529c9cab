/** Makes a whole dump out of one whose end is missing. */

import { counted } from "../core/counted.ts";
import { isNpuDiffError } from "../core/errors.ts";
import { decoding, openArrowDump, readHead } from "./arrow-dump.ts";
import { checkMagic, HEAD_BYTES, knownVersion, littleEndian } from "./arrow-file.ts";
import { writeBatch, writeTail } from "./arrow-output.ts";
import { readSchema, type Schema } from "./arrow-schema.ts";
import { MAX_MESSAGE_BYTES } from "./bounds.ts";
import { describeColumn } from "./columns.ts";
import { RUN_END } from "./contract.ts";
import type { RunMetadata } from "./dump.ts";
import { DumpFile } from "./dump-file.ts";
import { type RowValues, unsupportedColumn } from "./encode-rows.ts";
import { findColumns } from "./find-columns.ts";
import { MalformedFlatbuffer } from "./flatbuffer.ts";
import type { JsonObject } from "./json.ts";
import { parseRunEnd, readRun, sketchSize } from "./metadata.ts";
import { OutputFile } from "./output-file.ts";
import { readRankPart } from "./rank-part.ts";
import {
  type Block,
  CONTINUATION,
  type Message,
  PREFIX_BYTES,
  readMessage,
  readRecordBatch,
} from "./record-batch.ts";
import { RowReader } from "./rows.ts";
import { TensorIndex } from "./tensor-index.ts";

/** What a repair kept, and what it had to leave out. */
export interface RepairReport {
  /** Record batches kept, byte for byte. */
  readonly batches: number;
  /** Tensors that have all their rows. */
  readonly tensors: number;
  /** Tensors that lack rows, as `name@sample.step`: the first of them. */
  readonly incomplete: readonly string[];
  /** Bytes of the input that are not in the output: what is behind the last whole batch. */
  readonly bytesDropped: number;
}

/** Names that `run.end` lists, and characters of each: a name may be as long as 64 KiB. */
const MAX_INCOMPLETE_NAMES = 256;
const MAX_INCOMPLETE_LENGTH = 1024;

/** Bytes that are in memory while batches are copied. */
const COPY_BYTES = 8 * 1024 * 1024;

/** What there is of a dump, found from its start. */
interface Salvage {
  readonly schema: Schema;
  /** The flatbuffer that holds the schema, and where in it the schema lies. */
  readonly schemaMessage: Uint8Array;
  readonly schemaPosition: number;
  /** Arrow's metadata version, as the schema's message has it. */
  readonly version: number;
  readonly dictionaries: readonly Block[];
  readonly batches: readonly Block[];
  readonly index: TensorIndex;
  /** Rows of the last batch. */
  readonly lastRows: number;
}

/**
 * Writes a whole dump to `output` from an `input` that is truncated, a
 * `.partial`, or otherwise without its end. Every complete record batch is
 * copied as it is; a batch that contradicts itself, and all behind it, is left
 * out. `run.end` then says what was lost. Needs no footer.
 *
 * @throws NpuDiffError `nothing-to-repair` where `input` is whole, `output-unwritable` where `output`
 *   exists already, `dump-incomplete` where no batch is complete, and as `openDump` where the file is no dump
 */
export function repairDump(input: string, output: string): RepairReport {
  const file = DumpFile.open(input);
  try {
    checkMagic(file);
    refuseWhole(file);
    return decoding(file, () => writeRepaired(file, output));
  } finally {
    file.close();
  }
}

function refuseWhole(file: DumpFile): void {
  try {
    openArrowDump(readHead(file));
  } catch (error) {
    if (isNpuDiffError(error, ...REPAIRABLE)) return;
    throw error;
  }
  throw file.fail(
    "nothing-to-repair",
    `${file.name} is complete`,
    { found: `a footer and a last row ${RUN_END}`, expected: "a dump whose end is missing" },
    "compare it as it is",
  );
}

/** What a missing or damaged end looks like; whatever else is wrong stays wrong. */
const REPAIRABLE = ["dump-truncated", "dump-incomplete", "dump-corrupt", "duplicate-rows"] as const;

function writeRepaired(file: DumpFile, path: string): RepairReport {
  const salvage = salvageBatches(file);
  const { schema, index } = salvage;
  const ending = index.end === null ? null : parseRunEnd(file, index.end);
  // A row run.end with a batch of its own gives way to the new one. Among
  // other rows it cannot be taken out, and ends the dump as it is.
  const replaced = ending !== null && salvage.lastRows === 1;
  const batches = replaced ? salvage.batches.slice(0, -1) : [...salvage.batches];
  const last = batches.at(-1);
  if (last === undefined) {
    throw file.fail(
      "dump-incomplete",
      `${file.name} holds no complete record batch`,
      { found: counted(file.size, "byte"), expected: "one record batch or more" },
      "capture the dump again",
    );
  }
  const keptBytes = endOf(last);
  const report = {
    batches: batches.length,
    tensors: index.complete,
    incomplete: index
      .incomplete(MAX_INCOMPLETE_NAMES)
      .map((name) => name.slice(0, MAX_INCOMPLETE_LENGTH)),
    bytesDropped: file.size - keptBytes,
  };
  const output = new OutputFile(path, ".repairing");
  try {
    copy(file, output, keptBytes);
    output.pad(PREFIX_BYTES);
    if (ending === null || replaced) {
      const end = { ...ending, complete: true, repaired: report };
      batches.push(writeBatch(output, schema, [runEndRow(end)]));
    }
    const dictionaries = salvage.dictionaries.filter(({ offset }) => offset < keptBytes);
    writeTail(output, { ...salvage, dictionaries, batches });
    output.flush();
    verify(output.temporary);
    output.commit();
  } catch (error) {
    output.discard();
    throw error;
  }
  return report;
}

/** Finds every complete record batch that agrees with itself and with those before it. */
function salvageBatches(file: DumpFile): Salvage {
  const messages = walkMessages(file);
  const head = messages.next().value;
  if (head?.message.kind !== "Schema") {
    throw file.fail(
      "dump-incomplete",
      `${file.name} does not start with a whole schema, so its batches cannot be read`,
      {
        found: "no whole schema message at byte 8",
        expected: "a schema, as npu-dump and pyarrow write it",
      },
      "capture the dump again",
    );
  }
  const { message, bytes } = head;
  const { version } = message;
  const schema = littleEndian(file, readSchema(message.header, knownVersion(file, version)));
  const run = readRun(file, schema.metadata);
  const rows = new RowReader(file, findColumns(file, schema));
  refuseUnsupported(file, schema);
  const dictionaries: Block[] = [];
  const batches: Block[] = [];
  let index = new TensorIndex(file, sketchSize(run), readRankPart(file, run));
  let lastRows = 0;
  for (const { message, block } of messages) {
    if (message.kind === "DictionaryBatch") {
      dictionaries.push(block);
      continue;
    }
    try {
      const batch = readRecordBatch(file, schema, block, `record batch ${batches.length}`);
      for (const row of rows.read(batch)) index.add(row);
      batches.push(block);
      lastRows = batch.rows;
    } catch (error) {
      if (!isDamage(error)) throw error;
      // The index may hold some rows of the batch that failed.
      index = reindex(file, schema, run, batches);
      break;
    }
  }
  const parts = { schemaMessage: bytes, schemaPosition: message.header.position, version };
  return { schema, ...parts, dictionaries, batches, index, lastRows };
}

/** The index of `batches`, which have been read before. */
function reindex(
  file: DumpFile,
  schema: Schema,
  run: RunMetadata,
  batches: readonly Block[],
): TensorIndex {
  const rows = new RowReader(file, findColumns(file, schema));
  const index = new TensorIndex(file, sketchSize(run), readRankPart(file, run));
  for (const [i, block] of batches.entries()) {
    const batch = readRecordBatch(file, schema, block, `record batch ${i}`);
    for (const row of rows.read(batch)) index.add(row);
  }
  return index;
}

/** Whether an error says that a batch contradicts itself or those before it. */
function isDamage(error: unknown): boolean {
  return (
    error instanceof MalformedFlatbuffer || isNpuDiffError(error, "dump-corrupt", "duplicate-rows")
  );
}

function refuseUnsupported(file: DumpFile, schema: Schema): void {
  const column = unsupportedColumn(schema.fields);
  if (column === null) return;
  throw file.fail("dump-schema", `${file.name} has a column that repair cannot leave empty`, {
    found: describeColumn(column),
    expected: "the contract's columns, or ones of simpler types",
  });
}

/** The messages from the start of the file on, up to the first that is not whole. */
function* walkMessages(
  file: DumpFile,
): Generator<{ message: Message; bytes: Uint8Array; block: Block }, undefined, undefined> {
  let offset = HEAD_BYTES;
  while (offset + PREFIX_BYTES <= file.size) {
    const prefix = new DataView(file.read(offset, PREFIX_BYTES).buffer);
    const size = prefix.getUint32(4, true);
    const marked = prefix.getUint32(0, true) === CONTINUATION;
    const messageBytes = PREFIX_BYTES + size;
    if (!marked || size === 0 || size > MAX_MESSAGE_BYTES) return;
    if (offset + messageBytes > file.size) return;
    const bytes = file.read(offset + PREFIX_BYTES, size);
    const message = readable(() => readMessage(bytes));
    if (message === null) return;
    const block = { offset, messageBytes, bodyBytes: message.bodyBytes };
    if (endOf(block) > file.size) return;
    yield { message, bytes, block };
    offset = endOf(block);
  }
}

function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedFlatbuffer) return null;
    throw error;
  }
}

function endOf({ offset, messageBytes, bodyBytes }: Block): number {
  return offset + messageBytes + bodyBytes;
}

/** Copies the first `bytes` bytes of `file`. */
function copy(file: DumpFile, output: OutputFile, bytes: number): void {
  const buffer = new Uint8Array(Math.min(bytes, COPY_BYTES));
  while (output.position < bytes) {
    const part = buffer.subarray(0, Math.min(buffer.length, bytes - output.position));
    file.readInto(output.position, part);
    output.write(part);
  }
}

function runEndRow(end: JsonObject): RowValues {
  const data = new TextEncoder().encode(JSON.stringify(end));
  return {
    ...{ name: RUN_END, kind: "meta", layer: null, module: null },
    ...{ sample: -1, step: 0, repeat: 0, rank: 0 },
    ...{ dtype: "U8", shape: [data.length], start: 0, encoding: "dense", data, stats: null },
  };
}

/** Opens what was written, before it gets its name. */
function verify(path: string): void {
  const file = DumpFile.open(path);
  try {
    openArrowDump(readHead(file));
  } finally {
    file.close();
  }
}
