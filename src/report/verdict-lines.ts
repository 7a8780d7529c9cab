/** The verdict in a sentence, what it rests on, and what to do next. */

import { escapeText } from "../core/escape.ts";
import type { Finding } from "../core/findings.ts";
import type { GroupResult, Origin } from "../core/groups.ts";
import { isOpen } from "../core/open-finding.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { causeLines, nextCommand, type Paths } from "./cause-lines.ts";
import { determinismLines } from "./determinism-lines.ts";
import { findingMessage } from "./finding-text.ts";
import { formatChange, formatCount, formatRatio } from "./format-number.ts";
import { decisive } from "./layer-rows.ts";
import { type Language, MESSAGES, type Messages } from "./messages/index.ts";
import { isNotice } from "./notices.ts";
import { ownLines } from "./own-lines.ts";
import { generationLines, perplexityPair, undecidedReasons } from "./quality-rows.ts";
import { sentenceName } from "./tensor-label.ts";

export interface VerdictLines {
  /** One sentence. */
  readonly headline: string;
  readonly evidence: readonly string[];
  /** A command that says more, null where nothing is left to say. */
  readonly next: string | null;
}

/** Causes and other rules that are named. */
const SHOWN = 3;

export function verdictLines(
  result: ComparisonResult,
  lang: Language,
  paths: Paths | null = null,
): VerdictLines {
  switch (result.verdict) {
    case "pass":
      return passLines(result, lang);
    case "fail":
      return failLines(result, lang, paths);
    case "inconclusive":
      return inconclusiveLines(result, lang);
  }
}

function passLines(result: ComparisonResult, lang: Language): VerdictLines {
  const m = MESSAGES[lang];
  const count = comparedCount(result, m);
  const q = result.quality;
  const quality = [
    ...(q.perplexity === null
      ? []
      : [
          m.quality.perplexity(
            ...perplexityPair(q.perplexity.reference, q.perplexity.candidate),
            formatChange(q.perplexity.relativeIncrease),
          ),
        ]),
    ...(q.top1Agreement === null
      ? []
      : [
          m.quality.top1Short(
            formatCount(q.top1Agreement.agreed),
            formatCount(q.top1Agreement.positions),
          ),
        ]),
    ...(q.firstToken === null
      ? []
      : [
          m.quality.firstTokenShort(
            formatCount(q.firstToken.agreed),
            formatCount(q.firstToken.samples),
          ),
        ]),
  ];
  const line =
    quality.length === 0 ? unmeasuredQuality(result, m) : quality.join(m.quality.separator);
  return {
    headline: passHeadline(result, count, lang),
    evidence: [
      line,
      ...generationLines(q.generation, m),
      ...determinismLines(q.determinism, m).map(({ text }) => text),
      ...decodeLine(result, m),
      ...ownLines(result, m),
    ],
    next: null,
  };
}

/** How many tensors were compared, and of how many where a side holds more, or of how few prompts. */
function comparedCount({ tensors, notCaptured }: ComparisonResult, m: Messages): string {
  const absent = [...notCaptured.reference, ...notCaptured.candidate];
  if (absent.length === 0) return m.tensorCount(tensors.length);
  const compared = new Set(tensors.map(({ name }) => name));
  const others = new Set(
    absent.map((place) => place.replace(/@[^@]*$/, "")).filter((name) => !compared.has(name)),
  );
  return others.size === 0
    ? m.tensorsPartly(tensors.length)
    : m.tensorsOf(tensors.length, tensors.length + others.size);
}

/** Why there are no figures of what the model says. */
export function unmeasuredQuality(result: ComparisonResult, m: Messages): string {
  if (result.isolated) return m.evidence.isolatedQuality;
  return result.stopped ? m.evidence.notReachedQuality : m.evidence.notMeasuredQuality;
}

/** Where decode was judged beside the prefill, what it says. */
function decodeLine({ quality: { decode } }: ComparisonResult, m: Messages): readonly string[] {
  const top1 = decode?.top1Agreement ?? null;
  if (top1 === null) return [];
  const figures = m.quality.top1Short(formatCount(top1.agreed), formatCount(top1.positions));
  return [m.group.of(m.step.decode, figures)];
}

function passHeadline(result: ComparisonResult, count: string, lang: Language): string {
  const m = MESSAGES[lang];
  if (result.tensors.length === 0) return m.headline.passQuality;
  if (result.evidence === "exact") return m.headline.passExact(count);
  if (result.evidence === "forced") return m.headline.passForced(count);
  if (result.evidence === "prior") return m.headline.passPrior(count);
  const worst = result.tensors.reduce<TensorResult | null>(
    (a, b) => ((b.floorRatio ?? -1) > (a?.floorRatio ?? -1) ? b : a),
    null,
  );
  return worst?.floorRatio == null
    ? m.headline.passPrior(count)
    : m.headline.passFloor(count, sentenceName(worst, m), formatRatio(worst.floorRatio));
}

function failLines(result: ComparisonResult, lang: Language, paths: Paths | null): VerdictLines {
  const m = MESSAGES[lang];
  const errors = result.findings.filter(({ level }) => level === "error");
  const { origin } = result;
  const ofOrigin =
    origin === null
      ? undefined
      : errors.find(
          ({ tensor, step }) => tensor === origin.tensor && (step ?? origin.step) === origin.step,
        );
  const main = ofOrigin ?? errors[0];
  const also = alsoLine(errors, main, result, lang);
  const next =
    nextCommand(result, paths) ?? (main === undefined ? null : `npu-diff explain ${main.rule}`);
  const evidence = [
    ...(origin === null ? [] : originEvidence(result, lang)),
    ...otherGroups(result, m),
    ...ownLines(result, m),
    ...(result.evidence === "prior" && main?.rule.startsWith("layer/") ? [m.evidence.prior] : []),
    ...(also === null ? [] : [also]),
  ];
  return { headline: failHeadline(main, errors, result, lang), evidence, next };
}

function failHeadline(
  main: Finding | undefined,
  errors: readonly Finding[],
  result: ComparisonResult,
  lang: Language,
): string {
  const m = MESSAGES[lang];
  const { origin } = result;
  if (main === undefined) return m.tensorVerdict.fail;
  const how = findingMessage(main, lang);
  if (origin !== null && main.tensor === origin.tensor) {
    const headline = m.headline.origin(originName(origin, m), how);
    const alone = result.groups.length === 1 && origin.step === "prefill";
    return alone ? headline : m.group.of(m.step[origin.step], headline);
  }
  if (main.rule === "structure/missing") {
    const names = new Set(
      errors.filter(({ rule }) => rule === main.rule).map(({ tensor }) => tensor),
    );
    return m.headline.missing(m.tensorCount(names.size));
  }
  if (main.tensor === null) {
    const isAlone = result.tensors.length === 0 || isNotice(main);
    const headline = isAlone ? how : m.headline.quality(how);
    return main.step === "decode" ? m.group.of(m.step.decode, headline) : headline;
  }
  return m.headline.tensor(escapeText(main.tensor), how);
}

/** The groups that the headline does not speak of, where there are several. */
function otherGroups({ groups, origin }: ComparisonResult, m: Messages): readonly string[] {
  if (groups.length < 2) return [];
  return groups
    .filter(({ step }) => step !== origin?.step)
    .map((group) => m.group.of(m.step[group.step], groupText(group, m)));
}

function groupText({ verdict, origin, throughCache }: GroupResult, m: Messages): string {
  if (origin === null) return m.group[verdict];
  const name = originName(origin, m);
  return throughCache ? m.group.throughCache(name) : m.group.origin(name);
}

function originName({ tensor, layer }: Origin, m: Messages): string {
  return sentenceName({ name: tensor, layer }, m);
}

function originEvidence(result: ComparisonResult, lang: Language): readonly string[] {
  const m = MESSAGES[lang];
  const { origin, tensors } = result;
  if (origin === null) return [];
  const ofStep = tensors.filter(({ step }) => step === origin.step);
  const index = ofStep.findIndex(({ name }) => name === origin.tensor);
  const before = ofStep[index - 1];
  const causes = causeLines(origin, lang);
  const group = result.groups.find(({ step }) => step === origin.step);
  const beside = [...causes, ...independent(group, lang), ...systematic(group, m)];
  if (result.isolated) return [m.evidence.isolated, ...beside];
  if (result.evidence === "forced") {
    return [isOwnFault(result, origin) ? m.evidence.forced : m.evidence.noModule, ...beside];
  }
  if (index === 0) return [m.evidence.firstTensor, ...causes];
  if (before?.verdict !== "pass") return causes;
  const ratio = result.evidence === "floor" ? decisive(before, "floor") : null;
  const clean =
    ratio === null ? m.evidence.cleanInput : m.evidence.cleanInputRatio(formatRatio(ratio));
  return [clean, ...causes];
}

/** What else fails where nothing is inherited, and why. */
function independent(group: GroupResult | undefined, lang: Language): readonly string[] {
  const m = MESSAGES[lang];
  const failing = group?.independent ?? [];
  if (failing.length === 0) return [];
  const shown = failing.slice(0, SHOWN).map((one) => originName(one, m));
  const more = failing.length > SHOWN ? ` ${m.andMore(failing.length - SHOWN)}` : "";
  const causes = failing
    .slice(0, SHOWN)
    .flatMap((one) => causeLines(one, lang).map((line) => m.group.of(originName(one, m), line)));
  return [m.evidence.independent(shown.join(m.quality.separator) + more), ...causes];
}

/** A kind of module that is at fault nearly everywhere. */
function systematic(group: GroupResult | undefined, m: Messages): readonly string[] {
  const fault = group?.systematic ?? null;
  if (fault === null) return [];
  const { role, faulty, places } = fault;
  return [m.evidence.systematic(role, formatCount(faulty), formatCount(places))];
}

/** Whether the origin's own error is beyond its limit. */
function isOwnFault({ findings }: ComparisonResult, { tensor, step }: Origin): boolean {
  return findings.some(
    (one) => one.tensor === tensor && one.step === step && one.rule.startsWith("own/"),
  );
}

/** Rules that are broken beside the one of the headline; what tensors inherit is not told again. */
function alsoLine(
  errors: readonly Finding[],
  main: Finding | undefined,
  result: ComparisonResult,
  lang: Language,
): string | null {
  const m = MESSAGES[lang];
  const inherited = new Set(
    result.tensors
      .filter(({ role }) => role === "inherited")
      .map(({ name, step }) => `${step} ${name}`),
  );
  const counts = new Map<string, number>();
  for (const finding of errors) {
    if (finding.rule === main?.rule || inherited.has(`${finding.step} ${finding.tensor}`)) continue;
    counts.set(finding.rule, (counts.get(finding.rule) ?? 0) + 1);
  }
  if (counts.size === 0) return null;
  const shown = [...counts]
    .slice(0, SHOWN)
    .map(([rule, count]) => (count === 1 ? rule : `${rule} (${count})`));
  const more = counts.size > SHOWN ? ` ${m.andMore(counts.size - SHOWN)}` : "";
  return `${m.labels.also}${m.colon}${shown.map((rule) => escapeText(rule)).join(", ")}${more}`;
}

function inconclusiveLines(result: ComparisonResult, lang: Language): VerdictLines {
  const m = MESSAGES[lang];
  const open = result.findings.filter(isOpen);
  const [main] = open;
  if (main === undefined) return { headline: m.verdict.inconclusive, evidence: [], next: null };
  const what = findingMessage(main, lang);
  const tensors = open.filter(({ rule }) => rule === main.rule);
  const isOfTensor = main.rule.startsWith("layer/");
  const { open: rules } = main.detail;
  const evidence = isOfTensor
    ? [
        main.rule === "layer/routed" ? m.evidence.forceReferences : m.evidence.storeDensely,
        ...(typeof rules === "string" ? [m.evidence.leftOpen(escapeText(rules, 400))] : []),
      ]
    : undecidedReasons(main, lang);
  const subject =
    main.tensor === null || !isOfTensor
      ? what
      : `${escapeText(main.tensor)} ${what}${tensors.length > 1 ? m.andOthers(tensors.length - 1) : ""}`;
  // Of nothing that was not measured is it said that it holds.
  const layersHold =
    main.tensor === null &&
    result.tensors.length > 0 &&
    result.tensors.every(({ verdict }) => verdict === "pass");
  const headline = layersHold
    ? m.headline.inconclusiveQuality(subject)
    : m.headline.inconclusive(subject);
  return {
    headline:
      main.step !== null && result.groups.length > 1 && open.every(({ step }) => step === main.step)
        ? m.group.of(m.step[main.step], headline)
        : headline,
    evidence: [...evidence, ...ownLines(result, m)],
    next: `npu-diff explain ${main.rule}`,
  };
}
