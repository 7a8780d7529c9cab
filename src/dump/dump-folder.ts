/** A folder of dumps: which files are in it, and what each says of its run. */

import { lstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import type { RunMetadata } from "./dump.ts";
import { isFolder, readFolder } from "./folder.ts";
import { filesOfForeignFolder } from "./foreign/open-foreign.ts";
import { readRun } from "./open-dump.ts";
import { dumpPaths, patternOfRanks } from "./rank-paths.ts";

const SUFFIX = ".arrow";

/** A folder with more entries is not one that was made for dumps. */
const MAX_ENTRIES = 4096;

/** A dump of which the metadata alone was read. */
export interface DumpInFolder {
  readonly path: string;
  /** File name without its folder. */
  readonly file: string;
  readonly run: RunMetadata;
}

/** Bytes of the dumps at `paths` together; what cannot be looked at counts nothing. */
export function bytesOfFiles(paths: readonly string[]): number {
  const sizeOf = (path: string): number => {
    try {
      return filesAt(path).reduce((sum, file) => sum + statSync(file).size, 0);
    } catch {
      return 0;
    }
  };
  return paths.reduce((sum, path) => sum + sizeOf(path), 0);
}

/** The files of the dump at `path`, or of those in the folder that it is. */
export function filesAt(path: string): readonly string[] {
  if (!isFolder(path)) return dumpPaths(path).paths;
  const files = filesOfForeignFolder(path);
  return files.length > 0 ? files : namesIn(path).map((name) => join(path, name));
}

/**
 * The dumps that lie in `folder` itself, by name. Their indexes are not read,
 * and a file whose writer has not finished is not among them. Of several ranks the first stands for all.
 *
 * @throws NpuDiffError `file-unreadable` where the folder cannot be read, or holds a link or a special file
 *   named like a dump; the codes of {@link readRun} where a file is no dump.
 */
export function readDumpFolder(folder: string): readonly DumpInFolder[] {
  const sets = new Set<string>();
  return namesIn(folder).flatMap((name): DumpInFolder[] => {
    const path = join(folder, name);
    // A link could lead anywhere, and name one file twice.
    if (!lstatSync(path).isFile()) {
      throw new NpuDiffError("file-unreadable", {
        what: `${name} is not a regular file`,
        facts: [
          { label: "folder", text: folder },
          { label: "found", text: "a link, a folder, or a special file" },
        ],
        help: "put the dump itself into the folder, or take the entry out",
      });
    }
    const ranks = patternOfRanks(path);
    if (ranks !== null && sets.has(ranks)) return [];
    if (ranks !== null) sets.add(ranks);
    return [{ path, file: name, run: readRun(path) }];
  });
}

function namesIn(folder: string): readonly string[] {
  const entries = readFolder(folder, MAX_ENTRIES);
  if (entries.length > MAX_ENTRIES) throw tooMany(folder);
  return entries.map(({ name }) => name).filter((name) => name.endsWith(SUFFIX));
}

function tooMany(folder: string): NpuDiffError {
  return new NpuDiffError("file-unreadable", {
    what: "the folder holds too many entries for a reference set",
    facts: [
      { label: "folder", text: folder },
      { label: "found", text: `more than ${String(MAX_ENTRIES)}` },
    ],
    help: "give the folder that npu-dump reference made",
  });
}
