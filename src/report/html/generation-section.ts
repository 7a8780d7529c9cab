/** Both continuations of the prompts that a reader asks for first, with what one side alone says marked. */

import type {
  Continuation,
  Excerpt,
  GenerationResult,
  SampleTexts,
} from "../../core/generation.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { formatCount } from "../format-number.ts";
import { keywordWord, mostUrgent, partingMargin, partingPlace, tokenLabel } from "../parting.ts";
import { generationLines } from "../quality-rows.ts";
import { badge, heading, type PageContext } from "./context.ts";
import { html, type Markup } from "./markup.ts";

/** Prompts that are shown. */
const SHOWN = 20;

/** Characters of a prompt that are shown. */
const PROMPT = 400;

/** Null where nothing was continued. */
export function generationSection(
  { quality: { generation } }: ComparisonResult,
  context: PageContext,
): Markup | null {
  if (generation === null) return null;
  const { m, w } = context;
  const shown = mostUrgent(generation.listed, SHOWN);
  const more = generation.listed.length + generation.omitted - shown.length;
  return html`${generationLines(generation, m).map((line) => html`<p>${line}</p>`)}
${shown.some(hasParting) ? html`<p class="muted">${w.texts.sharedHint}</p>` : null}
${shown.map((sample) => sampleCard(sample, generation, context))}
${more === 0 ? null : html`<p class="muted">${m.card.moreTexts(formatCount(more))}</p>`}`;
}

function hasParting({ divergence }: SampleTexts): boolean {
  return divergence?.shared != null;
}

function sampleCard(
  sample: SampleTexts,
  { sampled }: GenerationResult,
  context: PageContext,
): Markup {
  const { m } = context;
  const { identical, divergence, prompt, keywords, keywordsOmitted } = sample;
  const state =
    identical === true
      ? badge("pass", m.card.identical)
      : divergence === null
        ? badge("none", m.card.notCompared)
        : divergence.margin.nearTie === true || sampled.length > 0
          ? badge("none", partingPlace(divergence, m))
          : badge("open", partingPlace(divergence, m));
  const tokens =
    divergence?.token == null
      ? []
      : [divergence.reference, divergence.candidate].map(({ token }) =>
          token === null ? "–" : tokenLabel(token),
        );
  return html`<article class="card sample">${heading(3, html`${m.texts.prompt(sample.sample)} ${state}`, context)}
${prompt === null ? null : html`<p class="prompt">${cut(prompt, PROMPT)}</p>`}
<dl>${(["reference", "candidate"] as const).map(
    (side) =>
      html`<dt>${m.labels[side]}</dt><dd class="said">${sideText(sample, side, m.texts)}</dd>`,
  )}${
    keywords.length === 0
      ? null
      : html`<dt>${m.texts.keywords}</dt><dd>${keywords.map(
          ({ keyword, reference, candidate }) =>
            html`<span class="keyword">${cut(keyword, 40)} ${keywordWord(reference, m)} / ${keywordWord(candidate, m)}</span> `,
        )}${keywordsOmitted === 0 ? null : m.andMore(keywordsOmitted)}</dd>`
  }</dl>
${
  divergence === null
    ? null
    : html`<p class="muted">${[...(tokens.length === 0 ? [] : [tokens.join(" / ")]), ...partingMargin(divergence, m)].join(m.quality.separator)}</p>`
}</article>\n`;
}

function sideText(
  sample: SampleTexts,
  side: "reference" | "candidate",
  words: { readonly none: string; tokensOnly(tokens: string): string },
): Markup {
  const { divergence } = sample;
  const own = divergence?.[side].text ?? null;
  const shared = divergence?.shared ?? null;
  if (own === null || shared === null) return wholeText(sample[side], words);
  return html`<span class="shared">${shared.omitted > 0 ? "…" : ""}${shared.text}</span><mark>${own.text}${own.omitted > 0 ? "…" : ""}</mark>`;
}

function wholeText(
  continuation: Continuation | null,
  words: { readonly none: string; tokensOnly(tokens: string): string },
): Markup {
  if (continuation === null) return html`<span class="muted">${words.none}</span>`;
  const { text, tokens } = continuation;
  return text === null
    ? html`<span class="muted">${words.tokensOnly(formatCount(tokens ?? 0))}</span>`
    : html`${cut(text, 1000)}`;
}

function cut({ text, omitted }: Excerpt, most: number): string {
  const characters = Array.from(text);
  const isCut = omitted > 0 || characters.length > most;
  return characters.slice(0, most).join("") + (isCut ? "…" : "");
}
