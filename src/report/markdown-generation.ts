/** The table of continuations that a model card quotes: both texts a prompt, and where they part. */

import { escapeText } from "../core/escape.ts";
import type { Continuation, Excerpt, SampleTexts } from "../core/generation.ts";
import type { ComparisonResult } from "../core/result.ts";
import { formatCount } from "./format-number.ts";
import { markdownTable, NO_SIDE, sideTitle } from "./markdown-parts.ts";
import type { Messages } from "./messages/index.ts";
import { keywordWord, mostUrgent, nearTieText, partingPlace, tokenLabel } from "./parting.ts";
import { generationLines } from "./quality-rows.ts";

/** Prompts that the table holds. */
const SHOWN = 20;

/** Characters of a prompt, of a text, and of a keyword. */
const LENGTHS = { prompt: 60, text: 80, keyword: 30 } as const;

/** Title, table and totals; empty where nothing was continued. */
export function generationSection(
  { quality: { generation }, inputs }: ComparisonResult,
  m: Messages,
): readonly (readonly string[])[] {
  if (generation === null) return [];
  const { listed, omitted, keywords, only } = generation;
  const shown = mostUrgent(listed, SHOWN);
  const withKeywords = keywords !== null;
  const head = [
    m.card.number,
    m.card.prompt,
    m.card.textColumn(sideTitle(inputs.reference, m.side.reference)),
    m.card.textColumn(sideTitle(inputs.candidate, m.side.candidate)),
    m.card.firstTokenColumn,
    m.card.parts,
    ...(withKeywords ? [m.card.keywordsColumn] : []),
  ];
  const rows = shown.map((one) => [
    formatCount(one.sample),
    one.prompt === null ? NO_SIDE : quoted(one.prompt, LENGTHS.prompt),
    textCell(one.reference, m),
    textCell(one.candidate, m),
    firstTokenCell(one, m),
    partingCell(one, m),
    ...(withKeywords ? [keywordCell(one, m)] : []),
  ]);
  const more = listed.length + omitted - shown.length;
  // What one side alone said is no comparison, unless keywords are asked for.
  const isTable = listed.length + omitted > only.reference + only.candidate || withKeywords;
  return [
    [`#### ${m.card.texts}`],
    ...(isTable ? [markdownTable([head, ...rows])] : []),
    [
      ...generationLines(generation, m).map((line) => `- ${line}`),
      ...(more === 0 || !isTable ? [] : [`- ${m.card.moreTexts(formatCount(more))}`]),
    ],
  ];
}

/** A text in quotes, so that spaces at its ends are seen. */
function quoted({ text, omitted }: Excerpt, most: number): string {
  const characters = Array.from(text);
  const cut = omitted > 0 || characters.length > most ? "…" : "";
  return `"${escapeText(characters.slice(0, most).join(""), 8 * most)}${cut}"`;
}

function textCell(continuation: Continuation | null, m: Messages): string {
  if (continuation === null) return m.texts.none;
  const { text, tokens } = continuation;
  return text === null ? m.texts.tokensOnly(formatCount(tokens ?? 0)) : quoted(text, LENGTHS.text);
}

function firstTokenCell(
  { firstTokenAgrees, reference, candidate }: SampleTexts,
  m: Messages,
): string {
  if (firstTokenAgrees === null) return m.card.notCompared;
  const [mine, theirs] = [reference, candidate].map((side) => {
    const token = side?.firstToken ?? null;
    return token === null ? NO_SIDE : tokenLabel(token);
  }) as [string, string];
  return firstTokenAgrees
    ? `${m.card.agrees}${m.colon}${mine}`
    : `${m.card.disagrees}${m.colon}${mine} / ${theirs}`;
}

function partingCell({ identical, divergence }: SampleTexts, m: Messages): string {
  if (identical === true) return m.card.identical;
  if (divergence === null) return m.card.notCompared;
  const { reference, candidate } = divergence;
  const tokens = [reference, candidate].map(({ token }) =>
    token === null ? NO_SIDE : tokenLabel(token),
  );
  return [
    partingPlace(divergence, m) +
      (divergence.token === null ? "" : `${m.colon}${tokens.join(" / ")}`),
    nearTieText(divergence, m),
  ].join(m.quality.separator);
}

function keywordCell({ keywords, keywordsOmitted }: SampleTexts, m: Messages): string {
  if (keywords.length === 0) return NO_SIDE;
  const shown = keywords.map(
    ({ keyword, reference, candidate }) =>
      `${quoted(keyword, LENGTHS.keyword)} ${keywordWord(reference, m)} / ${keywordWord(candidate, m)}`,
  );
  const more = keywordsOmitted === 0 ? "" : ` ${m.andMore(keywordsOmitted)}`;
  return shown.join(m.quality.separator) + more;
}
