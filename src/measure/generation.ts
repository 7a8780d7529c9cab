/**
 * What the model wrote: agreement of first tokens and of continuations.
 */

import { firstDifference, readIds, type TokenTable, tokenTable } from "../align/tokens.ts";
import { Distribution } from "../core/distribution.ts";
import type { FirstTokenResult, GenerationResult } from "../core/result.ts";
import { wilsonInterval } from "../core/statistics.ts";
import type { Dump } from "../dump/dump.ts";
import type { LastRowAgreement } from "./logits.ts";

const GENERATED = "generated_ids";

/**
 * Share of the samples whose greedy next token after the prompt agrees:
 * `generated_ids[0]` where both sides have it, else the largest logit of the
 * last row, ties counting as agreement.
 *
 * @returns null where neither is known for any sample.
 */
export function firstTokenAgreement(
  reference: Dump,
  candidate: Dump,
  lastRows: LastRowAgreement,
): FirstTokenResult | null {
  const verdicts = new Map(lastRows);
  let generated = 0;
  forEachCommon(reference, candidate, (key, mine, theirs) => {
    const a = mine.elements === 0 ? undefined : readIds(reference, mine, 0, 1)[0];
    const b = theirs.elements === 0 ? undefined : readIds(candidate, theirs, 0, 1)[0];
    if (a === undefined || b === undefined) return;
    generated += 1;
    verdicts.set(Number.parseInt(key, 10), a === b);
  });
  const samples = verdicts.size;
  if (samples === 0) return null;
  const agreed = [...verdicts.values()].filter(Boolean).length;
  return {
    agreed,
    samples,
    share: agreed / samples,
    ci95: wilsonInterval(agreed, samples),
    from: generated > 0 ? "generated" : "logits",
  };
}

/**
 * Share of exact continuations, and where the others part. A continuation that
 * is a beginning of the other parts where it ends.
 *
 * @returns null where no sample has a continuation on both sides.
 */
export function generationAgreement(reference: Dump, candidate: Dump): GenerationResult | null {
  let samples = 0;
  let exact = 0;
  let sum = 0;
  const positions = new Distribution();
  forEachCommon(reference, candidate, (_key, mine, theirs) => {
    samples += 1;
    const at = firstDifference(reference, mine, candidate, theirs);
    if (at === null) {
      exact += 1;
    } else {
      sum += at;
      positions.add(at);
    }
  });
  if (samples === 0) return null;
  return {
    samples,
    exact,
    firstDivergence:
      positions.count === 0
        ? null
        : {
            mean: sum / positions.count,
            p50: positions.quantile(0.5),
            min: positions.quantile(0),
          },
  };
}

type Entry = NonNullable<ReturnType<TokenTable["get"]>>;

function forEachCommon(
  reference: Dump,
  candidate: Dump,
  visit: (key: string, mine: Entry, theirs: Entry) => void,
): void {
  const partners = tokenTable(candidate, GENERATED);
  for (const [key, mine] of tokenTable(reference, GENERATED)) {
    const theirs = partners.get(key);
    if (theirs !== undefined) visit(key, mine, theirs);
  }
}
