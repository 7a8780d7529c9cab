/** How far each side repeats itself, in words. */

import type {
  DeterminismResult,
  RepeatComparison,
  RepeatDifference,
  SideDeterminism,
} from "../core/determinism.ts";
import type { RuleId } from "../judge/rules.ts";
import { formatCount, formatPlain } from "./format-number.ts";
import type { Messages } from "./messages/index.ts";
import { nearTieText, tokenLabel } from "./parting.ts";

/** A line about the repetitions of one side, and the rules that look at its figures. */
export interface DeterminismLine {
  readonly side: "reference" | "candidate";
  readonly rules: readonly RuleId[];
  readonly text: string;
}

/** The repetitions fed alike, or all where nobody knows; then those in other batches, and where it first differs. */
export function determinismLines(
  determinism: DeterminismResult | null,
  m: Messages,
): readonly DeterminismLine[] {
  return (["reference", "candidate"] as const).flatMap((side) => {
    const result = determinism?.[side] ?? null;
    if (result === null) return [];
    return linesOf(result, m).map(([rules, text]) => ({
      side,
      rules,
      text: m.group.of(m.side[side], text),
    }));
  });
}

const JUDGED: readonly RuleId[] = ["quality/determinism", "quality/undecided"];
const BATCH: readonly RuleId[] = ["quality/batch-variance"];

function linesOf(
  result: SideDeterminism,
  m: Messages,
): readonly (readonly [rules: readonly RuleId[], text: string])[] {
  const { runToRun, batch, firstDifference } = result;
  // What the limit is held to: all of them, unless some were fed otherwise.
  const judged = batch === null ? result : runToRun;
  const rules = judged === null ? [...JUDGED, ...BATCH] : BATCH;
  return [
    ...(judged === null ? [] : [[JUDGED, m.determinism.repeated(...figures(judged, m))] as const]),
    ...(batch === null ? [] : [[rules, m.determinism.otherBatches(...figures(batch, m))] as const]),
    ...(firstDifference === null ? [] : [[[], firstDifferenceText(firstDifference, m)] as const]),
  ];
}

/** Repetitions, agreement, and the largest difference of a tensor. */
function figures(
  { comparisons, samples, identical, tensors: { compared, largest } }: RepeatComparison,
  m: Messages,
): readonly [repetitions: string, agreement: string | null, difference: string | null] {
  return [
    formatCount(comparisons),
    samples === 0 ? null : m.determinism.agreement(formatCount(identical), formatCount(samples)),
    largest === null
      ? null
      : m.determinism.largest(formatPlain(largest.maxAbs), formatCount(compared)),
  ];
}

function firstDifferenceText(difference: RepeatDifference, m: Messages): string {
  const { sample, repeat, token, expected, found } = difference;
  const place = token === null ? m.texts.apart : m.texts.atToken(formatCount(token));
  const shown = [expected, found].map((one) => (one === null ? NONE : tokenLabel(one)));
  return [
    m.determinism.first(sample, repeat),
    token === null ? place : `${place}${m.colon}${shown.join(" / ")}`,
    ...(expected === null || found === null ? [] : [nearTieText(difference, m)]),
  ].join(m.quality.separator);
}

/** Where a continuation has ended. */
const NONE = "-";
