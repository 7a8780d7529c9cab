/** How fast both sides are, beside each other. None of it decides anything. */

import type { ComparisonResult } from "../../core/result.ts";
import { performanceConditions, performanceTables } from "../performance/tables.ts";
import { factTable, heading, type PageContext } from "./context.ts";
import { html, type Markup } from "./markup.ts";

/** Null where neither side was measured. */
export function performanceSection(
  { performance }: ComparisonResult,
  context: PageContext,
): Markup | null {
  if (performance === null) return null;
  const { lang } = context;
  return html`<ul class="conditions">${performanceConditions(performance, lang).map((line) => html`<li>${line}</li>`)}</ul>
${performanceTables(performance, lang).map(({ title, rows: [head = [], ...rows], more }) => {
  const below = more === null ? null : html`<p class="muted">${more}</p>`;
  return html`${heading(3, title, context)}\n${factTable(title, head, rows, context)}${below}`;
})}`;
}
