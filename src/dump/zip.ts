/**
 * The directory of a ZIP archive (APPNOTE 6.3), ZIP64 included: where each
 * entry's bytes lie. Nothing is extracted, so that no entry's name ever becomes
 * a path. Checked: every offset against the file, entries against each other
 * (overlapping ones are how small files become enormous), the sizes that an
 * entry claims against what deflate can do.
 */

import { crc32 } from "node:zlib";
import { Inflate } from "fflate";
import { counted } from "../core/counted.ts";
import { isNpuDiffError, type NpuDiffError, reasonOf } from "../core/errors.ts";
import type { DumpFile } from "./dump-file.ts";
import type { Piece } from "./foreign/foreign-tensor.ts";
import type { Spool } from "./spool.ts";

/** One file of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Whether the bytes lie there as they are. */
  readonly stored: boolean;
  /** Where its bytes begin, and how many lie there. */
  readonly position: number;
  readonly compressed: number;
  /** Bytes when they are extracted. */
  readonly size: number;
  /** Of the extracted bytes. Checked where they are extracted: of stored ones it would cost a reading. */
  readonly crc32: number;
}

const END_BYTES = 22;
const END_SIGNATURE = 0x06054b50;
const MAX_COMMENT = 0xffff;
const LOCATOR_BYTES = 20;
const LOCATOR_SIGNATURE = 0x07064b50;
const END64_BYTES = 56;
const END64_SIGNATURE = 0x06064b50;
const CENTRAL_BYTES = 46;
const CENTRAL_SIGNATURE = 0x02014b50;
const LOCAL_BYTES = 30;
const LOCAL_SIGNATURE = 0x04034b50;
const ZIP64_FIELD = 1;

/** Bytes of the directory: 10⁵ entries with names of 100 bytes take 15 MB. */
const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024;

/** Deflate turns a byte into at most 1,032 (RFC 1951: a match of 258 bytes in two bits). */
const MAX_RATIO = 1032;

/**
 * Reads the directory of `file`.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-truncated` where the archive's end is missing
 */
export function readZip(file: DumpFile): readonly ZipEntry[] {
  const { position, bytes, entries } = findDirectory(file);
  if (bytes > MAX_DIRECTORY_BYTES || position + bytes > file.size) {
    throw file.corrupt("the archive's directory is no part of it", {
      found: `${counted(bytes, "byte")} from byte ${position} on`,
      expected: `at most ${MAX_DIRECTORY_BYTES}, within ${file.size}`,
    });
  }
  // Each entry takes so many bytes: a count beyond that is a lie.
  if (entries > bytes / CENTRAL_BYTES) {
    throw file.corrupt("the archive's directory is too short for its entries", {
      found: counted(bytes, "byte"),
      expected: `${counted(entries, "entry", "entries")} of ${CENTRAL_BYTES} bytes and more`,
    });
  }
  const directory = viewOf(file.read(position, bytes));
  const found: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < entries; i++) {
    const { entry, next } = readEntry(file, directory, at, position);
    at = next;
    // A folder.
    if (!entry.name.endsWith("/")) found.push(entry);
  }
  refuseOverlaps(file, found);
  return found;
}

/**
 * Where the bytes of `entry` lie: in the file itself, or, of a compressed one, in `spool`, where they are put.
 *
 * @throws NpuDiffError `dump-corrupt`, `output-unwritable`
 */
export function unzipped(file: DumpFile, entry: ZipEntry, spool: () => Spool): Piece {
  if (entry.stored) return { source: file, position: entry.position, bytes: entry.size };
  const target = spool();
  target.reserve(entry.size);
  const position = target.size;
  const wrong = (found: string, cause?: unknown): NpuDiffError =>
    file.corrupt(
      `the entry ${JSON.stringify(entry.name)} of the archive cannot be decompressed`,
      { found, expected: counted(entry.size, "byte") },
      cause,
    );
  const state = { size: 0, crc32: 0, ended: false };
  const inflate = new Inflate((chunk, last) => {
    state.size += chunk.length;
    if (state.size > entry.size) throw wrong(`more than ${entry.size} bytes`);
    state.crc32 = crc32(chunk, state.crc32);
    target.append(chunk);
    state.ended = last;
  });
  for (let done = 0; done < entry.compressed; ) {
    const length = Math.min(INFLATE_BYTES, entry.compressed - done);
    const last = done + length === entry.compressed;
    const bytes = file.read(entry.position + done, length);
    try {
      inflate.push(bytes, last);
    } catch (cause) {
      if (isNpuDiffError(cause)) throw cause;
      throw wrong(reasonOf(cause), cause);
    }
    done += length;
  }
  if (!state.ended || state.size !== entry.size) throw wrong(counted(state.size, "byte"));
  if (state.crc32 !== entry.crc32) {
    throw wrong(`CRC-32 ${hex(state.crc32)} instead of ${hex(entry.crc32)}`);
  }
  return { source: target, position, bytes: state.size };
}

/** Bytes that are decompressed at a time; what comes of them is in memory once. */
const INFLATE_BYTES = 2 ** 15;

interface Directory {
  readonly position: number;
  readonly bytes: number;
  readonly entries: number;
}

/** Finds the end of the directory, which a comment may follow. */
function findDirectory(file: DumpFile): Directory {
  const length = Math.min(file.size, END_BYTES + MAX_COMMENT);
  const start = file.size - length;
  const tail = viewOf(file.read(start, length));
  for (let at = length - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END_SIGNATURE) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) !== length) continue;
    return directoryOf(file, tail, at, start);
  }
  throw file.fail(
    "dump-truncated",
    `${file.name} is a ZIP archive without its end`,
    {
      found: `${counted(file.size, "byte")} without an end of directory`,
      expected: "a whole archive",
    },
    "copy the file again from where it was written, or write it again",
  );
}

function directoryOf(file: DumpFile, tail: DataView, at: number, start: number): Directory {
  const disks = tail.getUint16(at + 4, true) + tail.getUint16(at + 6, true);
  const short = {
    entries: tail.getUint16(at + 10, true),
    bytes: tail.getUint32(at + 12, true),
    position: tail.getUint32(at + 16, true),
  };
  const locator = start + at - LOCATOR_BYTES;
  const isLong =
    short.entries === 0xffff || short.bytes === 0xffff_ffff || short.position === 0xffff_ffff;
  if (isLong && locator >= 0) {
    const pointer = viewOf(file.read(locator, LOCATOR_BYTES));
    if (pointer.getUint32(0, true) === LOCATOR_SIGNATURE) {
      return longDirectory(file, integer(file, pointer, 8), locator);
    }
  }
  // Writers of ZIP64 put 0xffff there; no disks are numbered in the archives of NumPy and torch.
  if (disks !== 0 && disks !== 0x1_fffe) {
    throw file.corrupt("the archive is spread over several disks", {
      found: "a number of a disk",
      expected: "an archive in one file",
    });
  }
  return short;
}

function longDirectory(file: DumpFile, position: number, before: number): Directory {
  if (position + END64_BYTES > before) {
    throw file.corrupt("the archive's ZIP64 directory lies outside of it", {
      found: `byte ${position}`,
      expected: `at most ${before - END64_BYTES}`,
    });
  }
  const end = viewOf(file.read(position, END64_BYTES));
  if (end.getUint32(0, true) !== END64_SIGNATURE) {
    throw file.corrupt("the archive has no ZIP64 directory where it says", {
      found: hex(end.getUint32(0, true)),
      expected: hex(END64_SIGNATURE),
    });
  }
  return {
    entries: integer(file, end, 32),
    bytes: integer(file, end, 40),
    position: integer(file, end, 48),
  };
}

function readEntry(
  file: DumpFile,
  directory: DataView,
  at: number,
  directoryAt: number,
): { readonly entry: ZipEntry; readonly next: number } {
  const fits = at + CENTRAL_BYTES <= directory.byteLength;
  if (!fits || directory.getUint32(at, true) !== CENTRAL_SIGNATURE) {
    throw file.corrupt("the archive's directory is damaged", {
      found: fits ? hex(directory.getUint32(at, true)) : "its end",
      expected: `the entry at byte ${directoryAt + at}`,
    });
  }
  const flags = directory.getUint16(at + 8, true);
  const method = directory.getUint16(at + 10, true);
  const nameBytes = directory.getUint16(at + 28, true);
  const extraBytes = directory.getUint16(at + 30, true);
  const next = at + CENTRAL_BYTES + nameBytes + extraBytes + directory.getUint16(at + 32, true);
  if (next > directory.byteLength) {
    throw file.corrupt("the archive's directory ends within an entry", {
      found: counted(directory.byteLength, "byte"),
      expected: `${next}`,
    });
  }
  const nameAt = directory.byteOffset + at + CENTRAL_BYTES;
  const name = new TextDecoder().decode(
    new Uint8Array(directory.buffer as ArrayBuffer, nameAt, nameBytes),
  );
  const long = longSizes(file, directory, at, nameBytes, extraBytes);
  const { size, compressed } = long;
  const wrong = (what: string, found: string, expected: string): NpuDiffError =>
    file.corrupt(`the entry ${JSON.stringify(name)} of the archive ${what}`, { found, expected });
  if ((flags & 1) !== 0) throw wrong("is encrypted", "a password", "none");
  if (method !== 0 && method !== 8) {
    throw wrong("is compressed in an unknown way", `method ${method}`, "stored (0) or deflate (8)");
  }
  const stored = method === 0;
  if (stored ? size !== compressed : size > compressed * MAX_RATIO) {
    const most = stored ? `${compressed}` : `at most ${compressed * MAX_RATIO}`;
    throw wrong("claims an impossible size", counted(size, "byte"), most);
  }
  const position = dataPosition(file, long.position, directoryAt, wrong);
  if (position + compressed > directoryAt) {
    const found = `bytes up to ${position + compressed}`;
    throw wrong("reaches beyond the archive's entries", found, `at most ${directoryAt}`);
  }
  const sum = directory.getUint32(at + 16, true);
  return { entry: { name, stored, position, compressed, size, crc32: sum }, next };
}

/** Sizes and place of an entry: those that 32 bits do not hold lie in a field of their own, in this order. */
function longSizes(
  file: DumpFile,
  directory: DataView,
  at: number,
  nameBytes: number,
  extraBytes: number,
): { readonly size: number; readonly compressed: number; readonly position: number } {
  const short = {
    compressed: directory.getUint32(at + 20, true),
    size: directory.getUint32(at + 24, true),
    position: directory.getUint32(at + 42, true),
  };
  const missing = Object.values(short).filter((value) => value === 0xffff_ffff).length;
  if (missing === 0) return short;
  const end = at + CENTRAL_BYTES + nameBytes + extraBytes;
  for (let field = at + CENTRAL_BYTES + nameBytes; field + 4 <= end; ) {
    const length = directory.getUint16(field + 2, true);
    if (directory.getUint16(field, true) === ZIP64_FIELD) {
      if (length < missing * 8 || field + 4 + length > end) break;
      let from = field + 4;
      const take = (value: number): number => {
        if (value !== 0xffff_ffff) return value;
        from += 8;
        return integer(file, directory, from - 8);
      };
      const size = take(short.size);
      const compressed = take(short.compressed);
      return { size, compressed, position: take(short.position) };
    }
    field += 4 + length;
  }
  throw file.corrupt("an entry of the archive lacks its sizes", {
    found: "no ZIP64 field",
    expected: `one of ${counted(missing * 8, "byte")}`,
  });
}

/** Where the data of the entry begins whose local header lies at `header`. */
function dataPosition(
  file: DumpFile,
  header: number,
  end: number,
  wrong: (what: string, found: string, expected: string) => NpuDiffError,
): number {
  if (header + LOCAL_BYTES > end) {
    throw wrong("lies outside of it", `byte ${header}`, `at most ${end - LOCAL_BYTES}`);
  }
  const local = viewOf(file.read(header, LOCAL_BYTES));
  const signature = local.getUint32(0, true);
  if (signature !== LOCAL_SIGNATURE) {
    throw wrong("is not where it should be", hex(signature), hex(LOCAL_SIGNATURE));
  }
  return header + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
}

function refuseOverlaps(file: DumpFile, entries: readonly ZipEntry[]): void {
  const inOrder = entries.toSorted((a, b) => a.position - b.position);
  for (const [i, { name, position, compressed }] of inOrder.entries()) {
    const next = inOrder[i + 1];
    if (next === undefined || position + compressed <= next.position) continue;
    throw file.corrupt("entries of the archive overlap", {
      found: `${JSON.stringify(name)} up to byte ${position + compressed}`,
      expected: `at most ${next.position}, where ${JSON.stringify(next.name)} begins`,
    });
  }
}

/** An unsigned integer of 64 bits. */
function integer(file: DumpFile, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  // No file is longer: whatever this is, it lies outside.
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw file.corrupt("the archive holds an impossible number", {
    found: `${value}`,
    expected: "at most 2^53 − 1",
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
