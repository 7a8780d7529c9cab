/** Tensors of safetensors files: one, or the shards that an index names. */

import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { counted } from "../../core/counted.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import { MAX_JSON_BYTES } from "../bounds.ts";
import { RUN_KEY } from "../contract.ts";
import { DumpFile } from "../dump-file.ts";
import type { ForeignContents } from "../foreign/foreign-tensor.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../json.ts";
import { readSafetensors, type StoredTensor } from "./safetensors-header.ts";

/** Shards of a model: each is an open file. The largest public ones have about 200. */
const MAX_SHARDS = 1024;

const INDEX = "model.safetensors.index.json";

/** Tensors of one file or of all shards; whoever opened them closes them. */
export interface Safetensors {
  readonly tensors: readonly StoredTensor[];
  readonly files: readonly DumpFile[];
  /** What the files say of the run, where they are a converted dump. */
  readonly run: JsonObject;
  close(): void;
}

/**
 * Opens a safetensors file, an index of shards, or the folder of either.
 *
 * @throws NpuDiffError `file-…`, `dump-corrupt`, `dump-truncated`, `dump-schema`, `dump-too-large`
 */
export function openSafetensors(path: string): Safetensors {
  const file = DumpFile.open(inFolder(path));
  try {
    if (file.read(0, 1)[0] === 0x7b) {
      const shards = openShards(file);
      file.close();
      return shards;
    }
    const { tensors, metadata } = readSafetensors(file);
    return opened([file], tensors, runOf(file, metadata));
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The weights in a folder: by the names that the format's users give them. */
function inFolder(path: string): string {
  if (!isFolder(path)) return path;
  const index = join(path, INDEX);
  return exists(index) ? index : join(path, "model.safetensors");
}

/**
 * Opens the shards that an index names. They lie beside it: a name with a folder in it is refused.
 *
 * @throws NpuDiffError `dump-corrupt` where the index and its shards disagree
 */
export function openShards(index: DumpFile): Safetensors {
  const map = weightMap(index);
  const names = [...new Set(map.values())].toSorted();
  if (names.length > MAX_SHARDS) {
    throw index.fail("dump-too-large", `${index.name} names too many shards`, {
      found: `${names.length}`,
      expected: `at most ${MAX_SHARDS}`,
    });
  }
  const files: DumpFile[] = [];
  try {
    const tensors = names.flatMap((name) => {
      const file = DumpFile.open(join(dirname(index.path), name));
      files.push(file);
      return readSafetensors(file).tensors;
    });
    const held = new Map<string, string>();
    for (const { name, file } of tensors) {
      const twice = held.get(name);
      if (twice !== undefined) {
        throw disagree(index, name, `it in ${twice} and in ${file.name}`, "it in one shard");
      }
      held.set(name, file.name);
    }
    for (const [name, shard] of map) {
      if (held.get(name) !== shard) {
        throw disagree(
          index,
          name,
          held.has(name) ? `it in ${held.get(name)}` : "no such tensor",
          `it in ${shard}`,
        );
      }
    }
    return opened(
      files,
      tensors.filter(({ name }) => map.has(name)),
      {},
    );
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
}

function opened(
  files: readonly DumpFile[],
  tensors: readonly StoredTensor[],
  run: JsonObject,
): Safetensors {
  return {
    tensors,
    files,
    run,
    close: () => {
      for (const file of files) file.close();
    },
  };
}

/** The run that `npu-diff convert` leaves in the metadata. */
export function runOf(file: DumpFile, metadata: Readonly<Record<string, string>>): JsonObject {
  const text = metadata[RUN_KEY];
  return text === undefined ? {} : parseJsonObject(file, text, RUN_KEY, "dump-metadata");
}

function disagree(index: DumpFile, name: string, found: string, expected: string): NpuDiffError {
  return index.corrupt(
    `the index and its shards disagree on ${JSON.stringify(name.slice(0, 200))}`,
    { found, expected },
  );
}

function weightMap(index: DumpFile): ReadonlyMap<string, string> {
  if (index.size > MAX_JSON_BYTES) {
    throw index.fail("dump-too-large", `${index.name} is too long an index`, {
      found: counted(index.size, "byte"),
      expected: `at most ${MAX_JSON_BYTES}`,
    });
  }
  const text = new TextDecoder().decode(index.read(0, index.size));
  const map = parseJsonObject(index, text, "the index", "dump-corrupt")["weight_map"];
  if (!isJsonObject(map)) {
    throw index.fail("dump-schema", `${index.name} is no index of safetensors files`, {
      found: "no weight_map",
      expected: "a weight_map of tensors and files",
    });
  }
  const found = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    if (
      typeof shard !== "string" ||
      shard !== basename(shard) ||
      /[\\/\0]/.test(shard) ||
      shard === "" ||
      shard === "." ||
      shard === ".."
    ) {
      throw index.corrupt("the index names a file elsewhere", {
        found: JSON.stringify(shard).slice(0, 200),
        expected: "the name of a file beside the index",
      });
    }
    found.set(name, shard);
  }
  return found;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The tensors as those of a dump. */
export function contentsOf({ tensors, files, run }: Safetensors): ForeignContents {
  return {
    format: "safetensors",
    tensors: tensors.map(({ name, dtype, shape, file, position, bytes }) => ({
      name,
      dtype,
      shape,
      pieces: bytes === 0 ? [] : [{ source: file, position, bytes }],
    })),
    skipped: [],
    run,
    sources: files,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
  };
}
