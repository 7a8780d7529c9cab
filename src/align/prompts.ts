/** The texts of the prompts, which stand in for token ids where an endpoint tells none. */

import { type ErrorFact, NpuDiffError } from "../core/errors.ts";
import { isReducedLogits } from "../dump/contract.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import { isJudged } from "./align.ts";
import { textBytes } from "./texts.ts";
import { type Tokens, tokensSha256, tokenTable } from "./tokens.ts";

/** Characters of a prompt that an error shows. */
const SHOWN = 60;

/**
 * Whether the two runs can be known to have had one input by their prompts
 * alone: a side without any token ids holds nothing but continuations, so that no
 * tensor is compared on inputs that nobody has checked.
 */
export function knownByPrompts(reference: Dump, candidate: Dump): boolean {
  const without = [reference, candidate].filter((dump) => tokenTable(dump, "input_ids").size === 0);
  return without.length > 0 && without.every(onlySpeaks);
}

/**
 * Checks that every prompt that both sides continue is the same, byte by byte.
 *
 * @returns what the side with token ids tells of them.
 * @throws NpuDiffError `tokens-differ` where a prompt differs, or is not stored.
 */
export function checkPrompts(reference: Dump, candidate: Dump): Tokens {
  const [mine, theirs] = [tokenTable(reference, "prompt"), tokenTable(candidate, "prompt")];
  const continued = continuations(candidate);
  for (const key of continuations(reference)) {
    if (!continued.has(key)) continue;
    const [a, b] = [promptOf(reference, mine.get(key)), promptOf(candidate, theirs.get(key))];
    if (a !== null && b !== null && Buffer.compare(a, b) === 0) continue;
    throw new NpuDiffError("tokens-differ", {
      what: "a side stores no token ids, and the prompts do not show that the inputs agree",
      facts: [fact("reference", reference, key, a), fact("candidate", candidate, key, b)],
      help: `give both sides the same prompts, or store input_ids on both: --tokens-from ${reference.file}`,
    });
  }
  const table = tokenTable(reference, "input_ids");
  const known = [...(table.size === 0 ? tokenTable(candidate, "input_ids") : table).values()];
  return {
    table,
    samples: new Set(known.map(({ sample }) => sample)).size,
    tokens: known.reduce((total, { elements }) => total + elements, 0),
    sha256: tokensSha256(reference, table),
    verified: false,
  };
}

/** Places of the continuations, by sample and step. */
function continuations(dump: Dump): ReadonlySet<string> {
  return new Set([
    ...tokenTable(dump, "generated_ids").keys(),
    ...tokenTable(dump, "generated_text").keys(),
  ]);
}

/** Whether a dump holds continuations, and nothing that is compared as a tensor or stands for one. */
function onlySpeaks(dump: Dump): boolean {
  return (
    continuations(dump).size > 0 &&
    !dump.tensors.some((entry) => isJudged(entry) || isReducedLogits(entry.name))
  );
}

function promptOf(dump: Dump, entry: TensorEntry | undefined): Uint8Array | null {
  return entry === undefined ? null : textBytes(dump, entry);
}

function fact(label: string, dump: Dump, key: string, prompt: Uint8Array | null): ErrorFact {
  const [sample = ""] = key.split(".");
  const text =
    prompt === null
      ? "no prompt"
      : JSON.stringify(new TextDecoder().decode(prompt.subarray(0, 4 * SHOWN)).slice(0, SHOWN));
  return { label, text: `${dump.file}   sample ${sample}: ${text}` };
}
