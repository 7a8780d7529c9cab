/** What the model says on both sides, from whatever forms of its logits and tokens are stored. */

import type { TokenTable } from "../align/tokens.ts";
import type { Quality } from "../core/quality.ts";
import type { StepGroup } from "../core/verdict.ts";
import { type Determinism, determinismOf } from "./determinism/determinism.ts";
import { Continuations } from "./generation/continuations.ts";
import { firstTokenAgreement } from "./generation/first-token.ts";
import { measureGeneration } from "./generation/generation.ts";
import { expectedKeywords } from "./generation/keywords.ts";
import type { LogitsMeter } from "./logits.ts";
import type { Sides } from "./measure-tensor.ts";
import { reducedQuality } from "./reduced-quality.ts";

/** The meters of whole logits, which have seen them all. */
export type LogitsMeters = Readonly<Record<StepGroup, LogitsMeter>>;

const NOT_REPEATED: Determinism = { result: null, reason: null };

/**
 * Puts {@link Quality} together. In an isolated replay it is empty: logits
 * follow from the stream that the model was fed with, and nothing was generated.
 *
 * @param tokens `input_ids` of the reference.
 * @param options whether both read one stream, and in which step groups reduced
 *   logits take the place of whole ones.
 */
export function qualityOf(
  { reference, candidate, floors }: Sides,
  tokens: TokenTable,
  logits: LogitsMeters,
  options: { readonly isolated: boolean; readonly reduced: ReadonlySet<StepGroup> },
): Quality {
  const { isolated } = options;
  const reduced =
    options.reduced.has("prefill") && !isolated
      ? reducedQuality(reference, candidate, tokens)
      : null;
  const ofLogits = reduced?.quality ?? logits.prefill.quality();
  const { lastRowAgreement } = reduced ?? logits.prefill;
  const sides = {
    reference: new Continuations(reference),
    candidate: new Continuations(candidate),
  };
  const firstToken = isolated
    ? { result: null, reason: null }
    : firstTokenAgreement(sides, lastRowAgreement);
  const generation = isolated ? null : measureGeneration(sides, floors);
  const noTexts = generation === null && !isolated && expectedKeywords(sides).size > 0;
  const [ofReference, ofCandidate] = isolated
    ? [NOT_REPEATED, NOT_REPEATED]
    : [determinismOf(reference), determinismOf(candidate)];
  const decode = logits.decode.decodeQuality();
  const noDecode = decode === null && options.reduced.has("decode");
  return {
    ...ofLogits,
    firstToken: firstToken.result,
    generation,
    determinism:
      ofReference.result === null && ofCandidate.result === null
        ? null
        : { reference: ofReference.result, candidate: ofCandidate.result },
    notAvailable: [
      ...ofLogits.notAvailable.filter(
        // What the logits lack counts only where the continuations do not tell either.
        ({ figure }) =>
          figure !== "firstToken" || (firstToken.result === null && firstToken.reason === null),
      ),
      ...(firstToken.reason === null ? [] : [{ figure: "firstToken", reason: firstToken.reason }]),
      ...Object.entries({ reference: ofReference, candidate: ofCandidate }).flatMap(
        ([side, { reason }]) =>
          reason === null ? [] : [{ figure: `determinism.${side}`, reason }],
      ),
      ...(noTexts ? [{ figure: "generation.keywords", reason: "no-continuations" }] : []),
      ...(noDecode ? [{ figure: "decode", reason: "reduced-logits" }] : []),
    ],
    decode,
  };
}
