/** Single tensors in depth: how far they are off, where, and in which channels. */

import type { TensorDepth } from "../../core/depth.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { ulpRows, valueText } from "../depth/cells.ts";
import { DEPTH_MESSAGES } from "../depth/messages.ts";
import { formatCount, formatError, formatShare } from "../format-number.ts";
import { sentenceName } from "../tensor-label.ts";
import { factTable, heading, type PageContext, scrolling } from "./context.ts";
import { html, type Markup } from "./markup.ts";
import { quoted } from "./quoted.ts";

/** Elements and channels of each tensor. */
const SHOWN = 5;

const WIDTH = 860;
const HEIGHT = 150;
const TOP = 18;
const BOTTOM = 126;

/** Null where nothing was looked at, or nothing of it differs. */
export function depthSection(result: ComparisonResult, context: PageContext): Markup | null {
  const tensors = (result.details?.tensors ?? []).filter(({ tokens }) => tokens.length > 0);
  if (tensors.length === 0) return null;
  return html`<p class="muted">${context.w.depth.intro}</p><div class="cards">${tensors.map((depth, i) => card(depth, i === 0, context))}</div>`;
}

/** The first stands open; the others say their names. */
function card(depth: TensorDepth, isOpen: boolean, context: PageContext): Markup {
  const { m, lang } = context;
  const { columns } = DEPTH_MESSAGES[lang];
  const name = sentenceName({ name: depth.tensor, layer: depth.layer }, m);
  const { elements, channels } = depth;
  const hasTexts = elements.some(({ text }) => text !== null);
  const table = factTable(
    `${name}${m.colon}${columns.elements}`,
    [
      columns.sample,
      columns.token,
      ...(hasTexts ? [columns.text] : []),
      columns.index,
      columns.reference,
      columns.candidate,
      "ULP",
    ],
    elements
      .slice(0, SHOWN)
      .map((one) => [
        one.sample,
        depth.step === "decode" ? `${m.step.decode} ${one.step}` : one.token,
        ...(hasTexts ? [one.text === null ? "" : html`<code>${quoted(one.text, 30)}</code>`] : []),
        one.index.slice(1).join(", "),
        valueText(one.reference),
        valueText(one.candidate),
        valueText(one.ulp, 3),
      ]),
    context,
  );
  const byChannel = factTable(
    `${name}${m.colon}${columns.channel}`,
    [columns.channel, columns.share, columns.relL2],
    (channels ?? [])
      .slice(0, SHOWN)
      .map((one) => [one.channel, formatShare(one.share), formatError(one.relL2)]),
    context,
  );
  const title = heading(3, html`${name} <span class="muted">${m.step[depth.step]}</span>`, context);
  const body = html`${histogram(depth, name, context)}
${table}${channels === null || channels.length === 0 ? null : byChannel}`;
  return isOpen
    ? html`<article class="card">${title}${body}</article>\n`
    : html`<details class="card"><summary>${title}</summary>${body}</details>\n`;
}

function histogram({ ulp, dtypes }: TensorDepth, name: string, context: PageContext): Markup {
  const { m, w, lang } = context;
  const rows = ulpRows(ulp, { ascii: false, nonFinite: DEPTH_MESSAGES[lang].nonFinite });
  const total = rows.reduce((sum, { elements }) => sum + elements, 0);
  const most = Math.max(1, ...rows.map(({ elements }) => elements));
  const step = WIDTH / Math.max(1, rows.length);
  const title = w.depth.histogram(formatCount(total), dtypes.candidate.join(", "));
  const bars = rows.map(({ label, elements }, i) => {
    // What is there at all is seen.
    const height = elements === 0 ? 0 : Math.max(1, ((BOTTOM - TOP) * elements) / most);
    const [x, y] = [i * step, BOTTOM - height];
    return html`<g><title>${w.depth.bar(label, formatCount(elements))}</title><rect class="bar" x="${round(x + step * 0.12)}" y="${round(y)}" width="${round(step * 0.76)}" height="${round(height)}"/><text x="${round(x + step / 2)}" y="${BOTTOM + 15}">${label.replace("≤ ", "")}</text></g>`;
  });
  return scrolling(
    `${name}${m.colon}${title}`,
    html`<svg class="histogram" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`${name}${m.colon}${title}`}"><text class="title" x="0" y="11">${title}</text>${bars}</svg>`,
    context,
  );
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
