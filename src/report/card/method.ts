/** How the comparison was made and what its verdict rests on, told from the result alone. */

import { escapeLine, escapeText } from "../../core/escape.ts";
import type { InputSummary } from "../../core/inputs.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { formatCount } from "../format-number.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { CARD_MESSAGES } from "./messages.ts";

/** Files that are named, and characters of a hash. */
const NAMED = 8;
const HASH_SHOWN = 12;

/** Title, and a line for each fact. */
export function methodSections(
  result: ComparisonResult,
  lang: Language,
): readonly (readonly string[])[] {
  const { inputs, evidence, tokens, groups, rules } = result;
  const { method: m, more } = CARD_MESSAGES[lang];
  const { separator } = MESSAGES[lang].quality;
  const names = (files: readonly string[]): string => {
    const rest = files.length - NAMED;
    const shown = files.slice(0, NAMED).map((file) => escapeText(file, 60));
    return [...shown, ...(rest > 0 ? [more(formatCount(rest))] : [])].join(separator);
  };
  const filesOf = (all: readonly InputSummary[]): string => names(all.map(({ file }) => file));
  const ids = inputs.reference.tokensSha256;
  const reduced = result.tensors.filter(({ statsFigures }) => statsFigures !== null).length;
  const compared = formatCount(result.tensors.filter(({ relL2 }) => relL2 !== null).length);
  const asked = rules.filter(
    ({ applied, limitFrom }) => applied && (limitFrom === "flag" || limitFrom === "config"),
  );
  const ofLogits = rules.filter(({ rule, applied }) => applied && rule.startsWith("quality/"));
  const rulesOf = (some: typeof rules): string =>
    [...new Set(some.map(({ rule }) => rule))].join(separator);
  const lacking = lackingParts(result).map((part) => m.parts[part]);
  const paragraphs = [
    [
      m.fed(formatCount(tokens.samples), formatCount(tokens.tokens)),
      ids !== null && ids === inputs.candidate.tokensSha256
        ? m.sameIds(ids.slice(0, HASH_SHOWN))
        : m.unknownIds,
      ...(groups.some(({ step }) => step === "decode") ? [m.decode] : []),
      ...(result.isolated ? [m.replayed] : []),
    ],
    [
      evidence === "exact" ? m.bits(compared) : m.compared(compared),
      ...(reduced === 0 ? [] : [m.reduced(formatCount(reduced))]),
    ],
    [
      m.decides[evidence],
      ...(inputs.floors.length === 0 ? [] : [m.floors(filesOf(inputs.floors))]),
      ...(inputs.forced.length === 0 ? [] : [m.forced(filesOf(inputs.forced))]),
      ...(ofLogits.length === 0 ? [] : [m.quality(rulesOf(ofLogits))]),
    ],
    [asked.length === 0 ? m.notAsked : m.asked(rulesOf(asked))],
    [
      ...(result.stopped ? [m.stopped] : []),
      ...(lacking.length === 0 ? [] : [m.unmeasured(lacking.join(separator))]),
      m.scope,
    ],
  ];
  const space = lang === "en" ? " " : "";
  return [
    [`#### ${m.title}`],
    paragraphs.map((sentences) => `- ${escapeLine(sentences.join(space))}`),
  ];
}

/** What the result has no figures of at all. */
function lackingParts({
  quality,
  performance,
  groups,
}: ComparisonResult): readonly ("generation" | "determinism" | "performance" | "decode")[] {
  return [
    ...(groups.some(({ step }) => step === "decode") ? [] : (["decode"] as const)),
    ...(quality.generation === null ? (["generation"] as const) : []),
    ...(quality.determinism === null ? (["determinism"] as const) : []),
    ...(performance === null ? (["performance"] as const) : []),
  ];
}
