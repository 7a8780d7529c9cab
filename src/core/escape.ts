/**
 * Makes text that came out of a file safe to show on one line of a terminal.
 */

/** Visible characters of a text, unless the caller says otherwise. */
const MAX_SHOWN = 200;

// C (other): control characters (C0, DEL, C1), format characters (bidirectional
// overrides and isolates, zero-width joiners, tags), lone surrogates, private
// use and unassigned code points. Zl, Zp: line and paragraph separators. The
// rest are letters and marks that are shown as nothing at all: the combining
// grapheme joiner, Hangul and Khmer fillers, variation selectors.
const INVISIBLE =
  /[\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/u;

/**
 * `text` on one line, with everything that a terminal would act on, or that
 * cannot be seen, written as an escape: `\n`, `\x1b`, `\u202e`, `\u{e0041}`. A
 * backslash stays one, so that paths stay readable.
 *
 * A text of more than `most` characters keeps both ends, with `…` between them.
 *
 * @param most characters of the result, 3 or more; escapes are never cut
 */
export function escapeText(text: string, most: number = MAX_SHOWN): string {
  // Each code point gives at least one character of the result, so that a
  // longer text is cut before it is looked at.
  const long = text.length > 4 * most;
  const head = Array.from(long ? text.slice(0, 2 * most) : text, escapeCodePoint);
  const tail = long ? Array.from(text.slice(-2 * most), escapeCodePoint) : head;
  if (!long && lengthOf(head) <= most) return head.join("");
  const room = most - 1;
  const first = takeWhole(head, Math.ceil(room / 2));
  const last = takeWhole(tail.toReversed(), Math.floor(room / 2)).reverse();
  return `${first.join("")}…${last.join("")}`;
}

function lengthOf(pieces: readonly string[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

/** As many pieces from the front as fit `most` characters. */
function takeWhole(pieces: readonly string[], most: number): string[] {
  let length = 0;
  const end = pieces.findIndex((piece) => (length += piece.length) > most);
  return pieces.slice(0, end === -1 ? pieces.length : end);
}

function escapeCodePoint(character: string): string {
  if (!INVISIBLE.test(character)) return character;
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  const code = character.codePointAt(0) as number;
  const hex = code.toString(16);
  if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
}
