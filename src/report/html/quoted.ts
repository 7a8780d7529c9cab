/** Text of a model's tokens, as the page shows it. */

import { escapeText } from "../../core/escape.ts";

/** `text` in quotes, since tokens begin and end with spaces; cut after `most` characters. */
export function quoted(text: string, most: number): string {
  return `"${escapeText(text, most)}"`;
}
