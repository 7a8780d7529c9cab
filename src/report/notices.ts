/** What standard error says beside a report: warnings about the inputs, and the first failure. */

import { escapeText } from "../core/escape.ts";
import type { Finding } from "../core/findings.ts";
import type { ComparisonResult } from "../core/result.ts";
import { findingMessage } from "./finding-text.ts";
import { type Language, MESSAGES } from "./messages/index.ts";
import type { Style } from "./style.ts";

export interface NoticeOptions {
  readonly lang: Language;
  readonly style: Style;
}

/** Findings about the inputs, the config and the baseline as a whole: they explain a verdict and rarely are one. */
export function isNotice(finding: Finding): boolean {
  return finding.rule.startsWith("input/") || isOfGate(finding);
}

/** Those about the config and the baseline, which every report itself shows. */
export function isOfGate({ rule }: Finding): boolean {
  return rule.startsWith("config/") || (rule.startsWith("baseline/") && !PER_FIGURE.has(rule));
}

/** Findings about one figure. */
const PER_FIGURE: ReadonlySet<string> = new Set(["baseline/regression", "baseline/gone"]);

/** Notices of one kind that are listed: a rule may find the same in every tensor. */
const SHOWN = 3;

/** Every warning and note about the inputs, a line each; empty where there is none. */
export function renderNotices(result: ComparisonResult, { lang, style }: NoticeOptions): string {
  const m = MESSAGES[lang];
  const beside = noticeLines(result, lang).filter(({ finding }) => !isOfGate(finding));
  const lines = beside.map(({ finding, text }) => {
    const label = finding.level === "info" ? m.labels.note : m.labels.warning;
    const mark = `${label}[${finding.rule}]`;
    return `${finding.level === "info" ? style.bold(mark) : style.yellow(mark)}: ${text}\n`;
  });
  return lines.join("");
}

/** The notices in words, with the repetitions of one rule counted instead of listed. */
export function noticeLines(
  result: ComparisonResult,
  lang: Language,
): readonly { readonly finding: Finding; readonly text: string }[] {
  const m = MESSAGES[lang];
  const byRule = new Map<string, Finding[]>();
  for (const finding of result.findings.filter(isNotice)) {
    byRule.set(finding.rule, [...(byRule.get(finding.rule) ?? []), finding]);
  }
  return [...byRule.values()].flatMap((findings) => {
    // Of what a config changed nothing goes unsaid.
    const most = findings[0]?.rule.startsWith("config/") === true ? findings.length : SHOWN;
    return findings.slice(0, most).map((finding, i) => {
      const subject = finding.tensor === null ? "" : `${escapeText(finding.tensor)} `;
      const rest =
        i === most - 1 && findings.length > most ? ` (${m.andMore(findings.length - most)})` : "";
      return { finding, text: `${subject}${findingMessage(finding, lang)}${rest}` };
    });
  });
}

/** What a config changed, and what the baseline says as a whole: no report goes without it. */
export function gateLines(result: ComparisonResult, lang: Language): readonly string[] {
  return noticeLines(result, lang)
    .filter(({ finding }) => isOfGate(finding))
    .map(({ text }) => text);
}

/** One line about the first tensor that fails, for a reader who waits for it. */
export function renderFailure(
  tensor: string,
  rule: string,
  { lang, style }: NoticeOptions,
): string {
  const word = style.red(MESSAGES[lang].verdict.fail);
  return `${word}  ${escapeText(tensor)}  ${escapeText(rule)}\n`;
}
