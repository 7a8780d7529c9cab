/** What a user wrote, in a file (JSON, JSONC or YAML) or in a program: every error names the place. */

import { readFileSync, statSync } from "node:fs";
import { basename, relative } from "node:path";
import { type ErrorCode, NpuDiffError, reasonOf } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { SchemaOf } from "../core/schema.ts";
import { type Mismatch, mismatchOf } from "../core/validate.ts";
import { parseJson } from "./parse-json.ts";
import { parseYaml } from "./parse-yaml.ts";
import type { TextFault, Tree } from "./tree.ts";

/** A config of a thousand pairs has less. */
const MAX_BYTES = 256 * 1024;

/** What a file is, in the words of its errors. */
export interface DocumentKind {
  readonly noun: string;
  readonly invalid: ErrorCode;
  readonly missing: ErrorCode;
  /** What to do about a file that is none, and about one that is not there. */
  readonly makeNew: string;
  readonly makeOne: string;
}

/** What was written, held to its schema. */
export interface Document<T> {
  readonly value: T;
  /** The place of a part, the same on every machine: `npu-diff.jsonc:12`, or `config.pairs` where there is no file. */
  readonly placeOf: (path: readonly (string | number)[]) => string;
}

/**
 * Reads and checks the file at `path`; its ending says how it is written.
 *
 * @param cwd what paths in messages are relative to
 * @throws NpuDiffError the codes of `kind`
 */
export function readDocument<T>(
  path: string,
  cwd: string,
  schema: SchemaOf<T>,
  kind: DocumentKind,
): Document<T> {
  const shown = relative(cwd, path) || path;
  const text = readText(path, shown, kind);
  const tree = parse(path, text);
  if ("found" in tree) throw textError(shown, tree, kind);
  const mismatch = mismatchOf(tree.value, schema);
  if (mismatch !== null) {
    const line = tree.lineOf(mismatch.path);
    throw mismatchError(mismatch, `${shown}:${line}`, `line ${line} of ${shown}`, kind);
  }
  return {
    value: tree.value as unknown as T,
    placeOf: (at) => `${basename(path)}:${tree.lineOf(at)}`,
  };
}

/**
 * The same of what a program gives in the place of a file.
 *
 * @throws NpuDiffError the code of `kind` for what is invalid
 */
export function checkDocument<T>(
  given: unknown,
  schema: SchemaOf<T>,
  kind: DocumentKind,
): Document<T> {
  const mismatch = mismatchOf(given, schema);
  if (mismatch !== null) {
    const part = [kind.noun, ...mismatch.path].join(".");
    throw mismatchError(mismatch, `the ${kind.noun}`, part, kind);
  }
  return { value: given as T, placeOf: (at) => [kind.noun, ...at].join(".") };
}

function parse(path: string, text: string): Tree | TextFault {
  if (/\.ya?ml$/u.test(path)) return parseYaml(text);
  return parseJson(text, { comments: path.endsWith(".jsonc") });
}

function readText(path: string, shown: string, kind: DocumentKind): string {
  const invalid = (found: string, expected: string): NpuDiffError =>
    new NpuDiffError(kind.invalid, {
      what: `${shown} is no ${kind.noun}`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: kind.makeNew,
    });
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw invalid("no regular file", "a text file");
    if (stat.size > MAX_BYTES) throw invalid(`${stat.size} bytes`, `at most ${MAX_BYTES}`);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
    const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
    if (control !== null) throw invalid("control characters", "a text file");
    return text;
  } catch (error) {
    if (error instanceof NpuDiffError) throw error;
    if (error instanceof TypeError) throw invalid("no UTF-8", "a text file in UTF-8");
    throw new NpuDiffError(kind.missing, {
      what: `the ${kind.noun} cannot be read`,
      facts: [
        { label: kind.noun, text: shown },
        { label: "cause", text: reasonOf(error) },
      ],
      help: kind.makeOne,
      cause: error,
    });
  }
}

function textError(
  shown: string,
  { line, found, expected }: TextFault,
  kind: DocumentKind,
): NpuDiffError {
  return new NpuDiffError(kind.invalid, {
    what: `${shown}:${line} cannot be read`,
    facts: [
      { label: "found", text: found },
      { label: "expected", text: expected },
    ],
    help: `correct line ${line} of ${shown}; in YAML a name with { } or * stands in quotes`,
  });
}

/**
 * @param at the place, as a sentence begins with it
 * @param part what is to be corrected
 */
function mismatchError(
  { path, kind, expected, found }: Mismatch,
  at: string,
  part: string,
  kindOfDocument: DocumentKind,
): NpuDiffError {
  const name = path.join(".") || `the ${kindOfDocument.noun}`;
  const key = String(path.at(-1) ?? "");
  if (kind === "unknown") {
    const meant = nearest(key, expected);
    return new NpuDiffError(kindOfDocument.invalid, {
      what: `${at} has an unknown key ${JSON.stringify(key)}`,
      facts: [
        { label: "key", text: name },
        { label: "known", text: expected.join(", ") },
      ],
      help: meant === null ? `use a known key, or remove ${part}` : `did you mean ${meant}?`,
    });
  }
  const meant = kind === "value" && found.startsWith('"') ? nearest(found, expected) : null;
  return new NpuDiffError(kindOfDocument.invalid, {
    what: kind === "missing" ? `${at} lacks a key` : `${at} has a wrong value`,
    facts: [
      { label: "key", text: kind === "missing" ? [...path, ...expected].join(".") : name },
      { label: "found", text: found },
      { label: "expected", text: kind === "missing" ? "the key" : expected.join(", ") },
    ],
    help: meant === null ? `correct ${part}` : `did you mean ${meant}?`,
  });
}
