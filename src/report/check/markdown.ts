/** The report of a check in Markdown: all pairs in a table, then the precision section of each. */

import type { CheckResult, PairOutcome } from "../../core/check-result.ts";
import { escapeLine, escapeMarkdown } from "../../core/escape.ts";
import { renderMarkdown } from "../markdown.ts";
import { markdownTable } from "../markdown-parts.ts";
import { type CheckPageOptions, DEFAULT_PAGE_OPTIONS } from "./html.ts";
import { CHECK_MESSAGES } from "./messages.ts";
import { figureCells, totals, verdictWord } from "./rows.ts";

/** All pairs in a table, then the precision section of each for a model card, ending with a newline. */
export function renderCheckMarkdown(
  check: CheckResult,
  given: Partial<CheckPageOptions> = {},
): string {
  const options = { ...DEFAULT_PAGE_OPTIONS, ...given };
  const { lang } = options;
  const m = CHECK_MESSAGES[lang];
  const table = markdownTable([
    Object.values(m.columns),
    ...check.pairs.map((pair) => [
      pair.name,
      ...figureCells(pair),
      verdictWord(pair.verdict, lang),
    ]),
  ]);
  const sections = [
    `## ${verdictWord(check.verdict, lang)} · ${totals(check, lang)}`,
    table.join("\n"),
    ...(check.baseline === null
      ? []
      : [
          `${m.baseline} ${escapeMarkdown(check.baseline.file)}: ${m.baselineState[check.baseline.state]}`,
        ]),
    ...check.pairs.map((pair) => section(pair, options)),
  ];
  return `${sections.map((one) => one.trimEnd()).join("\n\n")}\n`;
}

function section(
  { name, result, error }: PairOutcome,
  { lang, commandOf }: CheckPageOptions,
): string {
  const title = `## ${escapeMarkdown(name)}`;
  if (result !== null)
    return `${title}\n\n${renderMarkdown(result, { lang, command: commandOf(name) })}`;
  const lines = [
    `**${CHECK_MESSAGES[lang].error}** ${escapeLine(`[${error?.code ?? ""}] ${error?.what ?? ""}`)}`,
    "",
    ...(error?.facts ?? []).map(({ label, text }) => `- ${escapeLine(`${label}: ${text}`)}`),
    `- ${CHECK_MESSAGES[lang].help}${escapeLine(error?.help ?? "")}`,
  ];
  return [title, "", ...lines].join("\n");
}
