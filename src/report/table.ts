/** Columns of text on a terminal, where a CJK character is two columns wide. */

import stringWidth from "fast-string-width";

/** Columns that `text` takes on a terminal; ANSI sequences take none. */
export function width(text: string): number {
  return stringWidth(text);
}

export function padEnd(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - width(text)));
}

export function padStart(text: string, columns: number): string {
  return " ".repeat(Math.max(0, columns - width(text))) + text;
}

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

/**
 * Lines of a table, two spaces between the columns, each as wide as its widest
 * cell; the first line holds the titles. Trailing spaces are cut.
 */
export function layOutTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): readonly string[] {
  const widths = columns.map(({ title }, i) =>
    Math.max(width(title), ...rows.map((row) => width(row[i] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, i) => (align === "left" ? padEnd : padStart)(cells[i] ?? "", widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}

/**
 * Lines of `rows`, each a label and its text, the texts below each other and wrapped
 * where they are wider than `columns` leave them. A longer word stays whole, unless
 * an `ellipsis` is given for its middle.
 */
export function layOutLabels(
  rows: readonly (readonly [label: string, text: string])[],
  columns: number,
  ellipsis: string | null = null,
): readonly string[] {
  const labelWidth = Math.max(...rows.map(([label]) => width(label)));
  const room = columns - labelWidth - 4;
  return rows.flatMap(([label, text]) =>
    wrapText(text, room).map((line, i) => {
      const shown = ellipsis === null ? line : cutMiddle(line, room, ellipsis);
      return `  ${padEnd(i === 0 ? label : "", labelWidth)}  ${shown}`.trimEnd();
    }),
  );
}

/** The beginning of `text` that takes at most `columns` columns, with a mark where it was cut. */
export function cutEnd(text: string, columns: number, ellipsis: string): string {
  return width(text) <= columns
    ? text
    : fitting(Array.from(text), columns - width(ellipsis)) + ellipsis;
}

/** The same of its end. */
export function cutStart(text: string, columns: number, ellipsis: string): string {
  if (width(text) <= columns) return text;
  const end = fitting(Array.from(text).reverse(), columns - width(ellipsis));
  return ellipsis + Array.from(end).reverse().join("");
}

/** Both its ends. */
export function cutMiddle(text: string, columns: number, ellipsis: string): string {
  if (width(text) <= columns) return text;
  const characters = Array.from(text);
  const room = columns - width(ellipsis);
  const head = fitting(characters, Math.ceil(room / 2));
  const tail = fitting(characters.toReversed(), room - width(head));
  return head + ellipsis + Array.from(tail).reverse().join("");
}

/** As many characters from the front as fit. */
function fitting(characters: readonly string[], columns: number): string {
  let shown = "";
  let taken = 0;
  for (const character of characters) {
    taken += width(character);
    if (taken > columns) break;
    shown += character;
  }
  return shown;
}

/** Breaks `text` at spaces into lines of at most `columns` columns; a longer word stays whole. */
export function wrapText(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of breakable(text)) {
    if (line !== "" && width(line + word.trimEnd()) > columns) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += word;
  }
  if (line.trimEnd() !== "" || lines.length === 0) lines.push(line.trimEnd());
  return lines;
}

/**
 * Chinese has no spaces: a line may break after any wide character that no closing punctuation follows,
 * but not between a number and what it counts.
 */
function breakable(text: string): readonly string[] {
  return (
    text.match(
      /\d[\d.,]* [\u3400-\u9fff][\u3001\u3002\uff01-\uff0f\uff1a-\uff1f]*\s*|[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef][\u3001\u3002\uff01-\uff0f\uff1a-\uff1f]*\s*|[^\s\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]+[\u3001\u3002\uff01-\uff0f\uff1a-\uff1f]*\s*|\s+/gu,
    ) ?? []
  );
}
