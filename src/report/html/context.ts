/** What the parts of the page share. */

import type { ComparisonResult } from "../../core/result.ts";
import type { TensorResult } from "../../core/tensor-result.ts";
import { plainEvidence } from "../layer-rows.ts";
import type { Language, Messages } from "../messages/index.ts";
import { html, type Markup, type Part } from "./markup.ts";
import type { PageWords } from "./words/index.ts";

export interface PageContext {
  readonly m: Messages;
  readonly w: PageWords;
  readonly lang: Language;
  /** Which of several reports of one page it is; null where it is the only one. */
  readonly pair: PairPlace | null;
}

/** What tells one report of a page from the others. */
export interface PairPlace {
  /** Escaped. */
  readonly name: string;
  /** Before the ids of its parts. */
  readonly prefix: string;
}

/** The id of a part of a report. */
export function anchor(id: string, { pair }: PageContext): string {
  return pair === null ? id : `${pair.prefix}-${id}`;
}

/** A heading of a report, which itself is headed by one of level 1, or 2 where there are several. */
export function heading(level: 2 | 3, content: Part, { pair }: PageContext): Markup {
  const shown = pair === null ? level : level + 1;
  return html`<h${shown}>${content}</h${shown}>`;
}

/** What a region is called: no two of a page alike. */
export function regionLabel(label: string, { m, pair }: PageContext): string {
  return pair === null ? label : `${pair.name}${m.colon}${label}`;
}

/** A part of the page with a heading, which the contents at its top lead to. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

/** Verdicts and words by which a colour and a shape are chosen. */
export type State = "pass" | "fail" | "open" | "none";

const SHAPES: Readonly<Record<State, string>> = { pass: "●", fail: "▲", open: "◆", none: "○" };

/** A word with its shape: colour alone says nothing. */
export function badge(state: State, word: string): Markup {
  return html`<span class="badge ${state}"><span aria-hidden="true">${SHAPES[state]}</span> ${word}</span>`;
}

/** A table that scrolls by itself where it is wider than the page; the first column heads its rows. */
export function factTable(
  label: string,
  head: readonly Part[],
  rows: readonly (readonly Part[])[],
  context: PageContext,
): Markup {
  return scrolling(
    label,
    html`<table class="facts"><thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>${rows.map(
      ([first = "", ...cells]) =>
        html`<tr><th scope="row">${first}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`,
    )}</tbody></table>`,
    context,
  );
}

/** A region that the keyboard can scroll. */
export function scrolling(label: string, body: Markup, context: PageContext): Markup {
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${regionLabel(label, context)}">${body}</div>`;
}

/** What the rules say of a tensor, as a {@link State}. */
export function stateOf(verdict: TensorResult["verdict"]): State {
  return verdict === "inconclusive" ? "open" : verdict;
}

/** The limit that a rule had throughout; null where it was not applied, or had one for each tensor. */
export function appliedLimit(result: ComparisonResult, rule: string): number | null {
  return result.rules.find((one) => one.rule === rule && one.applied)?.limit ?? null;
}

/** The unit in which the errors of a comparison are given, where there is one. */
export function unitOf(result: ComparisonResult): "floor" | "prior" | null {
  const evidence = plainEvidence(result);
  return evidence === "exact" ? null : evidence;
}
