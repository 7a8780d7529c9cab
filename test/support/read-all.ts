/** Opens a dump that may be damaged and reads every byte of it. */

import { isNpuDiffError } from "../../src/core/errors.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { errorOf } from "./scratch.ts";

/** Opens the dump at `path`, of `size` bytes, and reads every byte of every tensor. */
function readAll(path: string, size: number): void {
  const dump = openDump(path);
  try {
    for (const entry of dump.tensors) {
      let length = 0;
      for (const { position, bytes } of entry.chunks) {
        if (position < 8 || position + bytes > size) throw new Error("a chunk outside the file");
        length += bytes;
      }
      if (length > size) throw new Error("more data than the file has bytes");
      dump.read(entry, 0, new Uint8Array(length));
    }
  } finally {
    dump.close();
  }
}

/** The code of the error for `path`; null where all of it could be read. Any other error is thrown. */
export function codeOf(path: string, size: number): string | null {
  const error = errorOf(() => {
    readAll(path, size);
  });
  if (error === undefined) return null;
  if (!isNpuDiffError(error)) throw new Error("no NpuDiffError", { cause: error });
  return error.code;
}
