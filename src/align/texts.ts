/** Texts beside the token ids: information, never a verdict. */

import type { Dump, TensorEntry } from "../dump/dump.ts";
import { tokenKey, tokenTable } from "./tokens.ts";

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

/** Characters of a token that are kept. */
const TOKEN_LENGTH = 64;

/** How the reference writes each token of a prompt; null where it does not store that, or not as a list of texts. */
export function tokenTexts(dump: Dump, sample: number): readonly string[] | null {
  const entry = tokenTable(dump, "token_text").get(tokenKey(sample, 0));
  const bytes = entry === undefined ? null : textBytes(dump, entry);
  if (bytes === null) return null;
  try {
    const texts: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isList = Array.isArray(texts) && texts.every((text) => typeof text === "string");
    return isList ? texts.map((text) => text.slice(0, TOKEN_LENGTH)) : null;
  } catch {
    // It labels a drawing; nothing is judged by it.
    return null;
  }
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
