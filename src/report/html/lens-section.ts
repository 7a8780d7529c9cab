/** The logit lens as a section of the page. */

import type { ComparisonResult } from "../../core/result.ts";
import { lensLines, lensTable } from "../lens/lines.ts";
import { LENS_MESSAGES } from "../lens/messages.ts";
import { factTable, type PageContext } from "./context.ts";
import { html, type Markup } from "./markup.ts";

/** Null without a lens, or where nobody wanted one. */
export function lensSection({ lens }: ComparisonResult, context: PageContext): Markup | null {
  if (lens === null || lens.notAvailable === "switched-off") return null;
  const { lang } = context;
  const [head = [], ...rows] = lensTable(lens, lang);
  const lines = lensLines(lens, lang).map((line) => html`<p>${line}</p>`);
  const table =
    rows.length === 0 ? null : factTable(LENS_MESSAGES[lang].title, head, rows, context);
  return html`${lines}${table}`;
}
