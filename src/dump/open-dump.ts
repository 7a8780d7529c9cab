/** Opens a dump by what its files are, not by their names. */

import { type DumpHead, openArrowDump, readHead, readRunOf } from "./arrow-dump.ts";
import type { Dump, RunMetadata } from "./dump.ts";
import { DumpFile } from "./dump-file.ts";
import { isFolder } from "./folder.ts";
import { noDumpFolder } from "./folder-contents.ts";
import { openForeign, openForeignFolder } from "./foreign/open-foreign.ts";

import { inRankOrder } from "./rank-agreement.ts";
import { dumpPaths } from "./rank-paths.ts";
import { openRankSet } from "./rank-set.ts";

/**
 * Opens the dump at `path` for reading and reads its index: names, shapes and
 * where the data lies. The data itself is read by {@link Dump.read}.
 *
 * A run of several ranks is opened as one dump of whole tensors: by a pattern of
 * its files, `npu.rank*.arrow`, or by the file of any one rank, beside which the
 * others lie. What the ranks hold alike is read on all of them here, and must be
 * equal.
 *
 * Files of other tools are dumps as well: safetensors (one file, or an index of
 * shards), NumPy's `.npy` and `.npz`, and those that `openForeign` lists; folders
 * of msprobe are as well. Their tensors get canonical names where the files' own
 * names are the paths of modules.
 *
 * Everything that a file says about itself is checked against the file
 * before it is used: a damaged, truncated or hostile file is an error, and
 * costs neither more memory than the file is long nor more time than reading it.
 *
 * @throws NpuDiffError with a `file-…`, `not-arrow`, `dump-…`, `duplicate-rows`, `rank…`, `replicas-differ` or
 *   `shards-invalid` code
 */
export function openDump(path: string): Dump {
  const { name, paths } = dumpPaths(path);
  const [only = path] = paths;
  if (paths.length === 1) {
    const foreign = openForeignAt(only);
    if (foreign !== null) return foreign;
  }
  const files: DumpFile[] = [];
  try {
    const [first, ...others] = paths.map((one) => {
      const file = DumpFile.open(one);
      files.push(file);
      return readHead(file);
    }) as [DumpHead, ...DumpHead[]];
    if (others.length === 0 && first.part === null) return openArrowDump(first);
    const [rank0, ...ranks] = inRankOrder(name, [first, ...others]);
    return openRankSet(name, [openArrowDump(rank0), ...ranks.map(openArrowDump)]);
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
}

/** The dump at `path` where it is in a format of other tools. */
function openForeignAt(path: string): Dump | null {
  const folder = openForeignFolder(path);
  if (folder !== null) return folder;
  if (isFolder(path)) throw noDumpFolder(path);
  const file = DumpFile.open(path);
  let found: Dump | null = null;
  try {
    found = openForeign(file);
    return found;
  } finally {
    if (found === null) file.close();
  }
}

/**
 * Reads what the dump at `path` says of its run, without its index; of several ranks what the first says.
 *
 * @throws NpuDiffError with a `file-…`, `not-arrow` or `dump-…` code
 */
export function readRun(path: string): RunMetadata {
  const [first = path] = dumpPaths(path).paths;
  const foreign = openForeignAt(first);
  if (foreign !== null) {
    foreign.close();
    return foreign.run;
  }
  const file = DumpFile.open(first);
  try {
    return readRunOf(file);
  } finally {
    file.close();
  }
}
