/**
 * One record batch of an Arrow file: its message checked against the schema
 * and the file, and the buffers of the small columns read. The tensors' data
 * stays on the disk; only where it lies is learned.
 */

import { CompressionType } from "apache-arrow/fb/compression-type";
import { MessageHeader } from "apache-arrow/fb/message-header";
import { counted } from "../core/counted.ts";
import type { NpuDiffError } from "../core/errors.ts";
import type { Field, Schema } from "./arrow-schema.ts";
import { MAX_COUNT, MAX_MESSAGE_BYTES } from "./bounds.ts";
import { type Disagreement, type DumpFile, shellWord } from "./dump-file.ts";
import { MalformedFlatbuffer, Table } from "./flatbuffer.ts";
import type { Region } from "./regions.ts";

/** Where a message and its body lie in the file. */
export interface Block {
  readonly offset: number;
  /** Bytes of the message, its 8 bytes of prefix and its padding included. */
  readonly messageBytes: number;
  readonly bodyBytes: number;
}

/** Length and null count of one field in one batch. */
export interface Node {
  readonly length: number;
  readonly nulls: number;
}

/** A batch whose message has been checked: every region lies inside its body, every count is in range. */
export class RecordBatch {
  readonly rows: number;
  readonly file: DumpFile;
  /** `record batch 3`: for messages. */
  readonly label: string;
  readonly #nodes: readonly Node[];
  readonly #regions: readonly Region[];
  /** For each field node, its first buffer. */
  readonly #first: readonly number[];

  constructor(
    file: DumpFile,
    label: string,
    rows: number,
    nodes: readonly Node[],
    regions: readonly Region[],
    first: readonly number[],
  ) {
    this.file = file;
    this.label = label;
    this.rows = rows;
    this.#nodes = nodes;
    this.#regions = regions;
    this.#first = first;
  }

  corrupt(what: string, disagreement: Disagreement): NpuDiffError {
    return this.file.corrupt(`${this.label}: ${what}`, disagreement);
  }

  node(field: Field): Node {
    return this.#nodes[field.node] as Node;
  }

  /** All buffers of `field` itself: the fixed ones, then the variadic ones. */
  regions(field: Field): readonly Region[] {
    return this.#regions.slice(this.#first[field.node], this.#first[field.node + 1]);
  }
}

/** A message of an Arrow file, taken apart. */
export interface Message {
  /** Arrow's metadata version, counted from V1 as 0. */
  readonly version: number;
  /** `Schema`, `RecordBatch` or `DictionaryBatch`. */
  readonly kind: string;
  readonly header: Table;
  readonly bodyBytes: number;
}

/** Bytes of the prefix: a continuation marker, and the size of what follows. */
export const PREFIX_BYTES = 8;

/** Marks the start of a message, as a little-endian uint32. */
export const CONTINUATION = 0xffffffff;

/**
 * Reads a Message table: 0 version, 1 kind of header, 2 header, 3 length of the body.
 *
 * @throws MalformedFlatbuffer
 */
export function readMessage(bytes: Uint8Array): Message {
  const table = Table.root(bytes);
  const header = table.table(2);
  if (header === null) throw new MalformedFlatbuffer("a message without a header");
  return {
    version: table.int16(0),
    kind: MessageHeader[table.uint8(1)] ?? "an unknown message",
    header,
    bodyBytes: count(table.int64(3), "length of a body"),
  };
}

/** An int64 that counts something. */
export function count(value: bigint, what: string): number {
  if (value < 0n || value > BigInt(MAX_COUNT)) throw new MalformedFlatbuffer(`${value} as ${what}`);
  return Number(value);
}

/**
 * Reads and checks the message at `block`, which lies inside the file.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-compressed`
 * @throws MalformedFlatbuffer
 */
export function readRecordBatch(
  file: DumpFile,
  schema: Schema,
  block: Block,
  label: string,
): RecordBatch {
  if (block.messageBytes > MAX_MESSAGE_BYTES) {
    throw file.fail("dump-too-large", `${file.name}: ${label}: the message is too large`, {
      found: `${counted(block.messageBytes, "byte")} of metadata`,
      expected: `at most ${MAX_MESSAGE_BYTES}`,
    });
  }
  const bytes = file.read(block.offset, block.messageBytes);
  const prefix = new DataView(bytes.buffer, bytes.byteOffset, PREFIX_BYTES);
  const size = prefix.getUint32(4, true);
  if (prefix.getUint32(0, true) !== CONTINUATION || size + PREFIX_BYTES > bytes.length) {
    throw file.corrupt(`${label} does not start with a message`, {
      found: `the prefix ${hex(bytes.subarray(0, PREFIX_BYTES))} at byte ${block.offset}`,
      expected: `ffffffff and a length of at most ${bytes.length - PREFIX_BYTES}`,
    });
  }
  const message = readMessage(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + size));
  if (message.kind !== "RecordBatch" || message.bodyBytes !== block.bodyBytes) {
    throw file.corrupt(`${label}: the message is not the one that the footer names`, {
      found: `${message.kind} with a body of ${counted(message.bodyBytes, "byte")}`,
      expected: `RecordBatch with a body of ${counted(block.bodyBytes, "byte")}`,
    });
  }
  return checkBatch(file, schema, block, label, message.header);
}

/** A RecordBatch table: 0 length, 1 nodes, 2 buffers, 3 compression, 4 variadic counts. */
function checkBatch(
  file: DumpFile,
  schema: Schema,
  block: Block,
  label: string,
  table: Table,
): RecordBatch {
  const compression = table.table(3);
  if (compression !== null) throw compressed(file, compression.uint8(0));
  const rows = count(table.int64(0), "rows of a batch");
  const nodes = readNodes(table, schema);
  const first = firstBuffers(table, schema);
  const body = block.offset + block.messageBytes;
  const regions = readRegions(table, body, block.bodyBytes);
  const expected = first.at(-1) as number;
  if (regions.length !== expected) {
    throw new MalformedFlatbuffer(`${regions.length} buffers where the columns have ${expected}`);
  }
  const wrong = schema.fields.find((field) => nodes[field.node]?.length !== rows);
  if (wrong !== undefined) {
    throw file.corrupt(`${label}: a column has another length than the batch`, {
      found: `${nodes[wrong.node]?.length} rows of ${wrong.name}`,
      expected: `${rows}`,
    });
  }
  return new RecordBatch(file, label, rows, nodes, regions, first);
}

/** FieldNode structs: int64 length, int64 null count. */
function readNodes(table: Table, schema: Schema): Node[] {
  const { start, length } = table.vector(1, 16);
  if (length !== schema.nodes.length) {
    throw new MalformedFlatbuffer(
      `${length} field nodes where the schema has ${schema.nodes.length}`,
    );
  }
  return Array.from({ length }, (_, i) => ({
    length: count(table.int64At(start + 16 * i), "length of a column"),
    nulls: count(table.int64At(start + 16 * i + 8), "null count of a column"),
  }));
}

/** For each field node, the index of its first buffer; then the number of all buffers. */
function firstBuffers(table: Table, schema: Schema): number[] {
  const { start, length } = table.vector(4, 8);
  const first: number[] = [];
  let buffers = 0;
  let views = 0;
  for (const field of schema.nodes) {
    first.push(buffers);
    buffers += field.buffers.length;
    if (!field.variadic) continue;
    if (views === length)
      throw new MalformedFlatbuffer("a column of views without its buffer count");
    buffers += count(table.int64At(start + 8 * views), "buffers of a column of views");
    views += 1;
  }
  if (views !== length) {
    throw new MalformedFlatbuffer(`${length} buffer counts for ${views} columns of views`);
  }
  first.push(buffers);
  return first;
}

/** Buffer structs: int64 offset inside the body, int64 length. */
function readRegions(table: Table, body: number, bodyBytes: number): Region[] {
  const { start, length } = table.vector(2, 16);
  return Array.from({ length }, (_, i) => {
    const offset = count(table.int64At(start + 16 * i), "offset of a buffer");
    const bytes = count(table.int64At(start + 16 * i + 8), "length of a buffer");
    if (offset + bytes > bodyBytes) {
      throw new MalformedFlatbuffer(
        `a buffer that ends at byte ${offset + bytes} of a body of ${bodyBytes}`,
      );
    }
    return { position: body + offset, length: bytes };
  });
}

function compressed(file: DumpFile, codec: number): NpuDiffError {
  const script =
    "import sys, pyarrow.ipc as i; r = i.open_file(sys.argv[1]); w = i.new_file(sys.argv[2], r.schema); " +
    "[w.write(r.get_batch(k)) for k in range(r.num_record_batches)]; w.close()";
  return file.fail(
    "dump-compressed",
    `${file.name} is compressed`,
    {
      found: `buffers compressed with ${CompressionType[codec] ?? `codec ${codec}`}`,
      expected: "uncompressed buffers, which go from the disk to the comparison untouched",
    },
    `python -c "${script}" ${shellWord(file.path)} uncompressed.arrow`,
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
