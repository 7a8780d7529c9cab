/** What both sides would say next, at the positions where they differ most. */

import type { LikelyToken } from "../../core/details.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { formatPlain, formatShare } from "../format-number.ts";
import { factTable, type PageContext } from "./context.ts";
import { html, type Markup } from "./markup.ts";
import { quoted } from "./quoted.ts";

/** Characters of the prompt before a position: its end. */
const CONTEXT = 80;

/** Null where no position was looked at. */
export function positionSection(result: ComparisonResult, context: PageContext): Markup | null {
  const { m, w } = context;
  const positions = result.details?.positions ?? [];
  if (positions.length === 0) return null;
  const words = w.positions;
  const hasTexts = positions.some(({ context }) => context !== null);
  const table = factTable(
    w.sections.logits,
    [
      words.position,
      ...(hasTexts ? [words.context] : []),
      w.tiles.kl,
      words.says,
      words.margin,
      m.labels.reference,
      m.labels.candidate,
    ],
    positions.map((one) => [
      `${m.texts.prompt(one.sample)}, ${w.heat.token(one.token)}`,
      ...(hasTexts
        ? [
            one.context === null
              ? ""
              : html`<code>${quoted(one.context.join("").slice(-CONTEXT), CONTEXT)}</code>`,
          ]
        : []),
      formatPlain(one.kl),
      one.agrees ? words.same : one.nearTie ? words.nearTie : words.flip,
      formatPlain(one.margin),
      tokens(one.reference),
      tokens(one.candidate),
    ]),
    context,
  );
  return html`<p class="muted">${words.intro}</p>${table}`;
}

/** Best first, each with its probability. */
function tokens(likely: readonly LikelyToken[]): Markup {
  return html`<ol class="likely">${likely.map(
    ({ id, text, probability }) =>
      html`<li><code>${text === null ? String(id) : quoted(text, 20)}</code> ${formatShare(probability)}</li>`,
  )}</ol>`;
}
