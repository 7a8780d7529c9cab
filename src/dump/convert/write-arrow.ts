/** A dump as one Arrow file of our own. */

import { statSync } from "node:fs";
import type { Dump } from "../dump.ts";
import { createDumpWriter } from "../write-dump.ts";
import { exportedRun, refuseNothing, type Written } from "./exported.ts";

/**
 * Writes `dump` with all that it says of its run. Sketches are left out: they are read as what they stand for, not as
 * they are stored.
 *
 * @throws NpuDiffError `output-unwritable`, `nothing-to-convert`
 */
export function writeArrow(dump: Dump, path: string): Written {
  const written = dump.tensors.filter(({ encoding }) => encoding !== "sketch");
  const left = dump.tensors
    .filter(({ encoding }) => encoding === "sketch")
    .map(({ name }) => ({ name, why: "only a sketch of it is stored" }));
  refuseNothing(dump, written.length, left);
  const writer = createDumpWriter(path, exportedRun(dump));
  try {
    for (const entry of written) writer.copy(dump, entry);
    writer.close(dump.end);
  } catch (error) {
    writer.discard();
    throw error;
  }
  return { bytes: statSync(path).size, written, left };
}
