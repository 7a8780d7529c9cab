/** Texts beside the token ids: information, never a verdict. */

import type { Dump, TensorEntry } from "../dump/dump.ts";
import { tokenTable } from "./tokens.ts";

/** Names of the texts that a writer stores for each sample. */
const TEXTS = ["prompt", "token_text"];

/** Longer texts are not looked at: they decide nothing. */
const MAX_TEXT_BYTES = 2 ** 22;

/** How many samples differ in each text that both dumps hold; names without a difference are left out. */
export function differingTexts(
  reference: Dump,
  candidate: Dump,
): readonly { readonly name: string; readonly samples: number }[] {
  return TEXTS.flatMap((name) => {
    const theirs = tokenTable(candidate, name);
    let samples = 0;
    for (const [key, mine] of tokenTable(reference, name)) {
      const partner = theirs.get(key);
      if (partner === undefined) continue;
      const [a, b] = [textBytes(reference, mine), textBytes(candidate, partner)];
      if (a !== null && b !== null && Buffer.compare(a, b) !== 0) samples += 1;
    }
    return samples === 0 ? [] : [{ name, samples }];
  });
}

/** The bytes of a text; null where it is no text, reduced or too long. */
export function textBytes(dump: Dump, entry: TensorEntry): Uint8Array | null {
  if (entry.encoding !== "dense" || entry.dtype !== "U8" || entry.elements > MAX_TEXT_BYTES) {
    return null;
  }
  const bytes = new Uint8Array(entry.elements);
  dump.read(entry, 0, bytes);
  return bytes;
}
