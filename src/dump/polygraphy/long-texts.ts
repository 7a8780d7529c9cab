/**
 * JSON whose long texts stay in the file: where each lies is known, and what is
 * parsed is short, however large the arrays in it are.
 */

import { MAX_JSON_BYTES } from "../bounds.ts";
import type { DumpFile } from "../dump-file.ts";

/** Where a text lies in the file, without its quotes. */
export interface TextSpan {
  readonly position: number;
  readonly bytes: number;
}

export interface ShortJson {
  /** The JSON, with a number in place of each long text: its index among `texts`. */
  readonly json: string;
  readonly texts: readonly TextSpan[];
}

/** Texts from this length on stay in the file: longer than the name of any module. */
const LONG_BYTES = 1024;

const BLOCK_BYTES = 2 ** 22;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Reads `file` once from end to end. A text with an escape in it is no encoded array, and is not taken out.
 *
 * @throws NpuDiffError `dump-too-large` where what is left is too long to be parsed; `dump-corrupt` where a text
 *   does not end, or it is no UTF-8
 */
export function withoutLongTexts(file: DumpFile): ShortJson {
  const scan = new Scan(file);
  const block = Buffer.alloc(Math.min(BLOCK_BYTES, file.size));
  for (let position = 0; position < file.size; position += block.length) {
    const bytes = block.subarray(0, Math.min(block.length, file.size - position));
    file.readInto(position, bytes);
    scan.add(bytes, position);
  }
  return scan.end();
}

class Scan {
  readonly #file: DumpFile;
  readonly #kept: Buffer[] = [];
  readonly #texts: TextSpan[] = [];
  #keptBytes = 0;
  /** Where the text began that is being read; null outside of texts. */
  #from: number | null = null;
  #escaped = false;
  /** Whether the next block begins with what a backslash escapes. */
  #skips = false;

  constructor(file: DumpFile) {
    this.#file = file;
  }

  add(bytes: Buffer, position: number): void {
    let at = this.#skips ? 1 : 0;
    this.#skips = false;
    let backslash = indexOf(bytes, BACKSLASH, at);
    while (at < bytes.length) {
      const quote = indexOf(bytes, QUOTE, at);
      if (this.#from === null) {
        const end = Math.min(quote + 1, bytes.length);
        this.#keep(Buffer.from(bytes.subarray(at, end)));
        if (quote < bytes.length) this.#from = position + end;
        at = end;
        continue;
      }
      if (backslash < at) backslash = indexOf(bytes, BACKSLASH, at);
      if (backslash < quote) {
        this.#escaped = true;
        this.#skips = backslash + 1 === bytes.length;
        at = backslash + 2;
        continue;
      }
      if (quote < bytes.length) this.#endText(this.#from, position + quote, bytes, position);
      at = quote + 1;
    }
  }

  end(): ShortJson {
    if (this.#from !== null) {
      throw this.#file.corrupt("a text in its JSON does not end", {
        found: `a quote at byte ${this.#from - 1}`,
        expected: "another behind it",
      });
    }
    try {
      const json = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(this.#kept));
      return { json, texts: this.#texts };
    } catch (cause) {
      const disagreement = { found: "invalid bytes", expected: "JSON in UTF-8" };
      throw this.#file.corrupt("it is not UTF-8", disagreement, cause);
    }
  }

  #endText(from: number, to: number, block: Buffer, position: number): void {
    const length = to - from;
    this.#from = null;
    if (length >= LONG_BYTES && !this.#escaped) {
      // The quote before it is kept already.
      this.#drop();
      this.#keep(Buffer.from(`${this.#texts.length}`));
      this.#texts.push({ position: from, bytes: length });
    } else {
      this.#refuseBeyond(length);
      const within = from - position;
      const text = within >= 0 ? block.subarray(within, within + length + 1) : null;
      this.#keep(Buffer.from(text ?? this.#file.read(from, length + 1)));
    }
    this.#escaped = false;
  }

  #keep(bytes: Buffer): void {
    this.#refuseBeyond(bytes.length);
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
  }

  /** Takes off the last byte that is kept. */
  #drop(): void {
    const last = this.#kept.pop() ?? Buffer.alloc(0);
    this.#kept.push(last.subarray(0, -1));
    this.#keptBytes -= 1;
  }

  #refuseBeyond(more: number): void {
    if (this.#keptBytes + more <= MAX_JSON_BYTES) return;
    throw this.#file.fail(
      "dump-too-large",
      `${this.#file.name} holds too much besides its arrays`,
      {
        found: `more than ${MAX_JSON_BYTES} bytes of JSON`,
        expected: `at most ${MAX_JSON_BYTES}`,
      },
    );
  }
}

/** Where `byte` is from `at` on; the length of `bytes` where it is not. */
function indexOf(bytes: Buffer, byte: number, at: number): number {
  const found = bytes.indexOf(byte, at);
  return found === -1 ? bytes.length : found;
}
