/**
 * The report as one page: a single file that asks for nothing outside of
 * itself, and is read whole without its script.
 */

import { SCRIPT, STYLE } from "#page/assets.js";
import { escapeText } from "../../core/escape.ts";
import type { InputSummary } from "../../core/inputs.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { deviceOf, dtypeOf, modelOf } from "../input-label.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { verdictLines } from "../verdict-lines.ts";
import { causeSection } from "./cause-section.ts";
import { badge, type PageContext, type Section, stateOf } from "./context.ts";
import { depthSection } from "./depth-section.ts";
import {
  commandLine,
  determinismSection,
  environmentSection,
  inputSection,
  limitSection,
  noteSection,
} from "./fact-sections.ts";
import { generationSection } from "./generation-section.ts";
import { heatMap } from "./heat-map.ts";
import { layerCharts } from "./layer-chart.ts";
import { html, type Markup, trusted } from "./markup.ts";
import { positionSection } from "./position-section.ts";
import { qualitySection } from "./quality-section.ts";
import { tensorTable } from "./tensor-table.ts";
import { tiles } from "./tiles.ts";
import { PAGE_WORDS } from "./words/index.ts";

export interface PageOptions {
  readonly lang: Language;
  /** What repeats the comparison, without folders; null where it is not known. */
  readonly command: string | null;
}

/** Nothing is loaded, and no other script or style than the page's own runs. */
const POLICY = [
  "default-src 'none'",
  `script-src '${SCRIPT.hash}'`,
  `style-src '${STYLE.hash}'`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** The report as HTML, ending with a newline; the same result gives the same bytes. */
export function renderHtml(result: ComparisonResult, { lang, command }: PageOptions): string {
  const context: PageContext = { m: MESSAGES[lang], w: PAGE_WORDS[lang], lang };
  const { m, w } = context;
  const sections = sectionsOf(result, command, context);
  const { headline } = verdictLines(result, lang);
  const page = html`<!doctype html>
<html lang="${w.tag}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${m.verdict[result.verdict]}${m.colon}${escapeText(headline, 120)}</title>
<style>${trusted(STYLE.text)}</style>
</head>
<body>
<a class="skip" href="#report">${w.skip}</a>
<header class="bar"><p class="tool">npu-diff compare</p><button type="button" id="theme" data-light="${w.light}" data-dark="${w.dark}" hidden></button></header>
<main id="report">
${verdict(result, context)}
${tiles(result, context)}
<nav aria-label="${w.contents}"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
${sections.map(({ id, title, body }) => html`<section id="${id}"><h2>${title}</h2>\n${body}</section>\n`)}
</main>
<script>${trusted(SCRIPT.text)}</script>
</body>
</html>
`;
  return page.source;
}

function verdict(result: ComparisonResult, context: PageContext): Markup {
  const { m, lang } = context;
  const { headline, evidence, next } = verdictLines(result, lang);
  const state = stateOf(result.verdict);
  return html`<header class="verdict ${state}"><h1>${badge(state, m.verdict[result.verdict])} <span class="headline">${headline}</span></h1>
<ul class="evidence">${evidence.map((line) => html`<li>${line}</li>`)}</ul>
${next === null ? null : html`<div class="next"><span>${m.labels.next}</span>${commandLine(next, context)}</div>`}
${sides(result, context)}</header>`;
}

/** Who was compared with whom, in a line each. */
function sides(result: ComparisonResult, { m }: PageContext): Markup {
  const { inputs, tokens, evidence } = result;
  const model = modelOf(result);
  const input = (one: InputSummary): Markup =>
    html`<code>${escapeText(one.file, 60)}</code> ${[deviceOf(one), dtypeOf(one)].filter((fact) => fact !== null).join(" · ")}`;
  const rows: readonly (readonly [string, Markup])[] = [
    [m.labels.reference, input(inputs.reference)],
    [m.labels.candidate, input(inputs.candidate)],
    ...(inputs.floors.length === 0 && evidence !== "exact"
      ? [[m.labels.floor, html`${m.noFloor}`] as const]
      : inputs.floors.map((floor) => [m.labels.floor, input(floor)] as const)),
    ...inputs.forced.map((forced) => [m.labels.forced, input(forced)] as const),
    [
      m.labels.model,
      html`${[
        ...(model.id === null ? [] : [model.id]),
        ...m.size(model.layers, tokens.samples, tokens.tokens),
        ...(result.stopped ? [m.stopped] : []),
      ].join(" · ")}`,
    ],
  ];
  return html`<dl class="sides">${rows.map(([label, text]) => html`<div><dt>${label}</dt><dd>${text}</dd></div>`)}</dl>`;
}

/** The sections that have something to say, in the order in which they are read. */
function sectionsOf(
  result: ComparisonResult,
  command: string | null,
  context: PageContext,
): readonly Section[] {
  const { sections, facts } = context.w;
  const all: readonly (readonly [string, string, Markup | null])[] = [
    ["layers", sections.layers, html`${layerCharts(result, context)}`],
    ["heat-map", sections.heat, heatMap(result, context)],
    ["causes", sections.causes, causeSection(result, context)],
    ["elements", sections.elements, depthSection(result, context)],
    ["positions", sections.logits, positionSection(result, context)],
    ["quality", sections.quality, qualitySection(result, context)],
    ["texts", sections.texts, generationSection(result, context)],
    ["determinism", sections.determinism, determinismSection(result, context)],
    ["all", sections.tensors, result.tensors.length === 0 ? null : tensorTable(result, context)],
    ["limits", sections.limits, limitSection(result, context)],
    ["notes", sections.notes, noteSection(result, context)],
    ["environment", sections.environment, environmentSection(result, context)],
    ["inputs", sections.inputs, inputSection(result, context)],
    [
      "repeat",
      sections.repeat,
      command === null
        ? null
        : html`${commandLine(command, context)}<p class="muted">${facts.repeatHint}</p>`,
    ],
  ];
  return all.flatMap(([id, title, body]) => (body === null ? [] : [{ id, title, body }]));
}
