/** Pieces of long texts, cut between characters (code points). */

import type { Excerpt } from "../../core/generation.ts";

/** Code points of `text`. */
export function lengthOf(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i += 1) if (!isLow(text.charCodeAt(i))) length += 1;
  return length;
}

/** The first `most` characters. */
export function beginning(text: string, most: number): Excerpt {
  let end = 0;
  for (let count = 0; count < most && end < text.length; count += 1) {
    end += isLow(text.charCodeAt(end + 1)) ? 2 : 1;
  }
  return { text: text.slice(0, end), omitted: lengthOf(text.slice(end)) };
}

/** The last `most` characters. */
export function ending(text: string, most: number): Excerpt {
  let start = text.length;
  for (let count = 0; count < most && start > 0; count += 1) {
    start -= isLow(text.charCodeAt(start - 1)) ? 2 : 1;
  }
  return { text: text.slice(start), omitted: lengthOf(text.slice(0, start)) };
}

/** Index of the first character that differs, the end of the shorter where it is a beginning of the other; null where they are equal. */
export function firstDifferent(a: string, b: string): number | null {
  if (a === b) return null;
  let at = 0;
  while (at < a.length && at < b.length && a[at] === b[at]) at += 1;
  // Two characters may share their first half.
  return isLow(a.charCodeAt(at)) || isLow(b.charCodeAt(at)) ? at - 1 : at;
}

/** The second half of a surrogate pair; text out of UTF-8 has no lone one. */
function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
