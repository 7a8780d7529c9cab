/** The result of a comparison for GitHub Actions: workflow commands, and a job summary. */

import { escapeCommand, escapeCommandProperty, escapeText } from "../core/escape.ts";
import type { Finding } from "../core/findings.ts";
import { isOpen } from "../core/open-finding.ts";
import type { ComparisonResult } from "../core/result.ts";
import { findingMessage } from "./finding-text.ts";
import { type Language, MESSAGES } from "./messages/index.ts";
import { noticeLines } from "./notices.ts";
import { verdictLines } from "./verdict-lines.ts";

/** What is shown on the page of a run; GitHub shows ten of each level and step, and drops the rest. */
export interface Annotation {
  readonly level: "error" | "warning" | "notice";
  readonly title: string;
  /** Lines. */
  readonly text: readonly string[];
}

/** Annotations of one call. */
const MOST = 10;

/** GitHub shows no summary at all of a step that wrote more than 1 MiB. */
export const SUMMARY_LIMIT: number = 1024 * 1024;

/** At most ten annotations as workflow commands of GitHub Actions, a line each; ends with a newline. */
export function renderGithub(
  result: ComparisonResult,
  { lang = "en" }: { readonly lang?: Language } = {},
): string {
  return renderAnnotations(annotations(result, lang), lang);
}

/** The first ten of `all`, the last of them naming how many there are beyond. */
export function renderAnnotations(all: readonly Annotation[], lang: Language): string {
  const shown = all.slice(0, MOST).map((one, i) => {
    const more = i === MOST - 1 ? all.length - MOST : 0;
    return more === 0 ? one : { ...one, text: [...one.text, MESSAGES[lang].andMore(more)] };
  });
  return shown
    .map(
      ({ level, title, text }) =>
        `::${level} title=${escapeCommandProperty(title)}::${escapeCommand(text.join("\n"))}\n`,
    )
    .join("");
}

/** The verdict first; then each rule that is broken or open where the error begins; then warnings. */
function annotations(result: ComparisonResult, lang: Language): readonly Annotation[] {
  const m = MESSAGES[lang];
  const level = ({ pass: "notice", fail: "error", inconclusive: "warning" } as const)[
    result.verdict
  ];
  const verdict: Annotation = {
    level,
    title: titleOf(m.verdict[result.verdict]),
    text: verdictText(result, lang),
  };
  // What is inherited, the report tells.
  const found = result.findings.filter(
    (one) => (one.level === "error" && one.role !== "inherited") || isOpen(one),
  );
  return [
    verdict,
    ...found.map((one): Annotation => {
      const place = one.tensor === null ? "" : `${escapeText(one.tensor)} `;
      return {
        level: one.level === "error" ? "error" : "warning",
        title: titleOf(one.rule),
        text: [`${place}${stepWord(one, result, lang)}${findingMessage(one, lang)}`],
      };
    }),
    ...noticeLines(result, lang)
      .filter(({ finding }) => finding.level === "warning")
      .map(({ finding, text }): Annotation => {
        return { level: "warning", title: titleOf(finding.rule), text: [text] };
      }),
  ];
}

/** The verdict in a sentence, what it rests on, and the command that says more: a line each. */
export function verdictText(result: ComparisonResult, lang: Language): readonly string[] {
  const m = MESSAGES[lang];
  const { headline, evidence, next } = verdictLines(result, lang);
  return [headline, ...evidence, ...(next === null ? [] : [`${m.labels.next}${m.colon}${next}`])];
}

function titleOf(what: string): string {
  return `npu-diff: ${escapeText(what)}`;
}

/** Which steps a finding is about, where there are both. */
function stepWord({ step }: Finding, { groups }: ComparisonResult, lang: Language): string {
  return step === null || groups.length < 2 ? "" : `(${MESSAGES[lang].step[step]}) `;
}

/** Ends what `<details>` began. */
const FOLD_END = "</details>\n\n";

/** As many whole blocks of a Markdown report as fit so many bytes of UTF-8, and that it was cut. */
export function fitSummary(markdown: string, room: number, lang: Language): string {
  if (bytes(markdown) <= room) return markdown;
  const note = `${MESSAGES[lang].summaryCut}\n`;
  let kept = "";
  for (const block of markdown.split("\n\n")) {
    const longer = `${kept}${block}\n\n`;
    if (bytes(longer) + bytes(FOLD_END) + bytes(note) > room) break;
    kept = longer;
  }
  // What is cut in a fold must not hide what another call writes after it.
  if (kept.lastIndexOf("<details>") > kept.lastIndexOf("</details>")) kept += FOLD_END;
  return bytes(kept + note) <= room ? kept + note : "";
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
