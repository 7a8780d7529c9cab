/**
 * A reference set: the folder that `npu-dump reference` makes, with the
 * reference, its floors, and forced references of these and of any number of
 * candidates. Files are known by what they say of themselves
 * (`capture.set`, `capture.replay_of`), not by their names.
 */

import { basename } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import type { CompareOptions } from "../core/options.ts";
import type { RunMetadata } from "../dump/dump.ts";
import { type DumpInFolder, readDumpFolder } from "../dump/dump-folder.ts";
import { isFolder } from "../dump/folder.ts";
import { contentsOfFolder } from "../dump/folder-contents.ts";
import { filesOfForeignFolder } from "../dump/foreign/open-foreign.ts";
import { readRun } from "../dump/open-dump.ts";
import { replayOf } from "./replay.ts";

type SetRole = "reference" | "floor" | "forced";

/** What a reference set gives to a comparison beside its files. */
export interface ReferenceSet {
  /** Name of its folder. */
  readonly name: string;
  /** Files in the folder that say of themselves no role in a set, and are not used. */
  readonly strangers: readonly string[];
}

/**
 * `options` with the files of a set in the place of the folder: the reference,
 * the floors, and the forced references of the candidate and of the floors,
 * before those that were given by name. Forced references of other candidates
 * are passed over: a set is shared.
 *
 * @returns also the set, null where the reference is a dump.
 * @throws NpuDiffError `reference-set` where the folder holds no reference, or two, or files of several models.
 */
export function withReferenceSet(options: CompareOptions): {
  readonly options: CompareOptions;
  readonly set: ReferenceSet | null;
} {
  const folder = options.reference;
  if (!isFolder(folder) || filesOfForeignFolder(folder).length > 0) return { options, set: null };
  const dumps = readDumpFolder(folder);
  const of = (role: SetRole): readonly DumpInFolder[] =>
    dumps.filter((dump) => roleOf(dump) === role);
  const [reference, second] = of("reference");
  if (reference === undefined || second !== undefined)
    throw notOne(folder, dumps, reference, second);
  const candidate = readRun(options.candidate);
  const floors = of("floor");
  const judged = new Set([candidate, ...floors.map(({ run }) => run)].map(({ id }) => id));
  const forced = of("forced").filter(({ run }) => judged.has(replayOf({ run })?.id ?? ""));
  for (const dump of [...floors, ...forced]) refuseForeign(reference, dump);
  const paths = (some: readonly DumpInFolder[]): readonly string[] => some.map(({ path }) => path);
  return {
    options: {
      ...options,
      reference: reference.path,
      floors: [...paths(floors), ...options.floors],
      forced: [...paths(forced), ...options.forced],
    },
    set: {
      name: basename(folder),
      strangers: dumps
        .filter((dump) => roleOf(dump) === null && dump.run.id !== candidate.id)
        .map(({ file }) => file),
    },
  };
}

/** What a dump is in a set by its own word; null where it says nothing that is known. */
function roleOf({ run }: DumpInFolder): SetRole | null {
  const role = inner(inner(run["capture"], "set"), "role");
  return role === "reference" || role === "floor" || role === "forced" ? role : null;
}

/** Refuses a file that was made from other weights, or by another configuration, than the reference. */
function refuseForeign(reference: DumpInFolder, other: DumpInFolder): void {
  for (const key of ["weights_sha256", "config_sha256"]) {
    const hash = ({ run }: DumpInFolder): string => shown(inner(run["model"], key));
    if (hash(reference) === hash(other)) continue;
    throw new NpuDiffError("reference-set", {
      what: "the files of the reference set were made from different models",
      facts: [reference, other].map((dump) => ({
        label: roleOf(dump) ?? "file",
        text: `${dump.file}   ${key} ${hash(dump)}`,
      })),
      help: "make the whole set anew: npu-dump reference … --force",
    });
  }
}

function notOne(
  folder: string,
  dumps: readonly DumpInFolder[],
  first: DumpInFolder | undefined,
  second: DumpInFolder | undefined,
): NpuDiffError {
  if (first !== undefined && second !== undefined) {
    return new NpuDiffError("reference-set", {
      what: "the folder holds two references",
      facts: [first, second].map(({ file, run }) => ({
        label: "reference",
        text: `${file}   id ${run.id}`,
      })),
      help: "keep each reference set in a folder of its own",
    });
  }
  const { found, help } = contentsOfFolder(folder);
  const make = "npu-dump reference CANDIDATE --model MODEL -o FOLDER";
  return new NpuDiffError("reference-set", {
    what: "the folder holds no reference set",
    facts: [
      { label: "folder", text: folder },
      { label: "found", text: dumps.length === 0 ? found : `${found}: none says that it is one` },
      {
        label: "expected",
        text: "what npu-dump reference made, or a folder of msprobe or with a file for each tensor",
      },
    ],
    help:
      help === null
        ? `make the set: ${make}`
        : help + (dumps.length > 0 ? `; a set is made by ${make}` : ""),
  });
}

function inner(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as RunMetadata)[key]
    : null;
}

/** Metadata is a file's own word, of any length. */
function shown(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 80) : "not told";
}
