/** The table of all pairs, and the sentence under it. */

import {
  type CheckResult,
  type CheckVerdict,
  type PairOutcome,
  VERDICTS,
} from "../../core/check-result.ts";
import {
  formatChange,
  formatCount,
  formatPlain,
  formatRatio,
  formatShare,
} from "../format-number.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { CHECK_MESSAGES } from "./messages.ts";

/** What stands where there is no figure. */
const NONE = "-";

/** The cells of one pair but for its name and its verdict. */
export function figureCells(pair: PairOutcome): readonly string[] {
  const { result } = pair;
  if (result === null) return [NONE, NONE, NONE, NONE, NONE];
  const { perplexity, kl, top1Agreement: top1 } = result.quality;
  return [
    formatCount(result.tensors.length),
    ratioCell(pair),
    perplexity === null ? NONE : formatChange(perplexity.relativeIncrease),
    kl === null ? NONE : formatPlain(kl.mean),
    top1 === null ? NONE : formatShare(top1.share),
  ];
}

/** The largest multiple of the noise floor. */
export function ratioCell({ result }: PairOutcome): string {
  const ratios = (result?.tensors ?? []).flatMap(({ floorRatio }) =>
    floorRatio === null ? [] : [floorRatio],
  );
  return ratios.length === 0 ? NONE : formatRatio(ratios.reduce((a, b) => Math.max(a, b)));
}

/** The verdict on a pair as a word of the table. */
export function verdictWord(verdict: CheckVerdict, lang: Language): string {
  return verdict === "error" ? CHECK_MESSAGES[lang].error : MESSAGES[lang].tensorVerdict[verdict];
}

/** How many pairs there are, and how many came to what, the worst first. */
export function totals({ pairs }: CheckResult, lang: Language): string {
  const { total, counts, comma } = CHECK_MESSAGES[lang];
  const found = VERDICTS.flatMap((verdict) => {
    const count = pairs.filter((pair) => pair.verdict === verdict).length;
    return count === 0 ? [] : [counts[verdict](count)];
  });
  return total(pairs.length) + found.join(comma);
}
