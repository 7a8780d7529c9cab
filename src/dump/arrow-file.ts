/** The frame of an Arrow IPC file: magic, footer, schema, and where the batches lie. */

import { MetadataVersion } from "apache-arrow/fb/metadata-version";
import { counted } from "../core/counted.ts";
import type { NpuDiffError } from "../core/errors.ts";
import { type MetadataVersionName, readSchema, type Schema } from "./arrow-schema.ts";
import { MAX_FOOTER_BYTES } from "./bounds.ts";
import type { DumpFile } from "./dump-file.ts";
import { MalformedFlatbuffer, Table } from "./flatbuffer.ts";
import { incomplete, repairHelp } from "./metadata.ts";
import { type Block, CONTINUATION, count, PREFIX_BYTES } from "./record-batch.ts";

export const MAGIC: Uint8Array = Uint8Array.from(Buffer.from("ARROW1"));

/** The magic at the start is padded to 8 bytes. */
export const HEAD_BYTES = 8;

/** An int32 with the footer's length, and the magic. */
export const TAIL_BYTES: number = 4 + MAGIC.length;

export interface Footer {
  readonly schema: Schema;
  /** In order of their offsets, none overlapping another. */
  readonly batches: readonly Block[];
}

/**
 * Checks that the file starts like an Arrow file.
 *
 * @throws NpuDiffError `not-arrow`
 */
export function checkMagic(file: DumpFile): void {
  const head = file.read(0, Math.min(file.size, HEAD_BYTES));
  // A file that broke off inside the magic is told from a stranger by what there is of it.
  const magic = head.subarray(0, MAGIC.length);
  if (magic.every((byte, i) => byte === MAGIC[i])) return;
  const view = new DataView(head.buffer);
  const stream = head.length >= 4 && view.getUint32(0, true) === CONTINUATION;
  throw file.fail(
    "not-arrow",
    stream ? `${file.name} is an Arrow stream, not an Arrow file` : `${file.name} is not a dump`,
    {
      found: `a file that starts with ${Buffer.from(head).toString("hex")}`,
      expected: "an Arrow IPC file, which starts with ARROW1",
    },
    stream
      ? "write it with pyarrow.ipc.new_file instead of new_stream"
      : "give an .arrow file that npu-dump wrote, or one of safetensors, NumPy, torch.save, msprobe, Polygraphy or llama.cpp",
  );
}

/**
 * Reads the footer and checks it against the file.
 *
 * @throws NpuDiffError `dump-truncated`, `dump-incomplete`, `dump-corrupt`, `dump-schema`
 * @throws MalformedFlatbuffer
 */
export function readFooter(file: DumpFile): Footer {
  const tail = file.read(Math.max(0, file.size - TAIL_BYTES), Math.min(file.size, TAIL_BYTES));
  const whole = file.size >= HEAD_BYTES + TAIL_BYTES;
  if (!whole || !MAGIC.every((byte, i) => byte === tail[4 + i])) throw unfinished(file, tail);
  const length = new DataView(tail.buffer).getInt32(0, true);
  const room = file.size - HEAD_BYTES - TAIL_BYTES;
  if (length <= 0 || length > Math.min(room, MAX_FOOTER_BYTES)) {
    throw file.corrupt("the length of the footer is impossible", {
      found: counted(length, "byte"),
      expected: `1 to ${Math.min(room, MAX_FOOTER_BYTES)}`,
    });
  }
  const start = file.size - TAIL_BYTES - length;
  return decodeFooter(file, file.read(start, length), start);
}

/** A Footer table: 0 version, 1 schema, 2 dictionaries, 3 record batches. */
function decodeFooter(file: DumpFile, bytes: Uint8Array, start: number): Footer {
  const table = Table.root(bytes);
  const version = knownVersion(file, table.int16(0));
  const schema = table.table(1);
  if (schema === null) throw new MalformedFlatbuffer("a footer without a schema");
  const read = littleEndian(file, readSchema(schema, version));
  return { schema: read, batches: readBlocks(file, table, start) };
}

/** Refuses metadata of before Arrow 0.8, which is laid out otherwise. */
export function knownVersion(file: DumpFile, version: number): MetadataVersionName {
  const name = MetadataVersion[version];
  if (name === "V4" || name === "V5") return name;
  throw file.fail("dump-schema", `${file.name} has another version of Arrow's metadata`, {
    found: name ?? `version ${version + 1}`,
    expected: "V4 or V5",
  });
}

/** Refuses buffers in big-endian order. */
export function littleEndian(file: DumpFile, schema: Schema): Schema {
  if (schema.littleEndian) return schema;
  throw file.fail("dump-schema", `${file.name} was written in big-endian byte order`, {
    found: "big-endian buffers",
    expected: "little-endian buffers",
  });
}

/** Block structs: int64 offset, int32 length of the message, int64 length of the body. */
function readBlocks(file: DumpFile, table: Table, end: number): Block[] {
  const { start, length } = table.vector(3, 24);
  let previous = HEAD_BYTES;
  return Array.from({ length }, (_, i) => {
    const at = start + 24 * i;
    const block = {
      offset: count(table.int64At(at), "offset of a record batch"),
      messageBytes: table.int32At(at + 8),
      bodyBytes: count(table.int64At(at + 16), "length of a record batch"),
    };
    const ends = block.offset + block.messageBytes + block.bodyBytes;
    if (block.messageBytes < PREFIX_BYTES || block.offset < previous || ends > end) {
      throw file.corrupt(`the footer leads astray at record batch ${i}`, {
        found: `bytes ${block.offset} to ${ends}`,
        expected: `inside bytes ${previous} to ${end}`,
      });
    }
    previous = ends;
    return block;
  });
}

function unfinished(file: DumpFile, tail: Uint8Array): NpuDiffError {
  const found = `${counted(file.size, "byte")} that end with ${Buffer.from(tail).toString("hex")}`;
  const expected = "a footer and ARROW1 (4152524f5731) at the end";
  if (file.name.endsWith(".partial")) return incomplete(file, found, expected);
  return file.fail(
    "dump-truncated",
    `${file.name} is truncated`,
    { found, expected },
    repairHelp(file),
  );
}
