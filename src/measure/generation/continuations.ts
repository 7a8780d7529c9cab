/** The continuations that one dump holds, and the texts around them. */

import { readIds, type TokenTable, tokenKey, tokenTable } from "../../align/tokens.ts";
import { NpuDiffError } from "../../core/errors.ts";
import type { GeneratedToken } from "../../core/generation.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { isJsonObject } from "../../dump/json.ts";

/** Longest text that is read. A million tokens of four bytes: no prompt has a continuation of that length. */
const MAX_TEXT_BYTES = 2 ** 22;

/** Reads ids and texts on demand; of the dump's size it holds the index alone. */
export class Continuations {
  readonly dump: Dump;
  /** Samples that have ids or a text, ascending. */
  readonly samples: readonly number[];
  /** Whether tokens were drawn instead of taking the likeliest. */
  readonly sampled: boolean;
  private readonly idTable: TokenTable;
  private readonly textTable: TokenTable;
  private readonly tokenTextTable: TokenTable;
  private readonly promptTable: TokenTable;

  constructor(dump: Dump) {
    this.dump = dump;
    const generates = dump.tensors.some(({ name }) => name.startsWith("generated_"));
    const table = (name: string): TokenTable => (generates ? tokenTable(dump, name) : new Map());
    this.idTable = table("generated_ids");
    this.textTable = table("generated_text");
    this.tokenTextTable = table("generated_token_text");
    this.promptTable = tokenTable(dump, "prompt");
    const found = [...this.idTable.values(), ...this.textTable.values()]
      .filter(({ sample, step }) => sample >= 0 && step === 0)
      .map(({ sample }) => sample);
    this.samples = [...new Set(found)].sort((a, b) => a - b);
    this.sampled = isSampled(dump);
  }

  get holdsIds(): boolean {
    return this.idTable.size > 0;
  }

  /**
   * The `generated_ids` of a sample; null where they are not stored.
   *
   * @throws NpuDiffError `dump-corrupt` where they have several axes.
   */
  ids(sample: number): TensorEntry | null {
    const entry = this.idTable.get(tokenKey(sample, 0)) ?? null;
    if (entry === null || entry.shape.length === 1) return entry;
    throw this.corrupt(entry, "is no list of token ids", `[${entry.shape.join(", ")}]`, "[N]");
  }

  /** The id of token `index` of a sample's continuation; null where there is none. */
  id(sample: number, index: number): number | null {
    const entry = this.ids(sample);
    if (entry === null || index >= entry.elements) return null;
    return readIds(this.dump, entry, index, 1)[0] as number;
  }

  /** The same token with how it is written. */
  token(sample: number, index: number): GeneratedToken | null {
    const id = this.id(sample, index);
    return id === null ? null : { id, text: this.tokenText(sample, index) };
  }

  /**
   * The text of a sample's continuation; null where it is not stored.
   *
   * @throws NpuDiffError `dump-corrupt` where it is no UTF-8, or longer than any continuation.
   */
  text(sample: number): string | null {
    const entry = this.textTable.get(tokenKey(sample, 0));
    if (entry === undefined) return null;
    const found = `${entry.encoding} ${entry.dtype} [${entry.shape.join(", ")}]`;
    if (entry.encoding !== "dense" || entry.dtype !== "U8" || entry.elements > MAX_TEXT_BYTES) {
      const expected = `dense U8, at most ${MAX_TEXT_BYTES} bytes`;
      throw this.corrupt(entry, "is no text of a continuation", found, expected);
    }
    const text = this.decode(entry, true);
    if (text === null) throw this.corrupt(entry, "is not UTF-8", "invalid bytes", "UTF-8");
    return text;
  }

  /** The text of a prompt, with a mark for what is no UTF-8; null where it is not stored, or cannot be shown. */
  prompt(sample: number): string | null {
    return this.decode(this.promptTable.get(tokenKey(sample, 0)), false);
  }

  /** How one token is written; what it is decides nothing, so a list that cannot be read is none. */
  private tokenText(sample: number, index: number): string | null {
    const json = this.decode(this.tokenTextTable.get(tokenKey(sample, 0)), true);
    if (json === null) return null;
    try {
      const texts: unknown = JSON.parse(json);
      if (!Array.isArray(texts) || texts.length !== this.ids(sample)?.elements) return null;
      const text: unknown = texts[index];
      return typeof text === "string" ? text.slice(0, MAX_TOKEN_TEXT) : null;
    } catch {
      return null;
    }
  }

  private decode(entry: TensorEntry | undefined, fatal: boolean): string | null {
    if (entry?.encoding !== "dense" || entry.dtype !== "U8" || entry.elements > MAX_TEXT_BYTES) {
      return null;
    }
    const bytes = new Uint8Array(entry.elements);
    this.dump.read(entry, 0, bytes);
    try {
      return new TextDecoder("utf-8", { fatal, ignoreBOM: true }).decode(bytes);
    } catch {
      return null;
    }
  }

  private corrupt(entry: TensorEntry, what: string, found: string, expected: string): NpuDiffError {
    return new NpuDiffError("dump-corrupt", {
      what: `${this.dump.file}: ${entry.name} of sample ${String(entry.sample)} ${what}`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "capture the dump again",
    });
  }
}

/** Characters of a token's text that are kept: the longest tokens of today's vocabularies have 128. */
const MAX_TOKEN_TEXT = 128;

/** A temperature of 0 takes the likeliest token, whatever else is said. */
function isSampled({ run }: Dump): boolean {
  const sampling = run["sampling"];
  return isJsonObject(sampling) && sampling["temperature"] !== 0;
}
