/** Opens a dump by what the file is, not by its name. */

import { openArrowDump, readRunOf } from "./arrow-dump.ts";
import { checkMagic } from "./arrow-file.ts";
import type { Dump, RunMetadata } from "./dump.ts";
import { DumpFile } from "./dump-file.ts";

/**
 * Opens the dump at `path` for reading and reads its index: names, shapes and
 * where the data lies. The data itself is read by {@link Dump.read}.
 *
 * Everything that the file says about itself is checked against the file
 * before it is used: a damaged, truncated or hostile file is an error, and
 * costs neither more memory than the file is long nor more time than reading it.
 *
 * @throws NpuDiffError with a `file-…`, `not-arrow`, `dump-…` or `duplicate-rows` code
 */
export function openDump(path: string): Dump {
  const file = DumpFile.open(path);
  try {
    checkMagic(file);
    return openArrowDump(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Reads what the dump at `path` says of its run, without its index.
 *
 * @throws NpuDiffError with a `file-…`, `not-arrow` or `dump-…` code
 */
export function readRun(path: string): RunMetadata {
  const file = DumpFile.open(path);
  try {
    return readRunOf(file);
  } finally {
    file.close();
  }
}
