/**
 * The files of a dump: one, or one of each rank. A set of ranks is named by a
 * pattern (`npu.rank*.arrow`) or by the file of any one rank.
 */

import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { counted } from "../core/counted.ts";
import { NpuDiffError, reasonOf } from "../core/errors.ts";
import { readRunOf } from "./arrow-dump.ts";
import { MAX_RANKS } from "./bounds.ts";
import { matchesAny } from "./contract.ts";
import type { RunMetadata } from "./dump.ts";
import { DumpFile } from "./dump-file.ts";
import { entriesOf } from "./folder.ts";
import { isJsonObject } from "./json.ts";

/** `NAME.rank3.arrow`: the name up to the number, and the number. */
const RANK_FILE = /^(.+\.rank)(\d{1,9})\.arrow$/;

/** A folder with more entries is not looked through for ranks. */
const MAX_ENTRIES = 2 ** 16;

/** What a path stands for. */
export interface DumpPaths {
  /** The name to show: the file's own, or the pattern of the ranks' names. */
  readonly name: string;
  /** One file or more, by name. */
  readonly paths: readonly string[];
}

/**
 * The files that `path` stands for. A `*` in its last part stands for any
 * characters, where no file has that very name; the file of one rank stands for
 * those of all ranks that lie beside it.
 *
 * @throws NpuDiffError `file-not-found` where nothing matches, `file-unreadable` where the folder cannot be read or
 *   too many files match
 */
export function dumpPaths(path: string): DumpPaths {
  const name = basename(path);
  if (name.includes("*") && !existsSync(path)) return { name, paths: matching(path) };
  const pattern = patternOfRanks(path);
  if (pattern === null) return { name, paths: [path] };
  const worldSize = worldSizeOf(path);
  const paths = matching(pattern).filter((file) => {
    const rank = RANK_FILE.exec(basename(file))?.[2];
    return rank !== undefined && Number(rank) < worldSize;
  });
  return { name: basename(pattern), paths };
}

/** The pattern that names all ranks beside the file of one; null where `path` is no rank of several. */
export function patternOfRanks(path: string): string | null {
  const stem = RANK_FILE.exec(basename(path))?.[1];
  if (stem === undefined || worldSizeOf(path) === 1) return null;
  return join(dirname(path), `${stem}*.arrow`);
}

/**
 * Refuses ranks of one run that are given one by one: each of them stands for
 * all, so that a run would be compared with itself.
 *
 * @throws NpuDiffError `usage`, and the codes of {@link dumpPaths}
 */
export function refuseRanksApart(given: readonly string[]): void {
  const files = given.map((path) => new Set(dumpPaths(path).paths.map((file) => resolve(file))));
  for (const [i, path] of given.entries()) {
    const mine = files[i] as ReadonlySet<string>;
    const other = given.findIndex((later, j) => {
      const isApart = j > i && resolve(later) !== resolve(path);
      return isApart && mine.size > 1 && [...mine].some((file) => files[j]?.has(file) === true);
    });
    if (other === -1) continue;
    throw new NpuDiffError("usage", {
      what: "ranks of one run were given as dumps of their own",
      facts: [
        { label: "given", text: path },
        { label: "and", text: given[other] ?? "" },
      ],
      help: "give all ranks as one dump, by their quoted pattern: 'NAME.rank*.arrow'",
    });
  }
}

/** What `run.parallel` of a file says, unchecked: 1 where it cannot be read, for whoever opens it to say why. */
function worldSizeOf(path: string): number {
  let run: RunMetadata;
  try {
    const file = DumpFile.open(path);
    try {
      run = readRunOf(file);
    } finally {
      file.close();
    }
  } catch {
    return 1;
  }
  const parallel = run["parallel"];
  const size = isJsonObject(parallel) ? parallel["world_size"] : null;
  return typeof size === "number" && size > 1 ? size : 1;
}

function matching(pattern: string): readonly string[] {
  const [folder, glob] = [dirname(pattern), basename(pattern)];
  const entries = entriesAt(folder, pattern);
  if (entries.length > MAX_ENTRIES) throw tooMany(pattern, `more than ${MAX_ENTRIES} entries`);
  const names = entries.map(({ name }) => name).filter((name) => matchesAny([glob], name));
  if (names.length === 0) throw notFound(pattern, "no file of such a name");
  if (names.length > MAX_RANKS) throw tooMany(pattern, counted(names.length, "file"));
  return names.map((name) => join(folder, name));
}

function entriesAt(folder: string, pattern: string): ReturnType<typeof entriesOf> {
  try {
    return entriesOf(folder, MAX_ENTRIES);
  } catch (cause) {
    throw notFound(pattern, reasonOf(cause), cause);
  }
}

function notFound(pattern: string, found: string, cause?: unknown): NpuDiffError {
  return new NpuDiffError("file-not-found", {
    what: `no file matches ${basename(pattern)}`,
    facts: [
      { label: "pattern", text: pattern },
      { label: "found", text: found },
    ],
    help: "check the path; * stands for any characters in the name of the file alone",
    cause,
  });
}

function tooMany(pattern: string, found: string): NpuDiffError {
  return new NpuDiffError("file-unreadable", {
    what: `${basename(pattern)} matches too much to be the ranks of one run`,
    facts: [
      { label: "pattern", text: pattern },
      { label: "found", text: found },
      { label: "expected", text: `at most ${MAX_RANKS} files` },
    ],
    help: "give a pattern of the ranks alone, such as 'npu.rank*.arrow'",
  });
}
