/** What kind of error each origin holds, with what was seen of it. */

import type { Origin } from "../../core/groups.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { CAUSES, isCauseId } from "../../diagnose/cause-texts/index.ts";
import { causeWords } from "../cause-lines.ts";
import { formatPlain } from "../format-number.ts";
import { sentenceName } from "../tensor-label.ts";
import { heading, type PageContext } from "./context.ts";
import { html, type Markup } from "./markup.ts";

/** Null where nothing has an origin. */
export function causeSection(result: ComparisonResult, context: PageContext): Markup | null {
  const origins = result.groups.flatMap(({ origin, independent }) => [
    ...(origin === null ? [] : [origin]),
    ...independent,
  ]);
  if (origins.length === 0) return null;
  const known = origins.filter(({ causes }) => causes.length > 0);
  if (known.length === 0) return html`<p>${context.w.cause.none}</p>`;
  return html`<div class="cards">${known.flatMap((origin) => causesOf(origin, result, context))}</div>`;
}

function causesOf(
  origin: Origin,
  { groups }: ComparisonResult,
  context: PageContext,
): readonly Markup[] {
  const { m, w, lang } = context;
  const name = sentenceName({ name: origin.tensor, layer: origin.layer }, m);
  const of = groups.length > 1 ? m.group.of(m.step[origin.step], name) : name;
  return origin.causes.map((cause) => {
    const { label, message } = causeWords(cause, lang);
    const text = isCauseId(cause.id) ? CAUSES[cause.id][lang] : null;
    return html`<article class="card">${heading(3, html`<code>${cause.id}</code> <span class="muted">${w.cause.of(of)}</span>`, context)}
<p>${label}${m.colon}${message}</p>
${text === null ? null : html`<p class="muted">${text.title}</p><p>${w.cause.usual}${m.colon}</p><ul>${text.usual.map((one) => html`<li>${one}</li>`)}</ul>`}
<p class="muted">${w.cause.confidence}${m.colon}${formatPlain(cause.confidence)}</p></article>\n`;
  });
}
