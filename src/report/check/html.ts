/** A check as one page: all pairs in a table, then the report of each, folded. */

import { type CheckResult, type PairOutcome, VERDICTS } from "../../core/check-result.ts";
import { escapeText } from "../../core/escape.ts";
import {
  badge,
  factTable,
  heading,
  type PageContext,
  type PairPlace,
  type State,
  stateOf,
} from "../html/context.ts";
import { commandLine } from "../html/fact-sections.ts";
import { html, type Markup, type Part } from "../html/markup.ts";
import { pageShell } from "../html/page-shell.ts";
import { reportBody } from "../html/report-body.ts";
import { PAGE_WORDS } from "../html/words/index.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { sentenceName } from "../tensor-label.ts";
import { verdictLines } from "../verdict-lines.ts";
import { CHECK_MESSAGES } from "./messages.ts";
import { ratioCell, totals } from "./rows.ts";

/**
 * Bytes of reports that are shown whole, and of all reports. Eight pairs of 1,200 tensors
 * have room for all that is known of them; those beyond are brief, and of hundreds the
 * last stand in the table alone.
 */
const ROOM = { full: 4_000_000, brief: 6_000_000 };

/** Characters of a name. */
const LONGEST_NAME = 200;

/** What the page of a check is told beside the result. */
export interface CheckPageOptions {
  readonly lang: Language;
  /** The command line that repeats a pair, or all of them for null, one line; null where it is not known. */
  readonly commandOf: (pair: string | null) => string | null;
}

export const DEFAULT_PAGE_OPTIONS: CheckPageOptions = { lang: "en", commandOf: () => null };

/**
 * The report as one HTML file that loads nothing, ending with a newline; the same result gives the same bytes.
 * What it draws of single tokens and elements is there where the check was made with `details`.
 */
export function renderCheckHtml(check: CheckResult, given: Partial<CheckPageOptions> = {}): string {
  const options = { ...DEFAULT_PAGE_OPTIONS, ...given };
  const { lang, commandOf } = options;
  const context: PageContext = { m: MESSAGES[lang], w: PAGE_WORDS[lang], lang, pair: null };
  const said = CHECK_MESSAGES[lang];
  const { baseline } = check;
  const state = stateOfPair(check.verdict);
  const folds = foldsOf(check, options, context);
  const command = commandOf(null);
  const body = html`<header class="verdict ${state}"><h1>${badge(state, verdictName(check.verdict, context))} <span class="headline">${totals(check, lang)}</span></h1>
<ul class="evidence"><li><code>${escapeText(check.config, LONGEST_NAME)}</code></li>${
    baseline === null
      ? null
      : html`<li>${said.baseline} <code>${escapeText(baseline.file, LONGEST_NAME)}</code>${context.m.colon}${said.baselineState[baseline.state]}</li>`
  }</ul></header>
<section id="pairs">${heading(2, said.title, context)}
${overview(check, folds, context)}</section>
${folds}
${command === null ? null : html`<section id="repeat">${heading(2, context.w.check.repeat, context)}\n${commandLine(command, context)}</section>`}`;
  const title = `${verdictName(check.verdict, context)}${context.m.colon}${totals(check, lang)}`;
  return pageShell({ title, tool: "npu-diff check", body }, context);
}

function verdictName(verdict: PairOutcome["verdict"], { m, lang }: PageContext): string {
  return verdict === "error" ? CHECK_MESSAGES[lang].error : m.verdict[verdict];
}

function stateOfPair(verdict: PairOutcome["verdict"]): State {
  return verdict === "error" ? "fail" : stateOf(verdict);
}

/** A row for each pair, whose name leads to its report where there is one. */
function overview(
  { pairs }: CheckResult,
  folds: readonly (Markup | null)[],
  context: PageContext,
): Markup {
  const { w, lang } = context;
  const words = w.check;
  return factTable(
    CHECK_MESSAGES[lang].title,
    [words.pair, words.verdict, w.tiles.firstFault, words.overFloor, words.next],
    pairs.map((pair, i) => {
      const name = escapeText(pair.name, LONGEST_NAME);
      return [
        folds[i] === null ? name : html`<a href="#${prefixOf(i)}">${name}</a>`,
        badge(stateOfPair(pair.verdict), verdictName(pair.verdict, context)),
        firstFault(pair, context),
        ratioCell(pair),
        nextStep(pair, context),
      ];
    }),
    context,
  );
}

function firstFault({ result, error }: PairOutcome, { m }: PageContext): Part {
  if (error !== null) return html`<code>${error.code}</code>`;
  const origin = result?.origin ?? null;
  return origin === null ? "–" : sentenceName({ name: origin.tensor, layer: origin.layer }, m);
}

function nextStep({ result, error }: PairOutcome, { lang }: PageContext): Part {
  if (error !== null) return escapeText(error.help, 400);
  const next = result === null ? null : verdictLines(result, lang).next;
  return next === null ? "–" : html`<code>${next}</code>`;
}

function prefixOf(index: number): string {
  return `pair-${index + 1}`;
}

/** The report of each pair; null where the page has no room for it. The worst are given theirs first. */
function foldsOf(
  { pairs }: CheckResult,
  options: CheckPageOptions,
  page: PageContext,
): readonly (Markup | null)[] {
  const order = VERDICTS.flatMap((verdict) =>
    pairs.flatMap((pair, index) => (pair.verdict === verdict ? [{ pair, index }] : [])),
  );
  const folds = pairs.map((): Markup | null => null);
  const extents: ("full" | "brief")[] = ["full", "brief"];
  let used = 0;
  const worst = order.find(({ pair }) => pair.result !== null && pair.verdict !== "pass");
  for (const { pair, index } of order) {
    const name = escapeText(pair.name, LONGEST_NAME);
    const context = { ...page, pair: { name, prefix: prefixOf(index) } };
    // What is wrong is seen at once; the rest is a click away.
    const isOpen = pair.result === null || pair === worst?.pair || pairs.length === 1;
    // Where one has no room, those after it are not tried.
    while (extents[0] !== undefined) {
      const fold = foldOf(pair, isOpen, extents[0], options, context);
      const size = new TextEncoder().encode(fold.source).length;
      if (used + size <= ROOM[extents[0]]) {
        folds[index] = fold;
        used += size;
        break;
      }
      extents.shift();
    }
  }
  return folds;
}

function foldOf(
  { name, verdict, result, error }: PairOutcome,
  isOpen: boolean,
  extent: "full" | "brief",
  { commandOf }: CheckPageOptions,
  context: PageContext & { readonly pair: PairPlace },
): Markup {
  const command = commandOf(name);
  const state = stateOfPair(verdict);
  const body =
    result === null || error !== null
      ? errorBody(error, context)
      : html`${extent === "full" ? null : briefNote(command, context)}${reportBody(result, { command, extent }, context)}`;
  return html`<details class="pair" id="${context.pair.prefix}"${isOpen ? html` open` : null}><summary><h2>${context.pair.name} ${badge(state, verdictName(verdict, context))}</h2></summary>
${body}</details>
`;
}

function briefNote(command: string | null, context: PageContext): Markup {
  return html`<div class="next"><span>${context.w.check.brief}</span>${command === null ? null : commandLine(`${command} -o report.html`, context)}</div>`;
}

function errorBody(error: PairOutcome["error"], { lang }: PageContext): Markup {
  const { code = "internal", what = "", facts = [], help = "" } = error ?? {};
  return html`<div class="verdict fail"><p class="title"><code>[${code}]</code> ${escapeText(what, 400)}</p>
<ul class="evidence">${facts.map(({ label, text }) => html`<li>${escapeText(`${label}: ${text}`, 400)}</li>`)}</ul>
<p>${CHECK_MESSAGES[lang].help}${escapeText(help, 400)}</p></div>`;
}
