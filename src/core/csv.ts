/** Tables as CSV (RFC 4180). */

import { escapeText } from "./escape.ts";

/** A cell: null is an empty one, NaN and infinities are written by those words. */
export type Cell = string | number | boolean | null;

/** Characters of a text in a cell. */
const MAX_TEXT = 1000;

/** What a spreadsheet would take for a formula. */
const FORMULA = /^[=+\-@]/;

/**
 * One line, its end included. Texts are escaped as everywhere, and one that a spreadsheet would run as a formula gets an apostrophe before it:
 * names come out of files of others.
 */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(cellText).join(",")}\r\n`;
}

function cellText(cell: Cell): string {
  if (typeof cell !== "string") return cell === null ? "" : String(cell);
  const shown = escapeText(cell, MAX_TEXT);
  const text = FORMULA.test(shown) ? `'${shown}` : shown;
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
