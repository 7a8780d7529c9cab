/** Lines of JSON out of a file of any size: bounded, and nothing is taken for whole that is not. */

import { createHash } from "node:crypto";
import { TextDecoder } from "node:util";
import { counted } from "../../core/counted.ts";
import { reasonOf } from "../../core/errors.ts";
import type { DumpFile } from "../dump-file.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { parsePythonJson } from "../python-json.ts";

/** Bytes of a line. A line holds one document with its prompts and answers; long contexts take a MiB. */
export const MAX_LINE_BYTES: number = 64 * 1024 * 1024;

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

export interface JsonLine {
  /** From 1. */
  readonly number: number;
  readonly value: JsonObject;
}

/**
 * The objects of a file, line by line; blank lines are left out. NaN and
 * infinities, which Python writes and JSON does not know, become the strings
 * `"NaN"`, `"Infinity"` and `"-Infinity"`.
 *
 * @returns SHA-256 of the file, in hexadecimal
 * @throws NpuDiffError `results-truncated` where the last line breaks off, `results-invalid` where a line
 *   is no object, is too long, or is no UTF-8
 */
export function* readJsonLines(file: DumpFile): Generator<JsonLine, string> {
  const hash = createHash("sha256");
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let number = 0;
  for (const { bytes, ended } of splitLines(file, (chunk) => hash.update(chunk))) {
    number += 1;
    const value = parseLine(file, { bytes, ended, number, decoder });
    if (value !== null) yield { number, value };
  }
  return hash.digest("hex");
}

interface Line {
  readonly bytes: Uint8Array;
  /** Whether a newline followed. */
  readonly ended: boolean;
}

function* splitLines(file: DumpFile, seen: (chunk: Uint8Array) => void): Generator<Line> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let lines = 0;
  for (let position = 0; position < file.size; position += CHUNK_BYTES) {
    const chunk = file.read(position, Math.min(CHUNK_BYTES, file.size - position));
    seen(chunk);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      yield { bytes: joined([...pending, chunk.subarray(start, end)]), ended: true };
      lines += 1;
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > MAX_LINE_BYTES) {
      throw file.fail(
        "results-invalid",
        `${file.name}: line ${lines + 1} is too long`,
        { found: `more than ${MAX_LINE_BYTES} bytes`, expected: "one item a line" },
        "give a file of JSON lines, such as samples_*.jsonl of lm_eval --log_samples",
      );
    }
  }
  if (pendingBytes > 0) yield { bytes: joined(pending), ended: false };
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}

/** The object of one line; null where the line is blank. */
function parseLine(
  file: DumpFile,
  {
    bytes,
    ended,
    number,
    decoder,
  }: Line & { readonly number: number; readonly decoder: TextDecoder },
): JsonObject | null {
  const invalid = (what: string, found: string, cause?: unknown) =>
    file.fail(
      "results-invalid",
      `${file.name}: line ${number} ${what}`,
      { found, expected: "one JSON object a line" },
      "give a file of JSON lines, such as samples_*.jsonl of lm_eval --log_samples",
      cause,
    );
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw invalid("is not UTF-8", "other bytes", cause);
  }
  if (text.trim() === "") return null;
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    if (!ended) {
      throw file.fail(
        "results-truncated",
        `${file.name} breaks off in line ${number}`,
        {
          found: `${counted(bytes.length, "byte")} without an end`,
          expected: "a whole JSON object",
        },
        "wait until the evaluation has ended, or run it again",
        cause,
      );
    }
    throw invalid("is not JSON", reasonOf(cause), cause);
  }
  if (!isJsonObject(value)) {
    throw invalid("is not an object", Array.isArray(value) ? "an array" : typeof value);
  }
  return value;
}
