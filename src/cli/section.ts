/**
 * `--update FILE`: the part of a Markdown file that the report replaces. It lies
 * between two lines that mark it; everything else stays byte for byte.
 */

import { isUtf8 } from "node:buffer";
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { NpuDiffError } from "../core/errors.ts";
import { reasonOf } from "../core/errors.ts";
import { type Arguments, usageError } from "./arguments.ts";
import type { Host } from "./host.ts";
import { followLinks, type OutputFile } from "./outputs.ts";

const BEGIN = "<!-- npu-diff:begin -->";
const END = "<!-- npu-diff:end -->";

/** How the help of a command that writes such a part describes the option. */
export const DESCRIBE_SECTION = {
  group: "Output:",
  describe: `Also put the Markdown report into FILE, between ${BEGIN} and ${END}`,
} as const;

/** What both markers begin with, and what the section says instead. */
const MARK = "<!-- npu-diff:";
const ESCAPED_MARK = "&lt;!-- npu-diff:";

/** A model card is text that people read. */
const LARGEST = 64 * 1024 * 1024;

/** The file as it is to be written, with the permissions that it has. */
export interface UpdatedFile {
  readonly request: OutputFile;
  readonly text: Uint8Array;
  readonly mode: number;
}

/**
 * Reads `--update` and refuses a file in which nothing could be replaced; null where it is not given.
 *
 * @throws NpuDiffError `usage`
 */
export function readSection(args: Arguments, host: Host): OutputFile | null {
  const given = args.text("update");
  if (given === null) return null;
  const file = { given, path: followLinks(resolve(host.cwd, given)) };
  findSection(file);
  return file;
}

/**
 * The file with `markdown` between its markers, in the line ends of the marker's line.
 * The file is read anew: whoever edited it during the comparison loses nothing.
 *
 * @throws NpuDiffError `usage` where the markers are gone
 */
export function withSection(request: OutputFile, markdown: string): UpdatedFile {
  const { bytes, mode, from, to, lineEnd } = findSection(request);
  // Strangers' texts are escaped where they are rendered; this holds whatever they are.
  const section = `\n\n${markdown.trimEnd()}\n\n`
    .replaceAll(MARK, ESCAPED_MARK)
    .replaceAll("\n", lineEnd);
  const text = Buffer.concat([bytes.subarray(0, from), Buffer.from(section), bytes.subarray(to)]);
  return { request, text, mode };
}

/** The bytes between the markers are those from `from` to `to`. */
interface Section {
  readonly bytes: Buffer;
  readonly mode: number;
  readonly from: number;
  readonly to: number;
  readonly lineEnd: "\n" | "\r\n";
}

function findSection({ given, path }: OutputFile): Section {
  const { bytes, mode } = readWhole(given, path);
  const begins = occurrences(bytes, BEGIN);
  const ends = occurrences(bytes, END);
  const [begin] = begins;
  const [end] = ends;
  const linesOf = (places: readonly number[]): string =>
    places.length === 0 ? "nowhere" : `line ${places.map((at) => lineAt(bytes, at)).join(", ")}`;
  const facts = { file: given, [BEGIN]: linesOf(begins), [END]: linesOf(ends) };
  if (begin === undefined || end === undefined) {
    throw usageError(
      "--update finds no part of the file to replace",
      facts,
      `put these two lines where the report belongs, an empty line between them: ${BEGIN} and ${END}`,
    );
  }
  if (begins.length > 1 || ends.length > 1) {
    throw usageError(
      "--update does not know which part of the file to replace",
      facts,
      "leave each marker once, on a line of its own; write it otherwise where the text talks of it",
    );
  }
  if (end < begin) {
    throw usageError(
      "the markers of --update stand in the wrong order",
      facts,
      `put ${BEGIN} before ${END}`,
    );
  }
  if (!isAlone(bytes, begin, BEGIN) || !isAlone(bytes, end, END)) {
    throw usageError(
      "a marker of --update shares its line",
      facts,
      "put each marker on a line of its own, without anything before or after it",
    );
  }
  const from = begin + BEGIN.length;
  const lineEnd = bytes.indexOf("\r\n", from) === from ? "\r\n" : "\n";
  return { bytes, mode, from, to: end, lineEnd };
}

function readWhole(given: string, path: string): { readonly bytes: Buffer; readonly mode: number } {
  let bytes: Buffer;
  let mode: number;
  try {
    const found = statSync(path);
    if (!found.isFile()) throw new Error("is no regular file");
    if (found.size > LARGEST) throw new Error(`${found.size} bytes are more than ${LARGEST}`);
    mode = found.mode & 0o777;
    bytes = readFileSync(path);
  } catch (error) {
    throw unreadable(given, reasonOf(error));
  }
  if (isUtf8(bytes)) return { bytes, mode };
  throw unreadable(given, "is no UTF-8, in which the report is written");
}

function unreadable(given: string, cause: string): NpuDiffError {
  return usageError(
    "--update needs a Markdown file that is there",
    { file: given, cause },
    `name an existing file in UTF-8 with the lines ${BEGIN} and ${END}; -o writes a new one`,
  );
}

function occurrences(bytes: Buffer, marker: string): readonly number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(marker); at !== -1; at = bytes.indexOf(marker, at + 1)) {
    places.push(at);
  }
  return places;
}

function lineAt(bytes: Buffer, at: number): number {
  return occurrences(bytes.subarray(0, at), "\n").length + 1;
}

/** Whether nothing but a byte order mark stands before the marker, and only the line's end after it. */
function isAlone(bytes: Buffer, at: number, marker: string): boolean {
  const start = bytes.lastIndexOf("\n", at) + 1;
  const before = bytes.toString("utf8", start, at).replace(start === 0 ? /^\uFEFF/ : "", "");
  const after = bytes.subarray(at + marker.length, at + marker.length + 2).toString("latin1");
  return before === "" && (after === "" || /^\r?\n/.test(after));
}
