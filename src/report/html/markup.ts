/**
 * HTML as values. Whatever is put into a template is text, and is escaped here
 * and nowhere else; only {@link Markup} goes in as it is.
 */

import { escapeText } from "../../core/escape.ts";

/** Characters of one text; names and prompts are cut where they are shown, this stops the rest. */
const MOST = 4000;

/** HTML that was put together here. */
export class Markup {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }
}

/** What a template takes: null is nothing, a list is its parts one after the other. */
export type Part = Markup | string | number | null | readonly Part[];

/** A template whose parts are escaped unless they are {@link Markup}; fit for contents and for quoted attributes. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const [first = "", ...rest] = strings;
  return new Markup(
    rest.reduce((source, string, i) => source + sourceOf(parts[i] ?? null) + string, first),
  );
}

/** HTML that is known to be safe: the page's own style and script. */
export function trusted(source: string): Markup {
  return new Markup(source);
}

/** A document for the script of the page, inside `<script type="application/json">`: nothing in it can close the element. */
export function jsonIsland(document: unknown): Markup {
  return new Markup(
    JSON.stringify(document)
      .replaceAll("<", "\\u003c")
      .replaceAll(">", "\\u003e")
      .replaceAll("&", "\\u0026")
      .replaceAll("\u2028", "\\u2028")
      .replaceAll("\u2029", "\\u2029"),
  );
}

function sourceOf(part: Part): string {
  if (part === null) return "";
  if (part instanceof Markup) return part.source;
  if (typeof part === "number") return String(part);
  return typeof part === "string" ? escaped(part) : part.map(sourceOf).join("");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** `text` with what cannot be seen written out, and nothing that opens markup. */
function escaped(text: string): string {
  return escapeText(text, MOST).replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
