/** Whether there is room for a temporary file. */

import { statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { counted } from "../../core/counted.ts";
import { NpuDiffError } from "../../core/errors.ts";

/**
 * Refuses to fill the disk that holds the folder for temporary files.
 *
 * @param bytes that are going to be written
 * @param what they are, for the message
 * @throws NpuDiffError `output-unwritable` where there is less room
 */
export function requireRoom(bytes: number, what: string): void {
  const folder = tmpdir();
  let free: number;
  try {
    const { bavail, bsize } = statfsSync(folder);
    free = bavail * bsize;
  } catch {
    // Writing says what is wrong with the folder.
    return;
  }
  if (bytes <= free) return;
  throw new NpuDiffError("output-unwritable", {
    what: `there is not enough room for ${what}`,
    facts: [
      { label: "folder", text: folder },
      { label: "needed", text: `${counted(bytes, "byte")}, while the comparison runs` },
      { label: "found", text: counted(free, "byte") },
    ],
    help: "make room there, or set TMPDIR to a folder on a larger disk",
  });
}
