/** Whether two dumps hold the same bytes. */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { dumpPaths } from "./rank-paths.ts";

/** Bytes of each file that are in memory at a time. */
const BYTES_AT_ONCE = 2 ** 20;

/** Whether the dumps at `a` and `b` are of as many files, which hold the same bytes each. */
export function sameFiles(a: string, b: string): boolean {
  const [mine, theirs] = [dumpPaths(a).paths, dumpPaths(b).paths];
  return (
    mine.length === theirs.length && mine.every((path, i) => sameBytes(path, theirs[i] as string))
  );
}

/** Whether the regular files at `a` and `b` hold the same bytes; stops at the first difference. */
function sameBytes(a: string, b: string): boolean {
  const files = [openSync(a, "r"), openSync(b, "r")] as const;
  try {
    const [mine, theirs] = [fstatSync(files[0]), fstatSync(files[1])];
    if (mine.size !== theirs.size) return false;
    if (mine.ino === theirs.ino && mine.dev === theirs.dev) return true;
    const buffers = [Buffer.alloc(BYTES_AT_ONCE), Buffer.alloc(BYTES_AT_ONCE)] as const;
    for (let position = 0; position < mine.size; ) {
      const read = readSync(files[0], buffers[0], 0, BYTES_AT_ONCE, position);
      const alsoRead = readSync(files[1], buffers[1], 0, read, position);
      if (read === 0 || read !== alsoRead) return false;
      if (buffers[0].compare(buffers[1], 0, read, 0, read) !== 0) return false;
      position += read;
    }
    return true;
  } finally {
    for (const file of files) closeSync(file);
  }
}
