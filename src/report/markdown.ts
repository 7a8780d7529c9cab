/** The precision section of a model card, in Markdown. */

import { escapeLine, escapeMarkdown, escapeText } from "../core/escape.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { environmentSections } from "./card/environment.ts";
import { CARD_MESSAGES } from "./card/messages.ts";
import { methodSections } from "./card/method.ts";
import { numberFormatSections } from "./card/number-format.ts";
import { determinismLines } from "./determinism-lines.ts";
import { reasonText } from "./finding-text.ts";
import {
  formatChange,
  formatCosine,
  formatCount,
  formatPerplexity,
  formatPlain,
  formatShare,
} from "./format-number.ts";
import { modelOf } from "./input-label.ts";
import { lensSections } from "./lens/markdown.ts";
import { generationSection } from "./markdown-generation.ts";
import { layerSection } from "./markdown-layers.ts";
import { commandText, folded, markdownTable, NO_SIDE, sideTitle } from "./markdown-parts.ts";
import { type Language, MESSAGES, type Messages } from "./messages/index.ts";
import { noticeLines } from "./notices.ts";
import { performanceSections } from "./performance/markdown.ts";
import { generationLines, notAvailableLines } from "./quality-rows.ts";
import { type RuleRow, ruleRows } from "./rule-rows.ts";
import { verdictLines } from "./verdict-lines.ts";

/** What the section of a model card is told beside the result. */
export interface MarkdownOptions {
  readonly lang: Language;
  /** The command line that repeats the comparison, one line; not told where it is left out. */
  readonly command?: string | null;
}

/** Rows of the table of limits beyond which those that neither fail nor stay open are folded. */
const MANY_LIMITS = 8;

/** Characters of the command: all of it, however many files it names. */
const LONGEST_COMMAND = 100_000;

/** As the published tables have it. */
const PERPLEXITY_DECIMALS = 4;

/**
 * The precision section of a model card, ending with a newline: the conclusion, the
 * tables that model cards of ported models print, every limit with its origin, the
 * environment and the method. A cell without a measurement says why.
 */
export function renderMarkdown(
  result: ComparisonResult,
  { lang = "en", command }: Partial<MarkdownOptions> = {},
): string {
  const m = MESSAGES[lang];
  const word = m.verdict[result.verdict];
  const notices = noticeLines(result, lang);
  const sections = [
    [`### ${m.card.title}${m.colon}${word}`],
    conclusion(result, lang),
    figureTable(result, m),
    ...generationSection(result, m),
    ...performanceSections(result.performance, lang, "####"),
    ...layerSection(result, lang),
    ...lensSections(result.lens, lang),
    ...limitSections(result, lang),
    ...environmentSections(result, lang),
    ...numberFormatSections(result, lang),
    ...methodSections(result, lang),
    ...(notices.length === 0
      ? []
      : [[`#### ${m.card.notes}`, "", ...notices.map(({ text }) => `- ${escapeLine(text)}`)]]),
    ...(command == null ? [] : repeatSections(command, lang)),
  ];
  return `${sections.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** What fails or stays open stands in the open. */
function limitSections(result: ComparisonResult, lang: Language): readonly (readonly string[])[] {
  const m = MESSAGES[lang];
  const c = CARD_MESSAGES[lang];
  const rows = ruleRows(result, m);
  if (rows.length <= MANY_LIMITS) return [[`#### ${m.card.limits}`], limitTable(rows, m)];
  const decisive = rows.filter(({ outcome }) => outcome === "broken" || outcome === "undecided");
  const rest = rows.filter((row) => !decisive.includes(row));
  const fold = (title: string): readonly (readonly string[])[] =>
    rest.length === 0 ? [] : folded(c.rows(title, formatCount(rest.length)), [limitTable(rest, m)]);
  return decisive.length === 0
    ? fold(m.card.limits)
    : [[`#### ${m.card.limits}`], limitTable(decisive, m), ...fold(c.otherLimits)];
}

/**
 * The command in a block of code, where nothing can be escaped: it is one line, which
 * begins with a word of ours and so ends no block. To a shell `<!''--` within quotes is
 * `<!--`, which as it stands would end the part of a file that is updated.
 */
function repeatSections(command: string, lang: Language): readonly (readonly string[])[] {
  const line = escapeText(command, LONGEST_COMMAND).replaceAll("<!--", "<!''--");
  return [[`#### ${CARD_MESSAGES[lang].repeat}`], ["```sh", line, "```"]];
}

function figureTable(result: ComparisonResult, m: Messages): readonly string[] {
  const { inputs, quality } = result;
  const logits = result.tensors.find(({ name, step }) => name === "logits" && step === "prefill");
  const why = (otherwise: string): string => {
    if (result.isolated) return m.card.notMeasured(m.card.replayed);
    return m.card.notMeasured(result.stopped ? m.card.notReached : otherwise);
  };
  const missing = why(m.card.noLogits);
  const lacking = (figure: string, otherwise: string): string => {
    const reason = quality.notAvailable.find((one) => one.figure === figure)?.reason;
    return reason === undefined ? otherwise : m.card.notMeasured(reasonText(reason, m));
  };
  const ofLogits = (
    figure: (tensor: TensorResult) => number | null | undefined,
    format: (value: number) => string,
  ): string => {
    const value = logits === undefined ? null : (figure(logits) ?? null);
    return value === null ? missing : format(value);
  };
  const { perplexity, kl, klLowerBound, top1Agreement: top1, firstToken } = quality;
  const rows: readonly (readonly string[])[] = [
    [
      m.card.item,
      m.card.referenceColumn(sideTitle(inputs.reference, m.side.reference)),
      m.card.candidateColumn(sideTitle(inputs.candidate, m.side.candidate)),
      m.card.difference,
    ],
    perplexity === null
      ? [m.card.perplexity, NO_SIDE, NO_SIDE, lacking("perplexity", why(m.card.noIds))]
      : [
          m.card.perplexity,
          formatPerplexity(perplexity.reference, PERPLEXITY_DECIMALS),
          formatPerplexity(perplexity.candidate, PERPLEXITY_DECIMALS),
          perplexityDifference(perplexity),
        ],
    alone(
      m.card.cosineMean,
      ofLogits(({ tokenCosine }) => tokenCosine?.mean, formatCosine),
    ),
    alone(
      m.card.cosineMin,
      ofLogits(({ tokenCosine }) => tokenCosine?.min, formatCosine),
    ),
    alone(
      m.card.mse,
      ofLogits(({ mse }) => mse, formatPlain),
    ),
    alone(
      m.card.maxAbs,
      ofLogits(({ maxAbs }) => maxAbs, formatPlain),
    ),
    alone(
      m.card.kl,
      kl !== null
        ? `${formatPlain(kl.mean)} nats`
        : klLowerBound === null
          ? lacking("kl", missing)
          : m.bound.lower(`${formatPlain(klLowerBound.mean)} nats`),
    ),
    alone(
      m.card.top1,
      top1 === null
        ? lacking("top1Agreement", missing)
        : m.card.agreement(
            formatShare(top1.share),
            formatCount(top1.agreed),
            formatCount(top1.positions),
          ),
    ),
    ...decodeRows(quality.decode, m),
    alone(
      m.card.firstToken,
      firstToken === null
        ? lacking("firstToken", missing)
        : m.card.agreement(
            formatShare(firstToken.share),
            formatCount(firstToken.agreed),
            formatCount(firstToken.samples),
          ),
    ),
    ...determinismRow(result, m),
  ];
  return markdownTable(rows);
}

/** How far each side repeats itself, where one was repeated: what its limit is held to. */
function determinismRow(
  { quality: { determinism } }: ComparisonResult,
  m: Messages,
): readonly (readonly string[])[] {
  if (determinism === null) return [];
  const cell = (side: "reference" | "candidate"): string => {
    const result = determinism[side];
    const judged = result?.batch == null ? result : result.runToRun;
    return judged?.share == null
      ? NO_SIDE
      : m.card.agreement(
          formatShare(judged.share),
          formatCount(judged.identical),
          formatCount(judged.samples),
        );
  };
  return [[m.card.determinism, cell("reference"), cell("candidate"), NO_SIDE]];
}

/** The figures of the decode steps, where there are any. */
function decodeRows(
  decode: ComparisonResult["quality"]["decode"],
  m: Messages,
): readonly (readonly string[])[] {
  if (decode === null) return [];
  const { kl, top1Agreement: top1 } = decode;
  const ofDecode = (item: string): string => `${item} (${m.step.decode})`;
  return [
    ...(kl === null ? [] : [alone(ofDecode(m.card.kl), `${formatPlain(kl.mean)} nats`)]),
    ...(top1 === null
      ? []
      : [
          alone(
            ofDecode(m.card.top1),
            m.card.agreement(
              formatShare(top1.share),
              formatCount(top1.agreed),
              formatCount(top1.positions),
            ),
          ),
        ]),
  ];
}

function alone(item: string, difference: string): readonly string[] {
  return [item, NO_SIDE, NO_SIDE, difference];
}

function perplexityDifference(
  perplexity: NonNullable<ComparisonResult["quality"]["perplexity"]>,
): string {
  const difference = perplexity.candidate - perplexity.reference;
  const sign = difference > 0 ? "+" : "";
  return `Δ = ${sign}${formatPerplexity(difference, PERPLEXITY_DECIMALS)} (${formatChange(perplexity.relativeIncrease)})`;
}

function conclusion(result: ComparisonResult, lang: Language): readonly string[] {
  const m = MESSAGES[lang];
  const { headline, evidence, next } = verdictLines(result, lang);
  const lacking = notAvailableLines(result, m);
  const told = new Set(generationLines(result.quality.generation, m));
  // Of a pass they are evidence.
  const repeats = determinismLines(result.quality.determinism, m)
    .map(({ text }) => text)
    .filter((line) => !evidence.includes(line));
  const model = modelOf(result);
  const data = [
    ...(model.id === null ? [] : [model.id]),
    ...m.size(model.layers, result.tokens.samples, result.tokens.tokens),
  ];
  return [
    `**${m.card.conclusion}**${m.colon}${m.verdict[result.verdict]}${m.stop}${escapeMarkdown(headline)}`,
    "",
    // The totals of the continuations stand under their table.
    ...[...evidence.filter((line) => !told.has(line)), ...repeats, ...lacking].map(
      (line) => `- ${escapeLine(line)}`,
    ),
    ...(next === null ? [] : [`- ${m.labels.next}${m.colon}${commandText(next)}`]),
    `- ${m.card.data}${m.colon}${escapeMarkdown(data.join(m.quality.separator))}`,
  ];
}

function limitTable(rows: readonly RuleRow[], m: Messages): readonly string[] {
  return markdownTable([
    [m.card.rule, m.card.limit, m.card.from, m.card.outcome],
    ...rows.map(({ name, limit, from, outcome, text }) => [
      name,
      limit,
      from,
      outcome === "broken" ? `**${text}**` : text,
    ]),
  ]);
}
