/** The report of one comparison as part of a page: verdict, figures, contents and sections. */

import { escapeText } from "../../core/escape.ts";
import type { InputSummary } from "../../core/inputs.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { deviceOf, dtypeOf, modelOf } from "../input-label.ts";
import { LENS_MESSAGES } from "../lens/messages.ts";
import { verdictLines } from "../verdict-lines.ts";
import { causeSection } from "./cause-section.ts";
import {
  anchor,
  badge,
  heading,
  type PageContext,
  regionLabel,
  type Section,
  stateOf,
} from "./context.ts";
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
import { lensSection } from "./lens-section.ts";
import { html, type Markup } from "./markup.ts";
import { performanceSection } from "./performance-section.ts";
import { positionSection } from "./position-section.ts";
import { qualitySection } from "./quality-section.ts";
import { tensorTable } from "./tensor-table.ts";
import { tiles } from "./tiles.ts";

export interface BodyOptions {
  /** What repeats the comparison; null where it is not known. */
  readonly command: string | null;
  /** `brief` leaves out what grows with the tensors, tokens and prompts, but for the chart of the layers. */
  readonly extent: "full" | "brief";
}

export function reportBody(
  result: ComparisonResult,
  options: BodyOptions,
  context: PageContext,
): Markup {
  const sections = sectionsOf(result, options, context);
  return html`${verdict(result, context)}
${tiles(result, context)}
<nav aria-label="${regionLabel(context.w.contents, context)}"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
${sections.map(({ id, title, body }) => html`<section id="${id}">${heading(2, title, context)}\n${body}</section>\n`)}`;
}

function verdict(result: ComparisonResult, context: PageContext): Markup {
  const { m, lang } = context;
  const { headline, evidence, next } = verdictLines(result, lang);
  const state = stateOf(result.verdict);
  const said = html`${badge(state, m.verdict[result.verdict])} <span class="headline">${headline}</span>`;
  // One of several reports is headed by the name of its pair.
  const title = context.pair === null ? html`<h1>${said}</h1>` : html`<p class="title">${said}</p>`;
  return html`<header class="verdict ${state}">${title}
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
  { command, extent }: BodyOptions,
  context: PageContext,
): readonly Section[] {
  const { sections, facts } = context.w;
  const isFull = extent === "full";
  const all: readonly (readonly [string, string, Markup | null])[] = [
    ["layers", sections.layers, html`${layerCharts(result, context)}`],
    ["lens", LENS_MESSAGES[context.lang].title, lensSection(result, context)],
    ["heat-map", sections.heat, isFull ? heatMap(result, context) : null],
    ["causes", sections.causes, causeSection(result, context)],
    ["elements", sections.elements, isFull ? depthSection(result, context) : null],
    ["positions", sections.logits, isFull ? positionSection(result, context) : null],
    ["quality", sections.quality, qualitySection(result, context)],
    ["texts", sections.texts, isFull ? generationSection(result, context) : null],
    ["performance", sections.performance, performanceSection(result, context)],
    ["determinism", sections.determinism, determinismSection(result, context)],
    [
      "all",
      sections.tensors,
      isFull && result.tensors.length > 0 ? tensorTable(result, context) : null,
    ],
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
  return all.flatMap(([id, title, body]) =>
    body === null ? [] : [{ id: anchor(id, context), title, body }],
  );
}
