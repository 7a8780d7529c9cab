/** What a folder holds that is no dump, for the error that says so. */

import { join } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import { readFolder } from "./folder.ts";

/** Entries of a folder that are looked at, and names that are shown. */
const MAX_ENTRIES = 4096;
const NAMED = 5;

/** Files that are dumps by their names: a file of tensors, an index of shards, a tree of the model debugger. */
const DUMP =
  /(?:\.(?:arrow|npz|npy|kld|pt|safetensors)|\.safetensors\.index\.json|_debug_tree_FULL_TENSORS\.json)$/;

export interface FolderContents {
  /** In words: `nothing`, or names, those of dumps first. */
  readonly found: string;
  /** What to do, where what was found tells. */
  readonly help: string | null;
}

/** What lies in `folder`, one level of its folders included. */
export function contentsOfFolder(folder: string): FolderContents {
  const { files, folders } = list(folder);
  // An index or a tree stands for the files beside it.
  const dumps = [
    ...files.filter((name) => DUMP.test(name) && name.endsWith(".json")),
    ...files.filter((name) => DUMP.test(name) && !name.endsWith(".json")),
  ];
  const others = files.filter((name) => !DUMP.test(name));
  const names = [...dumps, ...folders.map((name) => `${name}/`), ...others];
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return {
    found: names.length === 0 ? "nothing" : names.slice(0, NAMED).join(", ") + more,
    help: helpFor(folder, dumps, folders, others),
  };
}

/** The error for a folder that no reader takes. */
export function noDumpFolder(folder: string): NpuDiffError {
  const { found, help } = contentsOfFolder(folder);
  return new NpuDiffError("file-unreadable", {
    what: "the folder is no dump",
    facts: [
      { label: "file", text: folder },
      { label: "found", text: found },
      {
        label: "expected",
        text: "a file, an index of shards, a folder of msprobe or with a file for each tensor, or as the reference what npu-dump reference made",
      },
    ],
    help: help ?? "give the path of a dump; npu-dump run makes one",
  });
}

function helpFor(
  folder: string,
  dumps: readonly string[],
  folders: readonly string[],
  others: readonly string[],
): string | null {
  const [first] = dumps;
  const isModel = others.includes("config.json");
  if (first !== undefined && isModel && first.includes("safetensors")) {
    return `these are a model's weights: make a dump of it with npu-dump run --model ${folder}`;
  }
  if (first !== undefined) return `give one of its files, such as ${join(folder, first)}`;
  const inner = folders.find((name) =>
    list(join(folder, name)).files.some((one) => DUMP.test(one)),
  );
  return inner === undefined ? null : `did you mean ${join(folder, inner)}?`;
}

function list(folder: string): {
  readonly files: readonly string[];
  readonly folders: readonly string[];
} {
  const entries = readFolder(folder, MAX_ENTRIES);
  const names = (isFolders: boolean): readonly string[] =>
    entries.filter((entry) => entry.isDirectory() === isFolders).map(({ name }) => name);
  return { files: names(false), folders: names(true) };
}
