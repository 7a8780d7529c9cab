/** JSON as Python writes it, which knows numbers that JSON does not. */

/**
 * JSON as Python's `json` writes it: NaN and infinities become the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
 *
 * @throws SyntaxError
 */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(quoteNonFinite(text));
  }
}

/** `text` with quotes around the words for what is no finite number, outside of strings. */
function quoteNonFinite(text: string): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const open = text.indexOf('"', at);
    const end = open === -1 ? text.length : open;
    parts.push(text.slice(at, end).replace(/-?\b(?:NaN|Infinity)\b/g, '"$&"'));
    const after = open === -1 ? text.length : endOfString(text, open);
    parts.push(text.slice(end, after));
    at = after;
  }
  return parts.join("");
}

/** The place behind the string that opens at `open`; the end of `text` where it does not close. */
function endOfString(text: string, open: number): number {
  for (
    let close = text.indexOf('"', open + 1);
    close !== -1;
    close = text.indexOf('"', close + 1)
  ) {
    let backslashes = 0;
    while (text[close - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return close + 1;
  }
  return text.length;
}
