/** The rows of quality figures: what was measured, and what the rules say of it. */

import { escapeText } from "../core/escape.ts";
import type { Finding } from "../core/findings.ts";
import type { GenerationResult, KeywordTotals } from "../core/generation.ts";
import { isOpen } from "../core/open-finding.ts";
import type { DecodeQuality } from "../core/quality.ts";
import type { ComparisonResult } from "../core/result.ts";
import { isRuleId, RULES, type RuleId } from "../judge/rules.ts";
import { determinismLines } from "./determinism-lines.ts";
import { findingMessage, reasonText, valueAndLimit } from "./finding-text.ts";
import {
  formatChange,
  formatCount,
  formatPerplexity,
  formatPlain,
  formatRatio,
  formatShare,
} from "./format-number.ts";
import { type Language, MESSAGES, type Messages, type QualityWord } from "./messages/index.ts";

export interface QualityRow {
  /** Path of its figures in `quality`. */
  readonly metric: string;
  readonly text: string;
  /** Null where no rule can look at the row. */
  readonly word: QualityWord | null;
  /** What broke the row, or would decide it. */
  readonly reasons: readonly string[];
}

/** The rules that look at a row, and the path of its figures in `quality`. */
interface RowRules {
  readonly metric: string;
  readonly rules: readonly RuleId[];
  /** Where they look at the decode steps alone. */
  readonly step?: "decode";
  /** Where they look at each side by itself. */
  readonly side?: "reference" | "candidate";
}

const PERPLEXITY: RowRules = { metric: "perplexity", rules: ["limit/ppl-increase", "quality/nll"] };
const KL: RowRules = { metric: "kl", rules: ["limit/kl", "quality/kl-ratio"] };
const KL_BOUND: RowRules = { metric: "klLowerBound", rules: ["limit/kl"] };
const TOP1: RowRules = {
  metric: "top1Agreement",
  rules: ["limit/top1", "quality/flips", "quality/real-flips"],
};
const FIRST_TOKEN: RowRules = { metric: "firstToken", rules: ["limit/first-token"] };
const GENERATION: RowRules = { metric: "generation", rules: [] };
const KEYWORDS: RowRules = { metric: "generation.keywords", rules: ["quality/keywords"] };
const OPEN_KEYWORDS: RowRules = { ...KEYWORDS, rules: ["quality/keywords", "quality/undecided"] };
const DECODE: RowRules = {
  metric: "decode",
  rules: ["limit/ppl-increase", "limit/kl", "limit/top1"],
  step: "decode",
};

/** The rows that have a figure, in the order of importance. */
export function qualityRows(result: ComparisonResult, lang: Language): readonly QualityRow[] {
  const m = MESSAGES[lang];
  const { perplexity, kl, klLowerBound, top1Agreement, firstToken, generation } = result.quality;
  const { determinism, decode } = result.quality;
  const rows: QualityRow[] = [];
  const add = (text: string, rules: RowRules): void => {
    rows.push(makeRow(text, rules, result, lang));
  };
  if (perplexity !== null) {
    const change = [
      formatChange(perplexity.relativeIncrease),
      ...limitParts("limit/ppl-increase", result, m),
    ].join(m.quality.separator);
    const [reference, candidate] = perplexityPair(perplexity.reference, perplexity.candidate);
    add(m.quality.perplexity(reference, candidate, change), PERPLEXITY);
  }
  if (kl !== null) {
    const parts = [
      m.quality.kl(formatPlain(kl.mean), formatPlain(kl.max)),
      ...(kl.floorRatio === null ? [] : [m.quality.klFloor(formatRatio(kl.floorRatio))]),
      ...limitParts("limit/kl", result, m),
    ];
    add(parts.join(m.quality.separator), KL);
  }
  if (klLowerBound !== null) {
    const text = m.quality.klBound(formatPlain(klLowerBound.mean), formatPlain(klLowerBound.max));
    add([text, ...limitParts("limit/kl", result, m)].join(m.quality.separator), KL_BOUND);
  }
  if (top1Agreement !== null) {
    const { share, positions, nearTies } = top1Agreement;
    const text = m.quality.top1(
      formatShare(share),
      formatCount(positions),
      nearTies === null ? null : formatCount(nearTies),
    );
    add([text, ...limitParts("limit/top1", result, m)].join(m.quality.separator), TOP1);
  }
  if (firstToken !== null) {
    const text = m.quality.firstToken(
      formatCount(firstToken.agreed),
      formatCount(firstToken.samples),
    );
    add(
      [text, ...limitParts("limit/first-token", result, m)].join(m.quality.separator),
      FIRST_TOKEN,
    );
  }
  if (generation !== null) {
    for (const text of generationFigures(generation, m)) add(text, GENERATION);
    const { keywords, sampled } = generation;
    if (keywords !== null) {
      const isOpen = keywords.open > 0 && sampled.length === 0;
      add(keywordFigures(keywords, m), isOpen ? OPEN_KEYWORDS : KEYWORDS);
    }
  }
  for (const { side, rules, text } of determinismLines(determinism, m)) {
    add(text, { metric: "determinism", rules, side });
  }
  if (decode !== null) {
    const text = decodeFigures(decode, m).join(m.quality.separator);
    add(m.group.of(m.step.decode, text), DECODE);
  }
  return rows;
}

/** What the continuations come to, keywords included; nothing where there is none. */
export function generationLines(
  generation: GenerationResult | null,
  m: Messages,
): readonly string[] {
  if (generation === null) return [];
  const { keywords } = generation;
  return [
    ...generationFigures(generation, m),
    ...(keywords === null ? [] : [keywordFigures(keywords, m)]),
  ];
}

/** How far the continuations agree, or why they were not compared. */
function generationFigures(
  { samples, exact, byText, sampled, only, divergences }: GenerationResult,
  m: Messages,
): readonly string[] {
  const alone =
    only.reference + only.candidate === 0
      ? []
      : [m.quality.oneSided(formatCount(only.reference), formatCount(only.candidate))];
  if (sampled.length > 0) {
    const sides = sampled.map((side) => m.side[side]).join(m.quality.separator);
    return [m.quality.sampled(sides), ...alone];
  }
  if (samples === 0) return alone;
  const { nearTies, real, unknown } = divergences;
  const text = m.quality.generation(
    formatCount(exact),
    formatCount(samples),
    byText === 0 ? null : formatCount(byText),
  );
  const parting = samples === exact ? [] : [m.quality.parting(nearTies, real, unknown)];
  return [[text, ...parting].join(m.quality.separator), ...alone];
}

/** How many keywords each side's continuations hold. */
function keywordFigures(
  { keywords, reference, candidate, lost }: KeywordTotals,
  m: Messages,
): string {
  const [ofReference, ofCandidate, of, missing] = [reference, candidate, keywords, lost].map(
    formatCount,
  ) as [string, string, string, string];
  return m.quality.keywords(ofReference, ofCandidate, of, missing);
}

/** What the decode steps say; only limits of the user are held to it. */
function decodeFigures(
  { perplexity, kl, top1Agreement: top1 }: DecodeQuality,
  m: Messages,
): readonly string[] {
  return [
    ...(perplexity === null
      ? []
      : [
          m.quality.perplexity(
            ...perplexityPair(perplexity.reference, perplexity.candidate),
            formatChange(perplexity.relativeIncrease),
          ),
        ]),
    ...(kl === null ? [] : [m.quality.kl(formatPlain(kl.mean), formatPlain(kl.max))]),
    ...(top1 === null
      ? []
      : [
          m.quality.top1(
            formatShare(top1.share),
            formatCount(top1.positions),
            top1.nearTies === null ? null : formatCount(top1.nearTies),
          ),
        ]),
  ];
}

/** The quality rules that were not applied, by reason. */
export function notAppliedLines(result: ComparisonResult, messages: Messages): readonly string[] {
  // Whatever their own reasons: nothing was measured for them.
  if (result.stopped) return [];
  const lacking = result.rules.filter(({ applied }) => !applied);
  return byReason(lacking, ({ rule }) => rule, messages).map(([reason, rules]) =>
    messages.quality.notApplied(reason, rules),
  );
}

/** The figures that reduced logits cannot give, by reason. */
export function notAvailableLines(
  { quality }: ComparisonResult,
  messages: Messages,
): readonly string[] {
  return byReason(quality.notAvailable, ({ figure }) => figure, messages).map(([reason, figures]) =>
    messages.quality.notAvailable(reason, figures),
  );
}

/** Each reason in words, with what it holds for. */
function byReason<T extends { readonly reason: string | null }>(
  items: readonly T[],
  name: (item: T) => string,
  messages: Messages,
): readonly (readonly [reason: string, names: string])[] {
  const found = new Map<string, string[]>();
  for (const item of items) {
    const { reason } = item;
    const shown = reason === null ? "-" : reasonText(reason, messages);
    found.set(shown, [...(found.get(shown) ?? []), escapeText(name(item))]);
  }
  return [...found].map(([reason, names]) => [reason, names.join(", ")]);
}

/** Both perplexities, with the decimals that tell them apart. */
export function perplexityPair(
  reference: number,
  candidate: number,
): readonly [reference: string, candidate: string] {
  for (const decimals of [2, 4]) {
    const a = formatPerplexity(reference, decimals);
    const b = formatPerplexity(candidate, decimals);
    if (a !== b || decimals === 4) return [a, b];
  }
  return [formatPerplexity(reference, 4), formatPerplexity(candidate, 4)];
}

/** What would decide a limit that the data leave open. */
export function undecidedReasons(finding: Finding, lang: Language): readonly string[] {
  const m = MESSAGES[lang];
  const { low, high, tokensNeeded, samplesNeeded, reason } = finding.detail;
  if (finding.rule === "quality/undecided") {
    if (finding.detail["side"] !== undefined) return [m.evidence.repeatRuns];
    return [reason === "no-generated-text" ? m.evidence.storeText : m.evidence.judgeTexts];
  }
  if (typeof reason === "string") return [reasonText(reason, m), m.evidence.storeLogits];
  const unit = isRuleId(finding.rule) ? RULES[finding.rule].unit : null;
  if (typeof low !== "number" || typeof high !== "number" || unit === null) return [];
  const show = (value: number): string =>
    valueAndLimit({ ...finding, value, limit: null }, unit).value;
  return [
    m.evidence.interval(show(low), show(high)),
    ...(typeof tokensNeeded === "number" && Number.isFinite(tokensNeeded)
      ? [m.evidence.tokensNeeded(formatCount(tokensNeeded))]
      : []),
    ...(typeof samplesNeeded === "number" && Number.isFinite(samplesNeeded)
      ? [m.evidence.samplesNeeded(formatCount(samplesNeeded))]
      : []),
  ];
}

function makeRow(
  text: string,
  { metric, rules, step, side }: RowRules,
  result: ComparisonResult,
  lang: Language,
): QualityRow {
  const ids: ReadonlySet<string> = new Set(rules);
  const findings = result.findings.filter(
    ({ rule, step: at, detail }) =>
      (ids.has(rule) &&
        (at === "decode") === (step === "decode") &&
        (detail["side"] ?? null) === (side ?? null)) ||
      (rule === "quality/undefined" && String(detail["metric"]).startsWith(`${metric}.`)),
  );
  const applied = result.rules.some(
    (rule) => rule.applied && ids.has(rule.rule) && rule.step === (step ?? null),
  );
  const told = result.verdict === "inconclusive" ? result.findings.find(isOpen) : undefined;
  return {
    metric,
    text,
    word: rules.length === 0 && findings.length === 0 ? null : wordOf(findings, applied),
    reasons: findings.flatMap((finding) => {
      // What would decide the whole comparison stands with its verdict.
      if (isOpen(finding)) return finding === told ? [] : undecidedReasons(finding, lang);
      // The row itself shows value and limit of a limit that the user set.
      const shown = finding.rule.startsWith("limit/") && step === undefined;
      return shown ? [] : [findingMessage(finding, lang)];
    }),
  };
}

function wordOf(findings: readonly Finding[], judged: boolean): QualityWord {
  if (findings.some(({ level }) => level === "error")) return "fail";
  if (findings.some(isOpen)) return "undecided";
  if (findings.some(({ level }) => level === "warning")) return "warn";
  return judged ? "pass" : "notJudged";
}

function limitParts(rule: RuleId, result: ComparisonResult, m: Messages): readonly string[] {
  const applied = result.rules.find((one) => one.rule === rule && one.applied && one.step === null);
  const { unit } = RULES[rule];
  if (applied?.limit == null || unit === null) return [];
  const finding = result.findings.find((one) => one.rule === rule && one.step === null);
  const shown =
    finding === undefined
      ? valueAndLimit({ ...EMPTY, limit: applied.limit }, unit)
      : valueAndLimit(finding, unit);
  const by = applied.decide === "point" ? ` (${m.quality.by.point})` : "";
  return [m.quality.limit(shown.limit) + by];
}

const EMPTY: Finding = {
  rule: "",
  level: "info",
  tensor: null,
  step: null,
  sample: null,
  role: null,
  value: null,
  limit: null,
  limitFrom: null,
  detail: {},
};
