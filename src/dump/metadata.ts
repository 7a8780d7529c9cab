/** The metadata of a dump: its version, the run, and how the run ended. */

import { counted } from "../core/counted.ts";
import { isDType } from "../core/dtype.ts";
import type { NpuDiffError } from "../core/errors.ts";
import { MAX_JSON_BYTES } from "./bounds.ts";
import { RUN_END, RUN_KEY, VERSION, VERSION_KEY } from "./contract.ts";
import type { RunMetadata } from "./dump.ts";
import { type DumpFile, shellWord } from "./dump-file.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "./json.ts";
import type { Region } from "./regions.ts";

/**
 * Reads the run metadata out of a schema's metadata.
 *
 * @throws NpuDiffError `dump-schema` where the file is no dump, `dump-version` where it is one of a version
 *   that this reader does not know, `dump-metadata` where the run is not described as the contract asks
 */
export function readRun(file: DumpFile, metadata: ReadonlyMap<string, string>): RunMetadata {
  const version = metadata.get(VERSION_KEY);
  if (version === undefined) {
    throw file.fail("dump-schema", `${file.name} is an Arrow file, but not a dump`, {
      found: `the metadata keys ${[...metadata.keys()].join(", ") || "(none)"}`,
      expected: `${VERSION_KEY} and ${RUN_KEY}`,
    });
  }
  const major = /^(\d{1,9})(?:\.\d{1,9}){0,2}$/.exec(version)?.[1];
  if (major === undefined || Number(major) !== VERSION) {
    throw file.fail(
      "dump-version",
      `${file.name} is a dump of another version`,
      { found: `version ${version}`, expected: `version ${VERSION}` },
      "install the release of npu-diff that goes with the npu-dump that wrote it, or capture the dump again",
    );
  }
  const run = parseJsonObject(file, metadata.get(RUN_KEY) ?? "", RUN_KEY, "dump-metadata");
  const wrong = (key: string, expected: string) =>
    file.fail("dump-metadata", `${file.name}: ${RUN_KEY} does not describe the run`, {
      found: key in run ? `"${key}": ${JSON.stringify(run[key])}` : `no "${key}"`,
      expected: `"${key}" as ${expected}`,
    });
  if (!("tool" in run) || run["tool"] === null)
    throw wrong("tool", "the program that wrote the file");
  if (typeof run["id"] !== "string" || run["id"] === "") throw wrong("id", "a string");
  const { dtype } = run;
  if (typeof dtype !== "string" || !isDType(dtype)) throw wrong("dtype", "a dtype, like BF16");
  return run as RunMetadata;
}

/** Whether a run was read out of a file of another tool, which may tell neither ids nor what it meant to store. */
export function isImported(run: RunMetadata): boolean {
  return isJsonObject(run["imported"]);
}

/** Components of each row of a sketch (k), null where the metadata does not say. */
export function sketchSize(run: RunMetadata): number | null {
  const capture = run["capture"];
  const sketch = isJsonObject(capture) ? capture["sketch"] : undefined;
  const size = isJsonObject(sketch) ? sketch["k"] : undefined;
  return typeof size === "number" && Number.isSafeInteger(size) && size > 0 ? size : null;
}

/**
 * Reads the last row's JSON.
 *
 * @throws NpuDiffError `dump-incomplete` where there is none, or it does not say `complete: true`
 */
export function readRunEnd(file: DumpFile, data: Region | null): JsonObject {
  const end = data === null ? null : parseRunEnd(file, data);
  if (end?.["complete"] === true) return end;
  throw incomplete(
    file,
    end === null ? `no row ${RUN_END}` : `"complete": ${JSON.stringify(end["complete"] ?? null)}`,
    `a last row ${RUN_END} that says "complete": true`,
  );
}

/** Parses the JSON of a `run.end` row, whatever it says. */
export function parseRunEnd(file: DumpFile, data: Region): JsonObject {
  if (data.length > MAX_JSON_BYTES) {
    throw file.corrupt(`${RUN_END} is too long`, {
      found: counted(data.length, "byte"),
      expected: `at most ${MAX_JSON_BYTES}`,
    });
  }
  const bytes = file.read(data.position, data.length);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw file.corrupt(
      `${RUN_END} is not UTF-8`,
      { found: "invalid bytes", expected: "JSON in UTF-8" },
      cause,
    );
  }
  return parseJsonObject(file, text, RUN_END, "dump-corrupt");
}

/** The error for a file whose writer has not finished. */
export function incomplete(file: DumpFile, found: string, expected: string): NpuDiffError {
  return file.fail(
    "dump-incomplete",
    `${file.name} is incomplete: its writer did not finish`,
    { found, expected },
    repairHelp(file),
  );
}

/** What to do about a file that lacks its end. */
export function repairHelp(file: DumpFile): string {
  return `capture it again, or keep every complete record batch: npu-diff repair ${shellWord(file.path)} repaired.arrow`;
}
