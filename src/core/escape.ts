/**
 * Makes text that came out of a file safe to show: on one line of a terminal, in
 * Markdown, XML and JSON, and in the log of a CI system, which reads commands in it.
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

const INVISIBLE_ANYWHERE = new RegExp(INVISIBLE, "gu");

/** Visible characters of a text in a file that programs read. */
const MAX_IN_FILE = 1000;

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
  const head = Array.from(long ? text.slice(0, 2 * most) : text).map(escapeCharacter);
  const tail = long ? Array.from(text.slice(-2 * most)).map(escapeCharacter) : head;
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

/**
 * A line that begins with `::`, or has `##[` or `##word[` anywhere, is a command to
 * CI systems: reports go to their logs, and a text may be broken into lines before any word.
 */
function escapeCharacter(character: string, at: number, all: readonly string[]): string {
  const before = all[at - 1] ?? "";
  if (character === ":" && all[at + 1] === ":" && !/^[!-~]$/.test(before)) return "\\x3a";
  if (character === "#" && before === "#") {
    return /^\w*\[/.test(all.slice(at + 1, at + 33).join("")) ? "\\x23" : character;
  }
  return escapeCodePoint(character);
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

/** Text that Markdown and HTML show as it is, that links to nothing and mentions nobody. */
export function escapeMarkdown(text: string): string {
  return (
    escapeText(text, 1000)
      .replaceAll("&", "&amp;")
      // Before those that bring a number sign along.
      .replace(/#(?=\d)/g, "&#35;")
      .replaceAll("<", "&lt;")
      .replaceAll("@", "&#64;")
      .replaceAll("://", "&#58;//")
      .replace(/www\./gi, (word) => `${word.slice(0, 3)}&#46;`)
      .replace(/[\\`*_[\]|~$]/g, "\\$&")
  );
}

/** The same for a line of its own, which no heading, quote or list may open. */
export function escapeLine(text: string): string {
  return escapeMarkdown(text).replace(/^(?:[#>+-]|\d+[.)])/, "\\$&");
}

const XML_ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

/**
 * Text of an element or an attribute, on one line. What XML 1.0 cannot hold in any
 * form (control characters, U+FFFE, lone surrogates) is written as {@link escapeText} does.
 */
export function escapeXml(text: string, most: number = MAX_IN_FILE): string {
  return escapeText(text, most).replace(/[&<>"']/g, (sign) => XML_ENTITIES[sign] ?? sign);
}

/** The message of a workflow command: everything after its second `::`. */
export function escapeCommand(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

/** The value of a property of a workflow command, such as its title. */
export function escapeCommandProperty(text: string): string {
  return escapeCommand(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}

/**
 * JSON of the same value in which no character is invisible or acts on a terminal,
 * and no string is a command to a CI system that reads it in a log.
 */
export function escapeJson(json: string): string {
  // Only strings hold such characters, but for the line feeds between the parts.
  return json
    .replace(INVISIBLE_ANYWHERE, (character) =>
      character === "\n" ? character : Array.from(utf16(character), jsonUnit).join(""),
    )
    .replace(/#(?=#\w*\[)/g, jsonUnit("#".charCodeAt(0)));
}

/** A message of a SARIF log, in which `[text](target)` would link and `{0}` be filled in. */
export function escapeSarif(text: string): string {
  return text.replaceAll("](", "\\](").replace(/[{}]/g, "$&$&");
}

function* utf16(text: string): Generator<number> {
  for (let i = 0; i < text.length; i += 1) yield text.charCodeAt(i);
}

function jsonUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
