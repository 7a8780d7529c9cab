/** Writes the frame of an Arrow IPC file: messages one after another, and a footer that finds them. */

import { Message } from "apache-arrow/ipc/metadata/message";
import { HEAD_BYTES, MAGIC } from "./arrow-file.ts";
import type { Schema } from "./arrow-schema.ts";
import { encodeRows, type RowValues } from "./encode-rows.ts";
import type { OutputFile } from "./output-file.ts";
import { type Block, CONTINUATION, PREFIX_BYTES } from "./record-batch.ts";

/** Bodies start at a multiple of this, so that their buffers are aligned in the file too. */
const ALIGNMENT = 64;

/** Writes the magic and the schema's message. */
export function writeHead(output: OutputFile, schemaMessage: Uint8Array): void {
  const head = new Uint8Array(HEAD_BYTES);
  head.set(MAGIC);
  output.write(head);
  writeMessage(output, schemaMessage);
}

/** Writes `rows` as one record batch and says where it lies. */
export function writeBatch(output: OutputFile, schema: Schema, rows: readonly RowValues[]): Block {
  const { header, body, bodyBytes } = encodeRows(schema, rows);
  const offset = output.position;
  writeMessage(output, Message.encode(Message.from(header, bodyBytes)));
  const messageBytes = output.position - offset;
  for (const part of body) output.write(part);
  return { offset, messageBytes, bodyBytes };
}

function writeMessage(output: OutputFile, bytes: Uint8Array): void {
  const end = output.position + PREFIX_BYTES + bytes.length;
  const padding = (ALIGNMENT - (end % ALIGNMENT)) % ALIGNMENT;
  const prefix = new DataView(new ArrayBuffer(PREFIX_BYTES));
  prefix.setUint32(0, CONTINUATION, true);
  prefix.setUint32(4, bytes.length + padding, true);
  output.write(new Uint8Array(prefix.buffer));
  output.write(bytes);
  output.write(new Uint8Array(padding));
}

/** What a footer is made of. */
export interface FooterParts {
  /** The flatbuffer of the schema's message, and where in it the Schema table lies. */
  readonly schemaMessage: Uint8Array;
  readonly schemaPosition: number;
  readonly version: number;
  readonly dictionaries: readonly Block[];
  readonly batches: readonly Block[];
}

/** Writes the end of the stream of messages, the footer, its length and the magic. */
export function writeTail(output: OutputFile, parts: FooterParts): void {
  const end = new DataView(new ArrayBuffer(PREFIX_BYTES));
  end.setUint32(0, CONTINUATION, true);
  output.write(new Uint8Array(end.buffer));
  const footer = encodeFooter(parts);
  output.write(footer);
  const length = new DataView(new ArrayBuffer(4));
  length.setInt32(0, footer.length, true);
  output.write(new Uint8Array(length.buffer));
  output.write(MAGIC);
}

/**
 * Makes a footer around a schema as it is, whatever types it has: offsets in
 * flatbuffers are relative, so the message that holds the schema is laid behind
 * the footer's own table as it stands.
 *
 * A Footer table: 0 version, 1 schema, 2 dictionaries, 3 record batches.
 */
function encodeFooter(parts: FooterParts): Uint8Array {
  const { schemaMessage, schemaPosition, version, dictionaries, batches } = parts;
  // Root offset and padding, the vtable (two sizes and four fields), the table:
  // offset of the vtable, three offsets and the version.
  const [vtable, table] = [8, 20];
  // 8-byte structs behind a 4-byte length.
  const dictionariesAt = 44;
  const batchesAt = dictionariesAt + 8 + 24 * dictionaries.length;
  const schemaAt = batchesAt + 4 + 24 * batches.length;
  const bytes = new Uint8Array(schemaAt + schemaMessage.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, table, true);
  const fields = [16, 4, 8, 12];
  view.setUint16(vtable, 4 + 2 * fields.length, true);
  view.setUint16(vtable + 2, 18, true);
  for (const [id, offset] of fields.entries()) view.setUint16(vtable + 4 + 2 * id, offset, true);
  view.setInt32(table, table - vtable, true);
  view.setUint32(table + 4, schemaAt + schemaPosition - (table + 4), true);
  view.setUint32(table + 8, dictionariesAt - (table + 8), true);
  view.setUint32(table + 12, batchesAt - (table + 12), true);
  view.setInt16(table + 16, version, true);
  writeBlocks(view, dictionariesAt, dictionaries);
  writeBlocks(view, batchesAt, batches);
  bytes.set(schemaMessage, schemaAt);
  return bytes;
}

function writeBlocks(view: DataView, at: number, blocks: readonly Block[]): void {
  view.setUint32(at, blocks.length, true);
  for (const [i, { offset, messageBytes, bodyBytes }] of blocks.entries()) {
    const start = at + 4 + 24 * i;
    view.setBigInt64(start, BigInt(offset), true);
    view.setInt32(start + 8, messageBytes, true);
    view.setBigInt64(start + 16, BigInt(bodyBytes), true);
  }
}
