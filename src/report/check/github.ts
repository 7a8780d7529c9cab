/** A check as workflow commands for GitHub Actions. */

import type { CheckResult, PairOutcome } from "../../core/check-result.ts";
import { escapeText } from "../../core/escape.ts";
import { type Annotation, renderAnnotations, verdictText } from "../github.ts";
import type { Language } from "../messages/index.ts";
import { CHECK_MESSAGES } from "./messages.ts";
import { totals, verdictWord } from "./rows.ts";

const LEVELS = { error: "error", fail: "error", inconclusive: "warning", pass: "notice" } as const;

/** How many pairs came to what, then each that does not pass: ten annotations at most, as GitHub shows. */
export function renderCheckGithub(
  check: CheckResult,
  { lang = "en" }: { readonly lang?: Language } = {},
): string {
  return renderAnnotations(
    [
      {
        level: LEVELS[check.verdict],
        title: `npu-diff check: ${verdictWord(check.verdict, lang)}`,
        text: [totals(check, lang)],
      },
      ...check.pairs
        .filter(({ verdict }) => verdict !== "pass")
        .map((pair): Annotation => {
          const title = `npu-diff ${escapeText(pair.name)}: ${verdictWord(pair.verdict, lang)}`;
          return { level: LEVELS[pair.verdict], title, text: textOf(pair, lang) };
        }),
    ],
    lang,
  );
}

function textOf({ result, error }: PairOutcome, lang: Language): readonly string[] {
  if (result !== null && error === null) return verdictText(result, lang);
  return [
    `[${error?.code ?? "internal"}] ${escapeText(error?.what ?? "", 400)}`,
    ...(error?.facts ?? []).map(({ label, text }) => escapeText(`${label}: ${text}`, 400)),
    `${CHECK_MESSAGES[lang].help}${escapeText(error?.help ?? "", 400)}`,
  ];
}
