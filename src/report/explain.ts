/** What `npu-diff explain` says of rules, causes and number formats. */

import { inPlural } from "../core/template.ts";
import type { CauseEntry } from "../diagnose/cause-texts/index.ts";
import type { Rule } from "../judge/rules.ts";
import { type FormatEntry, formatParts } from "./explain-format.ts";
import type { Part } from "./explain-part.ts";
import { machineJson } from "./json.ts";
import { type Language, MESSAGES } from "./messages/index.ts";
import type { Style } from "./style.ts";
import { padEnd, width, wrapText } from "./table.ts";

/** A rule, a cause or a number format, which share one space of ids. */
export type Entry =
  | ({ readonly kind: "rule" } & Rule)
  | ({ readonly kind: "cause" } & CauseEntry)
  | FormatEntry;

export interface ExplainOptions {
  readonly lang: Language;
  readonly style: Style;
  readonly columns: number;
}

/** All that there is to say about one of them; ends with a newline. */
export function renderEntry(entry: Entry, { lang, style, columns }: ExplainOptions): string {
  const parts = partsOf(entry, lang);
  const labelWidth = Math.max(...parts.map(([label]) => width(label)));
  const room = columns - labelWidth - 4;
  const lines = parts.flatMap(([label, texts]) =>
    texts
      .flatMap((one) => wrapText(one, room))
      .map((line, i) => {
        const shown = padEnd(i === 0 ? label : "", labelWidth);
        return `  ${i === 0 ? style.bold(shown) : shown}  ${line}`;
      }),
  );
  return `${style.bold(entry.id)}  ${titleOf(entry, lang)}\n${lines.join("\n")}\n`;
}

/** Every entry on a line of its own, cut to the columns; ends with a newline. */
export function renderList(
  entries: readonly Entry[],
  { lang, style, columns }: ExplainOptions,
): string {
  const idWidth = Math.max(...entries.map(({ id }) => width(id)));
  const lines = entries.map((entry) => {
    const text = entry.kind === "rule" ? inPlural(entry[lang].message) : entry[lang].title;
    const [first = "", ...rest] = wrapText(text, columns - idWidth - 4);
    return `${style.bold(padEnd(entry.id, idWidth))}  ${first}${rest.length > 0 ? " …" : ""}`;
  });
  return `${lines.join("\n")}\n`;
}

/** One entry for machines, its texts in one language. */
export function renderEntryJson(entry: Entry, lang: Language): string {
  return machineJson(document(entry, lang));
}

/** All entries for machines, their texts in one language. */
export function renderListJson(entries: readonly Entry[], lang: Language): string {
  return machineJson(entries.map((entry) => document(entry, lang)));
}

function document({ en, zh, ...facts }: Entry, lang: Language): object {
  return { ...facts, lang, text: lang === "en" ? en : zh };
}

function titleOf(entry: Entry, lang: Language): string {
  const m = MESSAGES[lang];
  return entry.kind === "rule" ? m.rule.level[entry.level] : entry[lang].title;
}

function partsOf(entry: Entry, lang: Language): readonly Part[] {
  const { rule: ofRule, cause: ofCause } = MESSAGES[lang];
  if (entry.kind === "dtype") return formatParts(entry, lang);
  if (entry.kind === "cause") {
    const text = entry[lang];
    return [
      [ofRule.found, [inPlural(text.message)]],
      [ofCause.by, [ofCause.finder[entry.by]]],
      [ofCause.formula, [entry.formula]],
      [ofCause.usual, text.usual],
      [ofRule.tune, text.advice],
    ];
  }
  const text = entry[lang];
  return [
    [ofRule.found, [inPlural(text.message)]],
    [ofRule.formula, [entry.formula]],
    ...(entry.metric === null ? [] : [[ofRule.metric, [entry.metric]] as const]),
    [ofRule.why, [text.why]],
    [ofRule.causes, text.causes],
    [ofRule.tune, [text.tune]],
  ];
}
