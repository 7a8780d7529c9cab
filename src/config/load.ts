/** Finds the config and reads it: every error names the file and the line. */

import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { type Mismatch, mismatchOf } from "../core/validate.ts";
import { CONFIG_SCHEMA, type Config } from "./config.ts";
import { parseJson } from "./parse-json.ts";
import { parseYaml } from "./parse-yaml.ts";
import type { TextFault, Tree } from "./tree.ts";

/** The names that a config may have. Of two in one folder neither counts. */
export const CONFIG_NAMES = ["npu-diff.json", "npu-diff.jsonc", "npu-diff.yaml"] as const;

/** A config of a thousand pairs has less. */
const MAX_BYTES = 256 * 1024;

/** A config that was read. */
export interface LoadedConfig {
  /** Absolute path of the file. */
  readonly path: string;
  /** Its folder, which its paths are relative to. */
  readonly folder: string;
  readonly config: Config;
  /** `npu-diff.jsonc:12`: the place of a part, the same on every machine. */
  placeOf(path: readonly (string | number)[]): string;
}

/**
 * The config for `cwd`: in it or in a folder around it, as far as the one that
 * holds `.git`. Outside of a git repository only `cwd` counts, because folders
 * further out may belong to somebody else.
 *
 * @throws NpuDiffError `config-missing` or `config-invalid`
 */
export function findConfig(cwd: string): string {
  const folders = foldersOf(cwd);
  for (const folder of folders) {
    const [found, second] = CONFIG_NAMES.filter((name) => existsSync(join(folder, name)));
    if (found !== undefined && second !== undefined) {
      throw new NpuDiffError("config-invalid", {
        what: "a folder holds two configs",
        facts: [found, second].map((name) => ({
          label: "config",
          text: relative(cwd, join(folder, name)),
        })),
        help: "keep one of them",
      });
    }
    if (found !== undefined) return join(folder, found);
  }
  throw new NpuDiffError("config-missing", {
    what: "there is no config",
    facts: [
      { label: "looked for", text: CONFIG_NAMES.join(", ") },
      { label: "in", text: folders.length === 1 ? cwd : `${cwd}, up to ${folders.at(-1) ?? ""}` },
    ],
    help: "make one: npu-diff init REFERENCE CANDIDATE",
  });
}

/** `cwd` and the folders around it, up to the one that holds `.git`. */
function foldersOf(cwd: string): readonly string[] {
  const folders: string[] = [];
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    folders.push(folder);
    if (existsSync(join(folder, ".git"))) return folders;
    if (dirname(folder) === folder) return [resolve(cwd)];
  }
}

/**
 * Reads and checks the config at `path`.
 *
 * @param cwd what paths in messages are relative to
 * @throws NpuDiffError `config-missing` or `config-invalid`
 */
export function readConfig(path: string, cwd: string): LoadedConfig {
  const shown = relative(cwd, path) || path;
  const text = readText(path, shown);
  const tree = parse(path, text);
  if ("found" in tree) throw textError(shown, tree);
  const mismatch = mismatchOf(tree.value, CONFIG_SCHEMA);
  if (mismatch !== null) throw mismatchError(shown, mismatch, tree);
  return {
    path,
    folder: dirname(path),
    config: tree.value as unknown as Config,
    placeOf: (at) => `${basename(path)}:${tree.lineOf(at)}`,
  };
}

function parse(path: string, text: string): Tree | TextFault {
  if (path.endsWith(".yaml")) return parseYaml(text);
  return parseJson(text, { comments: path.endsWith(".jsonc") });
}

function readText(path: string, shown: string): string {
  const invalid = (found: string, expected: string): NpuDiffError =>
    new NpuDiffError("config-invalid", {
      what: `${shown} is no config`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "make a new one: npu-diff init REFERENCE CANDIDATE -o npu-diff.jsonc --force",
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
    throw new NpuDiffError("config-missing", {
      what: "the config cannot be read",
      facts: [
        { label: "config", text: shown },
        { label: "cause", text: error instanceof Error ? error.message : String(error) },
      ],
      help: "check the path, or make one: npu-diff init REFERENCE CANDIDATE",
      cause: error,
    });
  }
}

function textError(shown: string, { line, found, expected }: TextFault): NpuDiffError {
  return new NpuDiffError("config-invalid", {
    what: `${shown}:${line} cannot be read`,
    facts: [
      { label: "found", text: found },
      { label: "expected", text: expected },
    ],
    help: `correct line ${line} of ${shown}`,
  });
}

function mismatchError(shown: string, mismatch: Mismatch, tree: Tree): NpuDiffError {
  const { path, kind, expected, found } = mismatch;
  const at = `${shown}:${tree.lineOf(path)}`;
  const name = path.join(".") || "the config";
  const key = String(path.at(-1) ?? "");
  if (kind === "unknown") {
    const meant = nearest(key, expected);
    return new NpuDiffError("config-invalid", {
      what: `${at} has an unknown key ${JSON.stringify(key)}`,
      facts: [
        { label: "key", text: name },
        { label: "known", text: expected.join(", ") },
      ],
      help:
        meant === null
          ? `use a known key, or remove line ${tree.lineOf(path)}`
          : `did you mean ${meant}?`,
    });
  }
  const meant = kind === "value" && found.startsWith('"') ? nearest(found, expected) : null;
  return new NpuDiffError("config-invalid", {
    what: kind === "missing" ? `${at} lacks a key` : `${at} has a wrong value`,
    facts: [
      { label: "key", text: kind === "missing" ? [...path, ...expected].join(".") : name },
      { label: "found", text: found },
      { label: "expected", text: kind === "missing" ? "the key" : expected.join(", ") },
    ],
    help:
      meant === null ? `correct line ${tree.lineOf(path)} of ${shown}` : `did you mean ${meant}?`,
  });
}
