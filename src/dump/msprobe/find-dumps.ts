/** Where the dumps of msprobe lie: `dump.json` itself, its folder, or the folders of steps and ranks above it. */

import { type Dirent, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { NpuDiffError } from "../../core/errors.ts";
import { entriesOf } from "../folder.ts";

/** One `dump.json`. */
export interface StepDump {
  /** The number in the name of its `step` folder; null where it lies in none. */
  readonly step: number | null;
  readonly path: string;
}

const JSON_NAME = "dump.json";
const STEP = /^step(\d{1,9})$/;
/** `proc` and `rank` without a number are those of runs of one device. */
const RANK = /^(?:rank\d{0,9}|proc\d{1,9})$/;

/** A folder with more entries has none that are looked at. */
const MAX_ENTRIES = 65_536;

/** Steps of a run: each is a file of its own. */
const MAX_STEPS = 4096;

/**
 * The dumps at `path`, by step; none where no dump.json lies in that folder or below. A file is taken for one.
 *
 * @throws NpuDiffError `dump-schema` where several ranks lie there: one of them is to be compared.
 */
export function findMsprobe(path: string): readonly StepDump[] {
  if (isFile(path)) return [{ step: stepOf(dirname(path)), path }];
  const names = foldersIn(path);
  if (names === null) return [];
  const here = join(path, JSON_NAME);
  if (isFile(here)) return [{ step: stepOf(path), path: here }];
  const ranks = names.filter((name) => RANK.test(name) && isFile(join(path, name, JSON_NAME)));
  const [rank, other] = ranks;
  if (rank !== undefined && other === undefined) {
    return [{ step: stepOf(path), path: join(path, rank, JSON_NAME) }];
  }
  if (rank !== undefined) throw severalRanks(path, ranks);
  const steps = names.filter((name) => STEP.test(name));
  const found = steps.slice(0, MAX_STEPS).flatMap((name) => findMsprobe(join(path, name)));
  return found.toSorted((a, b) => (a.step ?? 0) - (b.step ?? 0));
}

/** The number of the innermost folder of a step that `folder` lies in, or that it is. */
function stepOf(folder: string): number | null {
  const found = STEP.exec(basename(folder)) ?? STEP.exec(basename(dirname(folder)));
  return found === null ? null : Number(found[1]);
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The folders in `path`; null where it is none itself, or cannot be read. */
function foldersIn(path: string): readonly string[] | null {
  return namesIn(path, (entry) => entry.isDirectory());
}

/** The names of some entries of a folder, as far as they are looked at; null where it is none or cannot be read. */
function namesIn(path: string, picks: (entry: Dirent) => boolean): readonly string[] | null {
  try {
    return entriesOf(path, MAX_ENTRIES)
      .filter(picks)
      .map(({ name }) => name);
  } catch {
    return null;
  }
}

/** Where msprobe puts tensors, whatever `dump_data_dir` says: dumps are moved. */
export function tensorFolderOf(dumpJson: string): string {
  return join(dirname(dumpJson), "dump_tensor_data");
}

/** The files of the dump of msprobe in `folder`; none where there is none. Throws as {@link findMsprobe} does. */
export function filesOfMsprobe(folder: string): readonly string[] {
  return findMsprobe(folder).flatMap(({ path }) => {
    const tensors = tensorFolderOf(path);
    return [path, ...tensorFilesIn(tensors).map((name) => join(tensors, name))];
  });
}

/** The names of the files in the folder of the tensors, as far as they are looked at. */
export function tensorFilesIn(folder: string): readonly string[] {
  return namesIn(folder, (entry) => entry.isFile()) ?? [];
}

function severalRanks(path: string, ranks: readonly string[]): NpuDiffError {
  return new NpuDiffError("dump-schema", {
    what: "the dump is of several ranks",
    facts: [
      { label: "folder", text: path },
      { label: "found", text: `${ranks.slice(0, 8).join(", ")}${ranks.length > 8 ? ", …" : ""}` },
      { label: "expected", text: "one rank: msprobe does not tell how the tensors were split" },
    ],
    help: `give the folder of one rank on both sides, such as ${join(path, ranks[0] ?? "rank0")}`,
  });
}
