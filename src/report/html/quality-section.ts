/** The figures of what the model says, each with what the rules say of it. */

import type { ComparisonResult } from "../../core/result.ts";
import type { QualityWord } from "../messages/index.ts";
import { notAppliedLines, notAvailableLines, qualityRows } from "../quality-rows.ts";
import { unmeasuredQuality } from "../verdict-lines.ts";
import { badge, type PageContext, type State } from "./context.ts";
import { html, type Markup } from "./markup.ts";

/** A colour for each word. */
export const QUALITY_STATES: Readonly<Record<QualityWord, State>> = {
  pass: "pass",
  fail: "fail",
  warn: "open",
  undecided: "open",
  notJudged: "none",
};

export function qualitySection(result: ComparisonResult, { m, lang }: PageContext): Markup {
  const rows = qualityRows(result, lang);
  const lacking = [...notAvailableLines(result, m), ...notAppliedLines(result, m)];
  const figures =
    rows.length === 0
      ? html`<p>${unmeasuredQuality(result, m)}</p>`
      : html`<ul class="rows">${rows.map(
          ({ text, word, reasons }) =>
            html`<li><div><p>${text}</p>${reasons.map(
              (reason) => html`<p class="muted">${reason}</p>`,
            )}</div>${word === null ? null : badge(QUALITY_STATES[word], m.qualityWord[word])}</li>\n`,
        )}</ul>`;
  return html`${figures}${lacking.map((line) => html`<p class="muted">${line}</p>`)}`;
}
