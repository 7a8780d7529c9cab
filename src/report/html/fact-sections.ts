/** What the comparison rests on: limits, notes, environment, inputs, and how to repeat it. */

import { escapeText } from "../../core/escape.ts";
import type { InputSummary } from "../../core/inputs.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { determinismLines } from "../determinism-lines.ts";
import { formatBytes } from "../format-number.ts";
import { deviceOf, dtypeOf } from "../input-label.ts";
import { noticeLines } from "../notices.ts";
import { type RuleOutcome, ruleRows } from "../rule-rows.ts";
import { badge, factTable, type PageContext, type State } from "./context.ts";
import { html, type Markup } from "./markup.ts";

const OUTCOMES: Readonly<Record<RuleOutcome, State>> = {
  holds: "pass",
  broken: "fail",
  undecided: "open",
  notApplied: "none",
};

/** Characters of a value of the environment. */
const LONGEST_VALUE = 200;

/** Of the id of a run, and digits of a hash: enough to tell two apart; JSON has all. */
const LONGEST_ID = 24;
const SHOWN_HASH = 16;

/** Places of missing tensors that are listed for each side. */
const PLACES = 50;

export function limitSection(result: ComparisonResult, context: PageContext): Markup {
  const { m, w } = context;
  return factTable(
    w.sections.limits,
    [m.card.rule, m.card.limit, m.card.from, m.card.outcome],
    ruleRows(result, m).map(({ name, limit, from, outcome, text }) => [
      html`<code>${name}</code>`,
      limit,
      from,
      badge(OUTCOMES[outcome], text),
    ]),
    context,
  );
}

/** Warnings about the inputs, and what one side lacks; null where there is nothing to say. */
export function noteSection(result: ComparisonResult, context: PageContext): Markup | null {
  const { m, lang } = context;
  const notices = noticeLines(result, lang).map(
    ({ finding, text }) =>
      html`<li>${finding.level === "info" ? m.labels.note : m.labels.warning} <code>${finding.rule}</code>${m.colon}${text}</li>`,
  );
  const lacking = (["missing", "notCaptured"] as const).flatMap((kind) =>
    (["reference", "candidate"] as const).flatMap((side) => {
      const places = result[kind][side];
      if (places.length === 0) return [];
      const shown = places.slice(0, PLACES).map((place) => escapeText(place, 80));
      const more = places.length > PLACES ? ` ${m.andMore(places.length - PLACES)}` : "";
      return [
        html`<li>${m.labels[kind]} (${m.side[side]})${m.colon}<span class="names">${shown.join(", ")}</span>${more}</li>`,
      ];
    }),
  );
  const all = [...notices, ...lacking];
  return all.length === 0 ? null : html`<ul>${all}</ul>`;
}

/** Null where neither side was repeated. */
export function determinismSection(
  { quality: { determinism } }: ComparisonResult,
  { m }: PageContext,
): Markup | null {
  const lines = determinismLines(determinism, m);
  return lines.length === 0
    ? null
    : html`<ul>${lines.map(({ text }) => html`<li>${text}</li>`)}</ul>`;
}

export function environmentSection(result: ComparisonResult, context: PageContext): Markup {
  const { m, w } = context;
  const { differences } = result.environment;
  if (differences.length === 0) return html`<p>${w.facts.noDifferences}</p>`;
  return factTable(
    w.sections.environment,
    [w.facts.key, m.labels.reference, m.labels.candidate],
    differences.map(({ key, reference, candidate }) => [
      html`<code>${escapeText(key, LONGEST_VALUE)}</code>`,
      valueText(reference, w.facts.absent),
      valueText(candidate, w.facts.absent),
    ]),
    context,
  );
}

function valueText(value: unknown, absent: string, most = LONGEST_VALUE): Markup {
  if (value === undefined || value === null) return html`<span class="muted">${absent}</span>`;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return html`<code>${escapeText(text, most)}</code>`;
}

export function inputSection({ inputs }: ComparisonResult, context: PageContext): Markup {
  const { m, w } = context;
  const labelled: readonly (readonly [string, InputSummary])[] = [
    [m.labels.reference, inputs.reference],
    [m.labels.candidate, inputs.candidate],
    ...inputs.floors.map((floor) => [m.labels.floor, floor] as const),
    ...inputs.forced.map((forced) => [m.labels.forced, forced] as const),
  ];
  return factTable(
    w.sections.inputs,
    [
      w.facts.input,
      w.facts.file,
      w.facts.size,
      w.facts.device,
      w.facts.dtype,
      w.facts.run,
      w.facts.tokens,
    ],
    labelled.map(([label, input]) => [
      label,
      html`<code>${escapeText(input.file, LONGEST_VALUE)}</code>`,
      formatBytes(input.bytes),
      deviceOf(input) ?? w.facts.absent,
      dtypeOf(input) ?? w.facts.absent,
      valueText(input.run["id"], w.facts.absent, LONGEST_ID),
      input.tokensSha256 === null
        ? w.facts.absent
        : html`<code>${input.tokensSha256.slice(0, SHOWN_HASH)}…</code>`,
    ]),
    context,
  );
}

/** A command that is copied as a whole. */
export function commandLine(command: string, { w }: PageContext): Markup {
  return html`<div class="command"><code>${command}</code><button type="button" class="copy" data-done="${w.copied}" hidden>${w.copy}</button></div>`;
}
