/**
 * The header of a safetensors file (the format of the `safetensors` library):
 * eight bytes of length, JSON, then the data of all tensors without a gap.
 */

import { counted } from "../../core/counted.ts";
import { DTYPES, type DType, isDType } from "../../core/dtype.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import { MAX_AXES, MAX_COUNT, MAX_ROWS, MAX_TEXT_BYTES } from "../bounds.ts";
import type { DumpFile } from "../dump-file.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../json.ts";

/** One tensor of a file: where its data lies in it. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: DumpFile;
  readonly position: number;
  readonly bytes: number;
}

export interface SafetensorsFile {
  readonly tensors: readonly StoredTensor[];
  /** `__metadata__`: texts by name. */
  readonly metadata: Readonly<Record<string, string>>;
}

const PREFIX = 8;

/** Bytes of the header: the library's own bound is 100 MB; what is parsed takes ten times its room. */
export const MAX_HEADER_BYTES = 16 * 1024 * 1024;

/** What the library calls dtypes that a dump has under another name. */
const ALIASES: Readonly<Record<string, DType>> = { F8_E4M3FN: "F8_E4M3" };

/**
 * Whether `file` begins as a safetensors file does.
 *
 * @param head its first bytes, nine or more
 */
export function looksLikeSafetensors(file: DumpFile, head: Uint8Array): boolean {
  if (head.length < PREFIX + 1 || head[PREFIX] !== 0x7b) return false;
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  return length <= BigInt(Math.max(file.size, MAX_HEADER_BYTES));
}

/**
 * Reads the header of `file`.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-truncated`, `dump-too-large`; `dump-schema` where a dtype is none of a
 *   dump's
 */
export function readSafetensors(file: DumpFile): SafetensorsFile {
  if (file.size < PREFIX) throw truncated(file, PREFIX);
  const length = Number(new DataView(file.read(0, PREFIX).buffer).getBigUint64(0, true));
  if (file.size > PREFIX && file.read(PREFIX, 1)[0] !== 0x7b) {
    throw file.fail(
      "dump-schema",
      `${file.name} is no safetensors file`,
      {
        found: `a file that starts with ${Buffer.from(file.read(0, PREFIX)).toString("hex")}`,
        expected: "the length of a header, then its JSON",
      },
      "give a .safetensors file, or the index of its shards",
    );
  }
  if (length > MAX_HEADER_BYTES) {
    throw file.fail("dump-too-large", `${file.name} has too long a header`, {
      found: counted(length, "byte"),
      expected: `at most ${MAX_HEADER_BYTES}`,
    });
  }
  if (PREFIX + length > file.size) throw truncated(file, PREFIX + length);
  const text = textOf(file, file.read(PREFIX, length));
  const header = parseJsonObject(file, text, "the header", "dump-corrupt");
  const start = PREFIX + length;
  const tensors: StoredTensor[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.push(readTensor(file, name, value, start));
  }
  if (tensors.length > MAX_ROWS) {
    throw file.fail("dump-too-large", `${file.name} holds too many tensors`, {
      found: `${tensors.length}`,
      expected: `at most ${MAX_ROWS}`,
    });
  }
  refuseGaps(file, tensors, start);
  return { tensors, metadata: metadataOf(header) };
}

function textOf(file: DumpFile, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    const disagreement = { found: "invalid bytes", expected: "JSON in UTF-8" };
    throw file.corrupt("the header is not UTF-8", disagreement, cause);
  }
}

function readTensor(file: DumpFile, name: string, value: unknown, start: number): StoredTensor {
  const label = `the tensor ${JSON.stringify(name.slice(0, 200))}`;
  const wrong = (what: string, found: string, expected: string): NpuDiffError =>
    file.corrupt(`${label} ${what}`, { found, expected });
  if (name === "" || Buffer.byteLength(name) > MAX_TEXT_BYTES) {
    throw wrong(
      "has a name of impossible length",
      counted(Buffer.byteLength(name), "byte"),
      "1 to 64 KiB",
    );
  }
  const { dtype, shape, data_offsets: offsets } = isJsonObject(value) ? value : {};
  if (typeof dtype !== "string") throw wrong("has no dtype", shown(dtype), "a dtype, like BF16");
  const ours = ALIASES[dtype] ?? dtype;
  if (!isDType(ours)) {
    throw file.fail(
      "dump-schema",
      `${file.name}: ${label} has a dtype that cannot be compared`,
      { found: dtype.slice(0, 40), expected: Object.keys(DTYPES).join(" ") },
      "store it in one of those dtypes",
    );
  }
  if (!isCounts(shape) || shape.length > MAX_AXES) {
    throw wrong("has an impossible shape", shown(shape), `at most ${MAX_AXES} lengths`);
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw wrong("does not say where it lies", shown(offsets), "two offsets");
  }
  const [from = 0, to = 0] = offsets;
  let bytes: number = DTYPES[ours].bytes;
  for (const axis of shape) bytes *= axis;
  if (!(bytes <= MAX_COUNT) || to - from !== bytes) {
    throw wrong(
      "has data that does not fit its shape",
      counted(to - from, "byte"),
      counted(bytes, "byte"),
    );
  }
  if (start + to > file.size) throw truncated(file, start + to);
  return { name, dtype: ours, shape, file, position: start + from, bytes };
}

/** The format has no holes: whatever lies between tensors, or twice, was put there on purpose. */
function refuseGaps(file: DumpFile, tensors: readonly StoredTensor[], start: number): void {
  let at = start;
  for (const { name, position, bytes } of tensors.toSorted(
    (a, b) => a.position - b.position || a.bytes - b.bytes,
  )) {
    if (position !== at) {
      throw file.corrupt(`the data of ${JSON.stringify(name.slice(0, 200))} is out of place`, {
        found: `byte ${position}`,
        expected: `byte ${at}, where the tensor before it ends`,
      });
    }
    at += bytes;
  }
  if (at !== file.size) {
    throw file.corrupt("bytes follow the last tensor", {
      found: counted(file.size, "byte"),
      expected: `${at}`,
    });
  }
}

function metadataOf(header: JsonObject): Readonly<Record<string, string>> {
  const found = header["__metadata__"];
  if (!isJsonObject(found)) return {};
  return Object.fromEntries(
    Object.entries(found).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
  );
}

function isCounts(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) && value.every((one) => Number.isSafeInteger(one) && (one as number) >= 0)
  );
}

function shown(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value).slice(0, 80);
}

function truncated(file: DumpFile, expected: number): NpuDiffError {
  return file.fail(
    "dump-truncated",
    `${file.name} ends before its data does`,
    { found: counted(file.size, "byte"), expected: `${counted(expected, "byte")} or more` },
    "copy the file again from where it was written",
  );
}
