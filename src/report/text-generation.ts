/** Both continuations of the prompts that part, for a terminal. */

import { escapeText } from "../core/escape.ts";
import type { Continuation, SampleTexts } from "../core/generation.ts";
import type { ComparisonResult } from "../core/result.ts";
import { formatCount } from "./format-number.ts";
import { keywordWord, mostUrgent, partingMargin, partingPlace } from "./parting.ts";
import { cutEnd, cutStart, padEnd, width, wrapText } from "./table.ts";
import type { TextContext } from "./text.ts";

/** Prompts that are shown. */
const SHOWN = 5;

/** Keywords of a prompt that are shown. */
const KEYWORDS_SHOWN = 4;

/** Characters of an escaped text before it is cut to the line. */
const LONGEST = 400;

/** The prompts whose continuations part or were not compared; empty where all are identical. */
export function generationBlock(
  { quality: { generation } }: ComparisonResult,
  context: TextContext,
): readonly string[] {
  if (generation === null) return [];
  const { m } = context;
  const differing = generation.listed.filter(isTold);
  if (differing.length === 0) return [];
  const shown = mostUrgent(differing, SHOWN);
  const { listed, omitted, exact, only } = generation;
  const untold = exact + only.reference + only.candidate;
  // Of those that are not listed, the others are identical, or one side's alone.
  const more =
    differing.length -
    shown.length +
    omitted -
    Math.max(0, untold - (listed.length - differing.length));
  return [
    ...shown.flatMap((one) => sampleLines(one, context)),
    ...(more <= 0
      ? []
      : wrapText(m.texts.more(formatCount(more)), context.columns - 2).map((line) => `  ${line}`)),
  ];
}

/** What one side alone continued, as where the other was forced to its tokens, is no difference. */
function isTold({ identical, keywords, reference, candidate }: SampleTexts): boolean {
  return (
    (identical !== true && reference !== null && candidate !== null) ||
    keywords.some(({ reference, candidate }) => reference !== false && candidate !== true)
  );
}

function sampleLines(sample: SampleTexts, context: TextContext): readonly string[] {
  const { m, columns, ellipsis, style } = context;
  const { prompt, divergence } = sample;
  const label = `  ${m.texts.prompt(sample.sample)}`;
  const head =
    prompt === null
      ? label
      : `${label}  ${cutEnd(escapeText(prompt.text, LONGEST) + (prompt.omitted > 0 ? ellipsis : ""), columns - width(label) - 2, ellipsis)}`;
  const where =
    divergence === null
      ? []
      : wrapText(
          [partingPlace(divergence, m), ...partingMargin(divergence, m)].join(m.quality.separator),
          columns - 4,
        );
  const sides = [m.labels.reference, m.labels.candidate, m.texts.keywords];
  const labelWidth = Math.max(...sides.map(width));
  const room = columns - labelWidth - 6;
  const side = (name: "reference" | "candidate"): string =>
    `    ${padEnd(m.labels[name], labelWidth)}  ${sideText(sample, name, room, context)}`;
  const keywords = keywordText(sample, context);
  return [
    style.bold(head),
    ...where.map((line) => `    ${line}`),
    side("reference").trimEnd(),
    side("candidate").trimEnd(),
    ...(keywords === null
      ? []
      : wrapText(keywords, room).map(
          (line, i) => `    ${padEnd(i === 0 ? m.texts.keywords : "", labelWidth)}  ${line}`,
        )),
  ];
}

/** What a side says: the end of what both say and what it alone does, or the beginning. */
function sideText(
  sample: SampleTexts,
  name: "reference" | "candidate",
  room: number,
  { m, ascii, ellipsis }: TextContext,
): string {
  const { divergence } = sample;
  const continuation = sample[name];
  const own = divergence?.[name].text ?? null;
  const shared = divergence?.shared ?? null;
  if (own === null || shared === null) return wholeText(continuation, room, m, ellipsis);
  const mark = ascii ? ">" : "▸";
  const before = (shared.omitted > 0 ? ellipsis : "") + escapeText(shared.text, LONGEST);
  const after = escapeText(own.text, LONGEST) + (own.omitted > 0 ? ellipsis : "");
  const left = cutStart(before, Math.max(Math.floor(room / 3), room - 1 - width(after)), ellipsis);
  return left + mark + cutEnd(after, room - width(left) - 1, ellipsis);
}

function wholeText(
  continuation: Continuation | null,
  room: number,
  m: TextContext["m"],
  ellipsis: string,
): string {
  if (continuation === null) return m.texts.none;
  const { text, tokens } = continuation;
  if (text === null) return m.texts.tokensOnly(formatCount(tokens ?? 0));
  return cutEnd(
    escapeText(text.text, LONGEST) + (text.omitted > 0 ? ellipsis : ""),
    room,
    ellipsis,
  );
}

/** Each keyword with whether the two sides hold it; null where none is expected. */
function keywordText(
  { keywords, keywordsOmitted }: SampleTexts,
  { m }: TextContext,
): string | null {
  if (keywords.length === 0) return null;
  const shown = keywords
    .slice(0, KEYWORDS_SHOWN)
    .map(
      ({ keyword, reference, candidate }) =>
        `${escapeText(keyword.text, 24)} ${keywordWord(reference, m)}/${keywordWord(candidate, m)}`,
    );
  const more = keywords.length - shown.length + keywordsOmitted;
  return shown.join(m.quality.separator) + (more === 0 ? "" : ` ${m.andMore(more)}`);
}
