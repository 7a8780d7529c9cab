/**
 * Which format a file is in, by its first bytes. Each reader of another format
 * is one entry here.
 */

import type { Dump } from "../dump.ts";
import type { DumpFile } from "../dump-file.ts";
import { isFolder } from "../folder.ts";
import { LLAMA_MAGIC, readLlamaBase } from "../llama/base-file.ts";
import { filesOfMsprobe } from "../msprobe/find-dumps.ts";
import { readMsprobe } from "../msprobe/msprobe.ts";
import { readNpy, readNpz } from "../npy/npy.ts";
import { NPY_MAGIC } from "../npy/npy-header.ts";
import { looksLikePolygraphy, readPolygraphy } from "../polygraphy/polygraphy.ts";
import { contentsOf, openShards, runOf } from "../safetensors/open-safetensors.ts";
import { looksLikeSafetensors, readSafetensors } from "../safetensors/safetensors-header.ts";
import { isTorchArchive, readTorch, refusePickle } from "../torch/torch-save.ts";
import { looksLikeDebugTree, readDebugTree } from "../transformers/debug-tree.ts";
import { readZip } from "../zip.ts";
import { foreignDump } from "./foreign-dump.ts";
import type { ForeignContents } from "./foreign-tensor.ts";
import { filesOfTensorFolder, readTensorFolder } from "./tensor-folder.ts";

/** Bytes that tell formats apart. */
const HEAD_BYTES = 4096;

/**
 * Opens `file` where it is in a format of other tools; null where it is in none that is known. The dump keeps the
 * file and closes it.
 *
 * @throws NpuDiffError whatever the format's reader finds wrong
 */
export function openForeign(file: DumpFile): Dump | null {
  const contents = readContents(file);
  return contents === null ? null : dumpOf(file.path, contents);
}

/**
 * Opens the folder at `path` where it is a dump of other tools; null where it is no folder, or none that is known.
 *
 * @throws NpuDiffError whatever the format's reader finds wrong
 */
export function openForeignFolder(path: string): Dump | null {
  if (!isFolder(path)) return null;
  const contents = readMsprobe(path) ?? readTensorFolder(path, readContents);
  return contents === null ? null : dumpOf(path, contents);
}

/** The files of the dump of other tools that the folder at `path` is; none where it is none. */
export function filesOfForeignFolder(path: string): readonly string[] {
  const files = filesOfMsprobe(path);
  return files.length > 0 ? files : filesOfTensorFolder(path);
}

/** Closes what is open where the contents make no dump. */
function dumpOf(path: string, contents: ForeignContents): Dump {
  try {
    return foreignDump(path, contents);
  } catch (error) {
    for (const source of contents.sources) source.close();
    throw error;
  }
}

function readContents(file: DumpFile): ForeignContents | null {
  const head = file.read(0, Math.min(file.size, HEAD_BYTES));
  if (startsWith(head, NPY_MAGIC)) return readNpy(file);
  if (startsWith(head, LLAMA_MAGIC)) return readLlamaBase(file);
  if (startsWith(head, [0x50, 0x4b, 3, 4]) || startsWith(head, [0x50, 0x4b, 5, 6])) {
    return readArchive(file);
  }
  if (looksLikeSafetensors(file, head)) {
    const { tensors, metadata } = readSafetensors(file);
    const run = runOf(file, metadata);
    return contentsOf({ tensors, files: [file], run, close: () => undefined });
  }
  refusePickle(file, head);
  const text = new TextDecoder("latin1").decode(head);
  const read = /^\s*[{[]/.test(text) ? jsonReader(file, text) : null;
  return read === null ? null : read(file);
}

/** Archives: of torch.save, or of NumPy's arrays. */
function readArchive(file: DumpFile): ForeignContents {
  const entries = readZip(file);
  return isTorchArchive(entries) ? readTorch(file, entries) : readNpz(file, entries);
}

/** The reader of a JSON file, by its name and the keys that it begins with; null where it is no dump. */
function jsonReader(
  { name }: DumpFile,
  text: string,
): ((file: DumpFile) => ForeignContents | null) | null {
  if (looksLikePolygraphy(text)) return readPolygraphy;
  if (looksLikeDebugTree(text)) return readDebugTree;
  if (name.endsWith(".safetensors.index.json") || text.includes('"weight_map"')) {
    return (file) => {
      const shards = openShards(file);
      file.close();
      return contentsOf(shards);
    };
  }
  if (!text.includes('"dump_data_dir"')) return null;
  return (file) => {
    file.close();
    return readMsprobe(file.path);
  };
}

/** Whether the JSON in `file` is a dump, rather than figures. */
export function isDumpJson(file: DumpFile): boolean {
  const head = file.read(0, Math.min(file.size, HEAD_BYTES));
  return jsonReader(file, new TextDecoder("latin1").decode(head)) !== null;
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}
