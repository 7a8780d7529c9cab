/** What the model says on both sides, from whatever forms of its logits and tokens are stored. */

import type { TokenTable } from "../align/tokens.ts";
import type { Quality, StepGroup } from "../core/result.ts";
import type { Dump } from "../dump/dump.ts";
import { firstTokenAgreement, generationAgreement } from "./generation.ts";
import type { LogitsMeter } from "./logits.ts";
import { reducedQuality } from "./reduced-quality.ts";

/** The meters of whole logits, which have seen them all. */
export type LogitsMeters = Readonly<Record<StepGroup, LogitsMeter>>;

/**
 * Puts {@link Quality} together. In an isolated replay it is empty: logits
 * follow from the stream that the model was fed with, and nothing was generated.
 *
 * @param tokens `input_ids` of the reference.
 * @param options whether both read one stream, and in which step groups reduced
 *   logits take the place of whole ones.
 */
export function qualityOf(
  reference: Dump,
  candidate: Dump,
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
  const firstToken = isolated ? null : firstTokenAgreement(reference, candidate, lastRowAgreement);
  const decode = logits.decode.decodeQuality();
  const noDecode = decode === null && options.reduced.has("decode");
  return {
    ...ofLogits,
    firstToken,
    generation: isolated ? null : generationAgreement(reference, candidate),
    determinism: null,
    notAvailable: [
      ...ofLogits.notAvailable.filter(
        ({ figure }) => figure !== "firstToken" || firstToken === null,
      ),
      ...(noDecode ? [{ figure: "decode", reason: "reduced-logits" }] : []),
    ],
    decode,
  };
}
