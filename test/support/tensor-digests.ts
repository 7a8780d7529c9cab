/** What a dump holds, as digests that other programs can make as well. */

import { createHash } from "node:crypto";
import { type Dump, dataBytes, type TensorEntry } from "../../src/dump/dump.ts";

/** SHA-256 of the data of a tensor. */
export function sha256(dump: Dump, entry: TensorEntry): string {
  const bytes = new Uint8Array(dataBytes(entry));
  dump.read(entry, 0, bytes);
  return createHash("sha256").update(bytes).digest("hex");
}

/** SHA-256 of the data of all samples of a tensor, end to end: of a batch that was taken apart. */
export function sha256OfBatch(dump: Dump, name: string): string {
  const hash = createHash("sha256");
  const entries = dump.tensors.filter((entry) => entry.name === name);
  for (const entry of entries.toSorted((a, b) => a.sample - b.sample)) {
    const bytes = new Uint8Array(dataBytes(entry));
    dump.read(entry, 0, bytes);
    hash.update(bytes);
  }
  return hash.digest("hex");
}
