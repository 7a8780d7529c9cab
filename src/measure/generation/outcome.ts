/** How the two continuations of one prompt relate. */

import { firstDifference } from "../../align/tokens.ts";
import type { DivergenceMargin } from "../../core/generation.ts";
import type { Continuations } from "./continuations.ts";
import { type MarginMeter, unknownMargin } from "./margin.ts";

/** Both sides' continuations. */
export interface BothSides {
  readonly reference: Continuations;
  readonly candidate: Continuations;
}

/**
 * By text where a side lacks the ids. `token` is the first that differs, or that
 * one side lacks; null where texts were compared.
 */
export type Outcome =
  | { readonly kind: "notCompared" }
  | { readonly kind: "identical"; readonly byText: boolean }
  | { readonly kind: "parts"; readonly token: number | null; readonly margin: DivergenceMargin };

const NOT_COMPARED: Outcome = { kind: "notCompared" };

/**
 * Compares the continuations of `sample`. Where a token was drawn on a side they
 * are not expected to agree, and nothing is compared. A continuation that is a
 * beginning of the other parts where it ends.
 */
export function outcomeOf(sample: number, sides: BothSides, margins: MarginMeter): Outcome {
  const { reference, candidate } = sides;
  if (reference.sampled || candidate.sampled) return NOT_COMPARED;
  const [a, b] = [reference.ids(sample), candidate.ids(sample)];
  if (a === null || b === null) {
    const [mine, theirs] = [reference.text(sample), candidate.text(sample)];
    if (mine === null || theirs === null) return NOT_COMPARED;
    return mine === theirs
      ? { kind: "identical", byText: true }
      : { kind: "parts", token: null, margin: unknownMargin("by-text") };
  }
  const token = firstDifference(reference.dump, a, candidate.dump, b);
  if (token === null) return { kind: "identical", byText: false };
  const [mine, theirs] = [reference.id(sample, token), candidate.id(sample, token)];
  if (mine === null || theirs === null) {
    return { kind: "parts", token, margin: unknownMargin("ended") };
  }
  const margin = margins.measure({
    sample,
    step: token,
    reference: { ids: a, choice: mine },
    candidate: { ids: b, choice: theirs },
  });
  return { kind: "parts", token, margin };
}
