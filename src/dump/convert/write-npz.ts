/** A dump as an archive of NumPy's arrays. */

import { crc32 } from "node:zlib";
import type { DType } from "../../core/dtype.ts";
import { type Dump, dataBytes, type TensorEntry } from "../dump.ts";
import { OutputFile } from "../output-file.ts";
import { copyData, type Exported, exported, PARTIAL, type Written, wholly } from "./exported.ts";

/** As NumPy and ml_dtypes describe them. */
const DESCRIPTIONS: Readonly<Record<DType, string>> = {
  F64: "<f8",
  F32: "<f4",
  F16: "<f2",
  BF16: "<V2",
  F8_E4M3: "<V1",
  F8_E5M2: "<f1",
  I64: "<i8",
  I32: "<i4",
  I16: "<i2",
  I8: "|i1",
  U8: "|u1",
  BOOL: "|b1",
};

const HEADER_ALIGNMENT = 64;
/** Version 4.5 of the format has ZIP64; sizes follow the data (bit 3), names are UTF-8 (bit 11). */
const VERSION = 45;
const FLAGS = (1 << 3) | (1 << 11);
/** The first of January 1980: the same dump gives the same bytes. */
const DATE = (1 << 5) | 1;
const LONG = 0xffff_ffff;

/** An entry that has been written. */
interface Entry {
  readonly name: Uint8Array;
  readonly position: number;
  readonly size: number;
  readonly crc32: number;
}

/** Why the format cannot have an entry of that name. */
function refused(key: string): string | null {
  if (key.includes("\0")) return "Python ends the name of an entry at its first NUL";
  return Buffer.byteLength(key) > 0xffff - 4 ? "the name is too long for an entry" : null;
}

/**
 * Writes the dense tensors of `dump`, each stored in an entry with the sizes of ZIP64. The format has no room for the
 * run, which is left out.
 *
 * @throws NpuDiffError `output-unwritable`, `nothing-to-convert`
 */
export function writeNpz(dump: Dump, path: string): Written {
  const { tensors, left } = exported(dump, refused);
  const output = new OutputFile(path, PARTIAL);
  return wholly(output, () => {
    const entries = tensors.map((tensor) => writeEntry(dump, tensor, output));
    const directory = output.position;
    for (const entry of entries) output.write(centralHeader(entry));
    output.write(endOf(entries.length, directory, output.position - directory));
    return {
      bytes: output.position,
      written: tensors.map(({ entry }) => entry),
      left: [...left, { name: "run", why: "the format has no room for metadata" }],
    };
  });
}

function writeEntry(dump: Dump, { key, entry }: Exported, output: OutputFile): Entry {
  const name = Buffer.from(`${key}.npy`);
  const position = output.position;
  const header = npyHeader(entry);
  const size = header.length + dataBytes(entry);
  let sum = crc32(header);
  output.write(
    fields(
      [4, 0x04034b50],
      [2, VERSION],
      [2, FLAGS],
      [2, 0],
      [2, 0],
      [2, DATE],
      [4, 0],
      [4, LONG],
      [4, LONG],
      [2, name.length],
      [2, 20],
    ),
  );
  output.write(name);
  // The sizes are known, the sum is not.
  output.write(fields([2, 1], [2, 16], [8, size], [8, size]));
  output.write(header);
  copyData(dump, entry, output, (block) => {
    sum = crc32(block, sum);
  });
  output.write(fields([4, 0x08074b50], [4, sum], [8, size], [8, size]));
  return { name, position, size, crc32: sum };
}

function npyHeader({ dtype, shape }: TensorEntry): Uint8Array {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${DESCRIPTIONS[dtype]}', 'fortran_order': False, 'shape': (${axes}), }`;
  const prefix = 10;
  const length = Math.ceil((prefix + text.length + 1) / HEADER_ALIGNMENT) * HEADER_ALIGNMENT;
  const bytes = Buffer.alloc(length, " ");
  bytes.write("\x93NUMPY\x01\x00", "latin1");
  bytes.writeUInt16LE(length - prefix, 8);
  bytes.write(text, prefix, "latin1");
  bytes.write("\n", length - 1);
  return bytes;
}

function centralHeader({ name, position, size, crc32: sum }: Entry): Uint8Array {
  return Buffer.concat([
    fields(
      [4, 0x02014b50],
      [2, VERSION],
      [2, VERSION],
      [2, FLAGS],
      [2, 0],
      [2, 0],
      [2, DATE],
      [4, sum],
      [4, LONG],
      [4, LONG],
      [2, name.length],
      [2, 28],
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, LONG],
    ),
    name,
    fields([2, 1], [2, 24], [8, size], [8, size], [8, position]),
  ]);
}

/** The end of the directory, of ZIP64 and of the plain format. */
function endOf(entries: number, position: number, bytes: number): Uint8Array {
  const end = position + bytes;
  const short = Math.min(entries, 0xffff);
  return Buffer.concat([
    fields(
      [4, 0x06064b50],
      [8, 44],
      [2, VERSION],
      [2, VERSION],
      [4, 0],
      [4, 0],
      [8, entries],
      [8, entries],
      [8, bytes],
      [8, position],
    ),
    fields([4, 0x07064b50], [4, 0], [8, end], [4, 1]),
    fields(
      [4, 0x06054b50],
      [2, 0],
      [2, 0],
      [2, short],
      [2, short],
      [4, Math.min(bytes, LONG)],
      [4, Math.min(position, LONG)],
      [2, 0],
    ),
  ]);
}

/** Unsigned integers, little-endian, each of so many bytes. */
function fields(...values: readonly (readonly [bytes: 2 | 4 | 8, value: number])[]): Uint8Array {
  const out = Buffer.alloc(values.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of values) {
    if (bytes === 8) out.writeBigUInt64LE(BigInt(value), at);
    else out.writeUIntLE(value, at, bytes);
    at += bytes;
  }
  return out;
}
