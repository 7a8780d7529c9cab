/**
 * Report files (`-o`, `--update`): what is asked for, checked before the work begins, and
 * written so that a file is either whole or not there.
 */

import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import type { NpuDiffError } from "../core/errors.ts";
import { unwritable } from "../core/errors.ts";
import type { Format } from "../report/render.ts";
import { usageError } from "./arguments.ts";
import type { Host } from "./host.ts";

/** A file that is to be written. */
export interface OutputFile {
  /** As it was given, for messages. */
  readonly given: string;
  /** Absolute, with symbolic links resolved, so that a rename keeps them. */
  readonly path: string;
}

/** A report file that was asked for. */
export interface OutputRequest<F extends Format = Format> extends OutputFile {
  readonly format: F;
}

const FORMAT_OF_EXTENSION: Readonly<Record<string, Format>> = {
  ".html": "html",
  ".json": "json",
  ".md": "md",
  ".txt": "text",
  ".xml": "junit",
  ".sarif": "sarif",
  ".csv": "csv",
};

/**
 * Reads the values of `-o` and refuses what could not be written later.
 *
 * @param inputs paths of the files that are read, which no report may replace
 * @param formats what the command can write
 * @param section the file of `--update`, which is written as well
 * @throws NpuDiffError `usage` or `output-unwritable`
 */
export function parseOutputs<F extends Format>(
  values: readonly string[],
  inputs: readonly string[],
  cwd: string,
  formats: readonly F[],
  section: OutputFile | null,
): readonly OutputRequest<F>[] {
  const requests = values.map((given) => parseOutput(given, cwd, formats));
  const taken = new Map<string, string>();
  for (const input of inputs) taken.set(identity(resolve(cwd, input)), `the input ${input}`);
  for (const { given, path } of section === null ? requests : [section, ...requests]) {
    const owner = taken.get(identity(path));
    if (owner !== undefined) {
      throw usageError(
        "a report would replace another file of this call",
        { output: given, taken: owner },
        "give every report a path of its own",
      );
    }
    taken.set(identity(path), `the report ${given}`);
    refuseUnwritable(given, path);
  }
  return requests;
}

/**
 * Writes all reports, or none: each to a temporary name in its own folder, and
 * only when all are written they get their names.
 *
 * @throws NpuDiffError `output-unwritable`
 */
export function writeOutputs(
  reports: readonly {
    readonly request: OutputFile;
    readonly text: string | Uint8Array;
    /** Permissions; those of new files where they are left out. */
    readonly mode?: number;
  }[],
  host: Host,
): void {
  const written: { readonly temporary: string; readonly request: OutputFile }[] = [];
  for (const { request, text, mode } of reports) {
    const temporary = join(
      dirname(request.path),
      `.${basename(request.path)}.${randomBytes(6).toString("hex")}.tmp`,
    );
    written.push({ temporary, request });
    host.temporary(temporary);
    attempt(request.given, written, () => {
      writeFileSync(temporary, text, { flag: "wx" });
      if (mode !== undefined) chmodSync(temporary, mode);
    });
  }
  for (const { temporary, request } of written) {
    attempt(request.given, written, () => {
      renameSync(temporary, request.path);
    });
  }
}

function parseOutput<F extends Format>(
  given: string,
  cwd: string,
  formats: readonly F[],
): OutputRequest<F> {
  const equals = given.indexOf("=");
  const prefix = equals === -1 ? "" : given.slice(0, equals);
  const named = formats.find((format) => format === prefix);
  const path = named === undefined ? given : given.slice(equals + 1);
  const ofExtension = FORMAT_OF_EXTENSION[extname(path).toLowerCase()];
  const format = named ?? formats.find((one) => one === ofExtension);
  if (path === "-") {
    throw usageError(
      "-o writes files",
      { given: JSON.stringify(given), expected: "a path" },
      "choose the report on standard output with --format",
    );
  }
  if (path === "" || format === undefined) {
    throw usageError(
      "-o does not say which report to write",
      {
        given: JSON.stringify(given),
        expected: `a path that ends in ${extensionsOf(formats).join(", ")}, or FORMAT=PATH with ${formats.join(", ")}`,
      },
      "name the format, such as -o md=report",
    );
  }
  return { given, format, path: followLinks(resolve(cwd, path)) };
}

function extensionsOf(formats: readonly Format[]): readonly string[] {
  return Object.entries(FORMAT_OF_EXTENSION).flatMap(([extension, format]) =>
    formats.includes(format) ? [extension] : [],
  );
}

/** The file that `path` leads to, or the path itself where there is none. */
export function followLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    try {
      return join(realpathSync(dirname(path)), basename(path));
    } catch {
      return path;
    }
  }
}

/** The same for two paths of one file, hard links included. */
function identity(path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return followLinks(path);
  }
}

function refuseUnwritable(given: string, path: string): void {
  let found: ReturnType<typeof statSync>;
  try {
    accessSync(dirname(path), constants.W_OK);
    found = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw unwritableReport(given, error);
  }
  // A rename would replace a device such as /dev/null by a file.
  if (found !== undefined && !found.isFile()) {
    throw unwritableReport(
      given,
      new Error(found.isDirectory() ? "is a folder" : "is no regular file"),
    );
  }
}

function attempt(
  given: string,
  written: readonly { readonly temporary: string }[],
  step: () => void,
): void {
  try {
    step();
  } catch (error) {
    for (const { temporary } of written) rmSync(temporary, { force: true });
    throw unwritableReport(given, error);
  }
}

function unwritableReport(given: string, cause: unknown): NpuDiffError {
  return unwritable("a report cannot be written", { label: "output", path: given, cause });
}
