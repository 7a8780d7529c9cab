/** Both continuations of one prompt, cut to what a person reads. */

import type {
  Continuation,
  DivergenceSide,
  SampleTexts,
  TextDivergence,
} from "../../core/generation.ts";
import type { Continuations } from "./continuations.ts";
import { beginning, ending, firstDifferent, lengthOf } from "./excerpt.ts";
import { containsEach } from "./keywords.ts";
import type { BothSides, Outcome } from "./outcome.ts";

/** Keywords of a sample that are listed. */
const KEYWORDS_LISTED = 20;

/** Characters of a prompt, of a continuation, of its text where it parts and before, and of a keyword. */
const SHOWN = { prompt: 120, text: 200, parting: 80, shared: 40, keyword: 60 } as const;

/** What the result lists of `sample`. */
export function sampleTexts(
  sample: number,
  sides: BothSides,
  keywords: readonly string[],
  outcome: Outcome,
): SampleTexts {
  const { reference, candidate } = sides;
  const prompt = reference.prompt(sample) ?? candidate.prompt(sample);
  const shown = keywords.slice(0, KEYWORDS_LISTED);
  const [mine, theirs] = [
    containsEach(reference.text(sample), shown),
    containsEach(candidate.text(sample), shown),
  ];
  return {
    sample,
    prompt: prompt === null ? null : beginning(prompt, SHOWN.prompt),
    reference: continuationOf(sample, reference),
    candidate: continuationOf(sample, candidate),
    firstTokenAgrees: firstTokenAgrees(sample, sides),
    identical: outcome.kind === "notCompared" ? null : outcome.kind === "identical",
    divergence: outcome.kind === "parts" ? divergenceOf(sample, sides, outcome) : null,
    keywords: shown.map((keyword, i) => ({
      keyword: beginning(keyword, SHOWN.keyword),
      reference: mine[i] ?? null,
      candidate: theirs[i] ?? null,
    })),
    keywordsOmitted: keywords.length - shown.length,
  };
}

/**
 * Whether the first tokens are the same, by their ids: one side that said nothing
 * at all does not agree with one that did. Null where the ids are not known on
 * both sides, where neither holds any, and where a side was sampled.
 */
export function firstTokenAgrees(
  sample: number,
  { reference, candidate }: BothSides,
): boolean | null {
  if (reference.sampled || candidate.sampled) return null;
  const [a, b] = [reference.ids(sample), candidate.ids(sample)];
  if (a === null || b === null || a.elements + b.elements === 0) return null;
  return reference.id(sample, 0) === candidate.id(sample, 0);
}

function continuationOf(sample: number, side: Continuations): Continuation | null {
  const [ids, text] = [side.ids(sample), side.text(sample)];
  if (ids === null && text === null) return null;
  return {
    tokens: ids?.elements ?? null,
    characters: text === null ? null : lengthOf(text),
    text: text === null ? null : beginning(text, SHOWN.text),
    firstToken: side.token(sample, 0),
  };
}

function divergenceOf(
  sample: number,
  { reference, candidate }: BothSides,
  { token, margin }: Extract<Outcome, { readonly kind: "parts" }>,
): TextDivergence {
  const [mine, theirs] = [reference.text(sample), candidate.text(sample)];
  const at = mine === null || theirs === null ? null : firstDifferent(mine, theirs);
  const before = at === null || mine === null ? null : mine.slice(0, at);
  const side = (of: Continuations, text: string | null): DivergenceSide => {
    const chosen = token === null ? null : of.token(sample, token);
    return {
      token: chosen,
      ended: token === null ? text?.length === at : chosen === null,
      text: at === null || text === null ? null : beginning(text.slice(at), SHOWN.parting),
    };
  };
  return {
    token,
    character: before === null ? null : lengthOf(before),
    shared: before === null ? null : ending(before, SHOWN.shared),
    reference: side(reference, mine),
    candidate: side(candidate, theirs),
    margin,
  };
}
