/** A dump as one Arrow file of our own. */

import { statSync } from "node:fs";
import type { Dump, TensorEntry } from "../dump.ts";
import type { Remark } from "../imported.ts";
import { createDumpWriter } from "../write-dump.ts";
import { exportedRun, refuseNothing, type Written } from "./exported.ts";

/**
 * Writes `dump` with all that it says of its run. Sketches are left out: they are read as what they stand for, not as
 * they are stored. So are rounded statistics, which the contract has no place for: they would pass for exact.
 *
 * @throws NpuDiffError `output-unwritable`, `nothing-to-convert`
 */
export function writeArrow(dump: Dump, path: string): Written {
  const written = dump.tensors.filter((entry) => whyNot(entry) === null);
  const left = dump.tensors.flatMap((entry): Remark[] => {
    const why = whyNot(entry);
    return why === null ? [] : [{ name: entry.name, why }];
  });
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

/** Why a tensor is left out; null where it is not. */
function whyNot({ encoding, stats }: TensorEntry): string | null {
  if (encoding === "sketch") return "only a sketch of it is stored";
  const isRounded = encoding === "stats" && stats?.precision !== undefined;
  return isRounded ? "only rounded statistics of it are stored" : null;
}
