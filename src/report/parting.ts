/** Where two continuations part, and how close it was, in words. */

import { escapeText } from "../core/escape.ts";
import type { ChoiceGap, GeneratedToken, SampleTexts, TextDivergence } from "../core/generation.ts";
import { reasonText } from "./finding-text.ts";
import { formatCount, formatPlain, formatRatio } from "./format-number.ts";
import type { Messages } from "./messages/index.ts";

/** Characters of a token that are shown. */
const TOKEN_SHOWN = 24;

/** A token as it is written, or its id. */
export function tokenLabel({ id, text }: GeneratedToken): string {
  return text === null || text === "" ? String(id) : `"${escapeText(text, TOKEN_SHOWN)}"`;
}

/** The place of the first difference. */
export function partingPlace({ token, character }: TextDivergence, m: Messages): string {
  if (token !== null) return m.texts.atToken(formatCount(token));
  return character === null ? m.texts.apart : m.texts.atCharacter(formatCount(character));
}

/** How close the decision was: both margins where there are any, and whether it is a near tie. */
export function partingMargin(divergence: TextDivergence, m: Messages): readonly string[] {
  const { margin, reference, candidate } = divergence;
  const ended = reference.ended ? "reference" : candidate.ended ? "candidate" : null;
  if (ended !== null) return [m.texts.ends(m.side[ended])];
  const shown = (gap: ChoiceGap | null): string => {
    if (gap === null) return m.texts.unknown;
    const nats = m.texts.nats(formatPlain(gap.nats));
    return gap.atLeast ? m.bound.lower(nats) : nats;
  };
  const isMeasured = margin.reference !== null || margin.candidate !== null;
  return [
    ...(isMeasured ? [m.texts.margin(shown(margin.reference), shown(margin.candidate))] : []),
    nearTieText(divergence, m),
  ];
}

/** Whether it is a near tie, or why nobody knows. */
export function nearTieText(
  { margin: { z, nearTie, reason } }: Pick<TextDivergence, "margin">,
  m: Messages,
): string {
  const shown = z === null ? null : formatRatio(z);
  if (nearTie === null) return m.texts.unknownTie(reasonText(reason ?? "", m));
  return nearTie ? m.texts.nearTie(shown) : m.texts.noNearTie(shown ?? "");
}

/** Whether a side holds a keyword. */
export function keywordWord(found: boolean | null, m: Messages): string {
  return found === null ? m.texts.unknown : found ? m.texts.yes : m.texts.no;
}

/** What a reader asks for first: the smaller, the earlier. */
export function urgency({ keywords, divergence, identical }: SampleTexts): number {
  if (keywords.some(({ reference, candidate }) => reference !== false && candidate !== true))
    return 0;
  if (divergence === null) return identical === true ? 5 : 4;
  const { nearTie } = divergence.margin;
  return nearTie === null ? 2 : nearTie ? 3 : 1;
}

/** The most urgent `most` of the listed, ordered by sample. */
export function mostUrgent(listed: readonly SampleTexts[], most: number): readonly SampleTexts[] {
  return [...listed]
    .sort((a, b) => urgency(a) - urgency(b) || a.sample - b.sample)
    .slice(0, most)
    .sort((a, b) => a.sample - b.sample);
}
