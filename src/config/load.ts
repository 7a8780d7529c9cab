/** Finds the config and reads it: every error names the file and the line. */

import { existsSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import { CONFIG_SCHEMA, type Config } from "./config.ts";
import { checkDocument, type DocumentKind, readDocument } from "./read-document.ts";

/** The names that a config may have. Of two in one folder neither counts. */
export const CONFIG_NAMES = ["npu-diff.json", "npu-diff.jsonc", "npu-diff.yaml"] as const;

const CONFIG: DocumentKind = {
  noun: "config",
  invalid: "config-invalid",
  missing: "config-missing",
  makeNew: "make a new one: npu-diff init REFERENCE CANDIDATE -o npu-diff.jsonc --force",
  makeOne: "check the path, or make one: npu-diff init REFERENCE CANDIDATE",
};

/** A config that holds to its schema. */
export interface LoadedConfig {
  /** Name of its file without the folder; `config` where it is no file. */
  readonly name: string;
  /** The folder that its paths are relative to. */
  readonly folder: string;
  readonly config: Config;
  /** The place of a part, the same on every machine: `npu-diff.jsonc:12`, or `config.pairs.a` where it is no file. */
  placeOf(path: readonly (string | number)[]): string;
}

/** A config that was read from a file. */
export interface ConfigFile extends LoadedConfig {
  /** Absolute path of the file. */
  readonly path: string;
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
export function readConfig(path: string, cwd: string): ConfigFile {
  const { value, placeOf } = readDocument<Config>(path, cwd, CONFIG_SCHEMA, CONFIG);
  return { name: basename(path), path, folder: dirname(path), config: value, placeOf };
}

/**
 * A config that a program made.
 *
 * @param folder what its paths are relative to
 * @throws NpuDiffError `config-invalid`
 */
export function configOf(given: object, folder: string): LoadedConfig {
  const { value, placeOf } = checkDocument<Config>(given, CONFIG_SCHEMA, CONFIG);
  return { name: CONFIG.noun, folder, config: value, placeOf };
}
