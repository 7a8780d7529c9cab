/**
 * A folder with a file for each tensor, as scripts write them: `cpu/layer_0.npy`, `cpu/logits.pt`. Together they are
 * one dump, in the order of their names, numbers by their values.
 */

import type { Dirent } from "node:fs";
import { join, parse } from "node:path";
import { NpuDiffError } from "../../core/errors.ts";
import { DumpFile } from "../dump-file.ts";
import { readFolder } from "../folder.ts";
import type { Remark } from "../imported.ts";
import { nameAlone } from "./canonical-names.ts";
import type { ForeignContents, ForeignTensor } from "./foreign-tensor.ts";
import { KeptFiles } from "./kept-files.ts";

const TENSORS = /\.(?:npy|npz|pt|pth|safetensors)$/;

/** What makes the folder something else: dumps of ours, or a model. */
const ELSE = /\.arrow$|^config\.json$|\.safetensors\.index\.json$/;

/** NumPy's name for an array that was given none. */
const UNNAMED = "arr_0";

/** A folder with more entries was not written by a script that saves tensors. */
const MAX_ENTRIES = 65_536;

/** The files of tensors in `folder` itself, and what else lies there. */
interface Listing {
  readonly files: readonly string[];
  readonly skipped: readonly Remark[];
}

/**
 * Paths of the files of the dump that `folder` is; none where it holds no tensors, or is something else.
 *
 * @throws NpuDiffError `file-unreadable` where it cannot be read, or holds too many entries
 */
export function filesOfTensorFolder(folder: string): readonly string[] {
  return listing(folder).files.map((name) => join(folder, name));
}

/**
 * Reads the tensors of all files in `folder`; null where it is no such folder. A tensor is called as in its file, by the
 * file's name where that has none for it, and by both where several files have one name.
 *
 * @param read reads one file, which it keeps where it returns something.
 * @throws NpuDiffError those of {@link filesOfTensorFolder} and of `read`; `dump-schema` where a file is no tensor's
 */
export function readTensorFolder(
  folder: string,
  read: (file: DumpFile) => ForeignContents | null,
): ForeignContents | null {
  const { files, skipped } = listing(folder);
  if (files.length === 0) return null;
  const kept = new KeptFiles();
  try {
    const found = files.map((name) => {
      const contents = contentsOf(DumpFile.open(join(folder, name)), read);
      return { stem: parse(name).name, tensors: kept.keep(contents), skipped: contents.skipped };
    });
    return {
      format: "folder",
      tensors: named(found),
      skipped: [...skipped, ...found.flatMap((one) => one.skipped)],
      run: {},
      sources: kept.sources,
      bytes: kept.bytes,
    };
  } catch (error) {
    kept.close();
    throw error;
  }
}

function contentsOf(
  file: DumpFile,
  read: (file: DumpFile) => ForeignContents | null,
): ForeignContents {
  try {
    const contents = read(file);
    if (contents !== null) return contents;
    throw file.fail(
      "dump-schema",
      `${file.name} is no file of tensors`,
      { found: "another format", expected: "what its name says" },
      "take it out of the folder, or write it again",
    );
  } catch (error) {
    file.close();
    throw error;
  }
}

interface Found {
  /** The file's name without its extension. */
  readonly stem: string;
  readonly tensors: readonly ForeignTensor[];
}

function named(found: readonly Found[]): readonly ForeignTensor[] {
  const all = found.flatMap(({ stem, tensors }) =>
    tensors.map((tensor) => {
      const isAlone = tensors.length === 1 && [stem, UNNAMED].includes(tensor.name);
      return { stem, tensor, name: isAlone ? nameAlone(stem) : tensor.name };
    }),
  );
  const counts = new Map<string, number>();
  for (const { name } of all) counts.set(name, (counts.get(name) ?? 0) + 1);
  return all.map(({ stem, tensor, name }) => ({
    ...tensor,
    name: counts.get(name) === 1 ? name : `${stem}.${tensor.name}`,
  }));
}

function listing(folder: string): Listing {
  const files: string[] = [];
  const skipped: Remark[] = [];
  let isElse = false;
  for (const entry of entriesIn(folder)) {
    const { name } = entry;
    const isFile = entry.isFile();
    if (ELSE.test(name)) isElse = true;
    if (name.startsWith(".")) continue;
    if (isFile && TENSORS.test(name)) files.push(name);
    else skipped.push({ name, why: isFile ? "no file of tensors" : "no regular file" });
  }
  if (isElse || files.length === 0) return { files: [], skipped: [] };
  const order = new Intl.Collator("en", { numeric: true });
  files.sort((a, b) => order.compare(a, b) || (a < b ? -1 : 1));
  return { files, skipped };
}

function entriesIn(folder: string): readonly Dirent[] {
  const entries = readFolder(folder, MAX_ENTRIES);
  if (entries.length <= MAX_ENTRIES) return entries;
  throw new NpuDiffError("file-unreadable", {
    what: "the folder holds too many entries for one of tensors",
    facts: [
      { label: "folder", text: folder },
      { label: "found", text: `more than ${MAX_ENTRIES}` },
    ],
    help: "give a folder that holds the tensors of one run, a file each",
  });
}
