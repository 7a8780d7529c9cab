/** The report of a check for a terminal: what is wrong with each pair, then all pairs in a table. */

import { type CheckResult, type CheckVerdict, type PairOutcome } from "../../core/check-result.ts";
import { escapeText } from "../../core/escape.ts";
import { MESSAGES } from "../messages/index.ts";
import { gateLines } from "../notices.ts";
import { type Style } from "../style.ts";
import { cutEnd, layOutTable, padEnd, width, wrapText } from "../table.ts";
import { DEFAULT_TEXT_OPTIONS, type TextOptions } from "../text.ts";
import { verdictLines } from "../verdict-lines.ts";
import { CHECK_MESSAGES } from "./messages.ts";
import { figureCells, totals, verdictWord } from "./rows.ts";

/** Columns of a pair's name in the table. */
const NAME_COLUMNS = 24;

/**
 * The report as lines of text, ending with a newline: of each pair that does not pass what is wrong, then all
 * of them in a table.
 *
 * @param given English, without style, 80 columns wide, where nothing else is said
 */
export function renderCheckText(check: CheckResult, given: Partial<TextOptions> = {}): string {
  const options = { ...DEFAULT_TEXT_OPTIONS, ...given };
  const { lang, style } = options;
  const m = CHECK_MESSAGES[lang];
  const columns = Math.max(40, options.columns);
  const details = check.pairs
    .map((pair) => detailLines(pair, { ...options, columns }))
    .filter((lines) => lines.length > 0);
  const baseline =
    check.baseline === null
      ? []
      : [
          `${m.baseline}  ${escapeText(check.baseline.file)}  ${m.baselineState[check.baseline.state]}`,
        ];
  const word = verdictHead(check.verdict, options);
  const indent = " ".repeat(width(word.text) + 2);
  const total = wrapText(totals(check, lang), columns - indent.length).map((line, i) =>
    i === 0 ? `${style.bold(word.paint(word.text))}  ${line}` : indent + line,
  );
  const blocks = [
    ...details,
    tableLines(check, options),
    [...total, ...baseline.map((line) => indent + line)],
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** What is wrong with a pair, and what a config or a baseline says of it; nothing of a plain pass. */
function detailLines(pair: PairOutcome, options: TextOptions): readonly string[] {
  const { lang, style, columns } = options;
  const { text: word, paint } = verdictHead(pair.verdict, options);
  const indent = " ".repeat(width(word) + 2);
  const room = columns - indent.length;
  const name = escapeText(pair.name);
  const { headline, rest, commands } = contents(pair, options);
  if (headline === null && rest.length === 0) return [];
  const first = headline === null ? name : `${name}${MESSAGES[lang].colon}${headline}`;
  return [...[first, ...rest].flatMap((line) => wrapText(line, room)), ...commands].map(
    (line, i) => (i === 0 ? `${style.bold(paint(word))}  ${line}` : indent + line),
  );
}

interface Contents {
  readonly headline: string | null;
  readonly rest: readonly string[];
  /** Lines that are never broken. */
  readonly commands: readonly string[];
}

function contents({ result, error, verdict }: PairOutcome, { lang }: TextOptions): Contents {
  const m = MESSAGES[lang];
  if (result === null || error !== null) {
    const facts = error?.facts ?? [];
    const labels = facts.map(({ label }) => escapeText(label, 40));
    const labelWidth = Math.max(0, ...labels.map(width));
    return {
      headline: `[${error?.code ?? "internal"}] ${escapeText(error?.what ?? "", 400)}`,
      rest: facts.map(
        ({ text }, i) => `${padEnd(labels[i] ?? "", labelWidth)}  ${escapeText(text, 400)}`,
      ),
      commands: [`${CHECK_MESSAGES[lang].help}${escapeText(error?.help ?? "", 400)}`],
    };
  }
  const gate = gateLines(result, lang);
  if (verdict === "pass") return { headline: null, rest: gate, commands: [] };
  const { headline, evidence, next } = verdictLines(result, lang);
  return {
    headline,
    rest: [...evidence, ...gate],
    commands: next === null ? [] : [`${m.labels.next}${m.colon}${next}`],
  };
}

function tableLines({ pairs }: CheckResult, options: TextOptions): readonly string[] {
  const { lang, ascii } = options;
  const titles = CHECK_MESSAGES[lang].columns;
  const [head = "", ...lines] = layOutTable(
    [
      { title: titles.pair, align: "left" },
      { title: titles.tensors, align: "right" },
      { title: titles.overFloor, align: "right" },
      { title: titles.perplexity, align: "right" },
      { title: titles.kl, align: "right" },
      { title: titles.top1, align: "right" },
      { title: titles.verdict, align: "left" },
    ],
    pairs.map((pair) => [
      cutEnd(escapeText(pair.name), NAME_COLUMNS, ascii ? ".." : "…"),
      ...figureCells(pair),
      verdictWord(pair.verdict, lang),
    ]),
  );
  return [head, ...lines].map((line) => `  ${line}`);
}

function verdictHead(
  verdict: CheckVerdict,
  { lang, style }: TextOptions,
): { readonly text: string; readonly paint: Style["red"] } {
  const text = verdict === "error" ? CHECK_MESSAGES[lang].error : MESSAGES[lang].verdict[verdict];
  const paint = {
    pass: style.green,
    fail: style.red,
    error: style.red,
    inconclusive: style.yellow,
  }[verdict];
  return { text, paint };
}
