/** Whether the greedy token after each prompt agrees. */

import type { FirstTokenResult } from "../../core/quality.ts";
import { wilsonInterval } from "../../core/statistics.ts";
import type { LastRowAgreement } from "../logits.ts";
import type { BothSides } from "./outcome.ts";
import { firstTokenAgrees } from "./sample-texts.ts";

/** The figure, or why it cannot be given; both null where nothing asks for it. */
export interface FirstToken {
  readonly result: FirstTokenResult | null;
  readonly reason: string | null;
}

/**
 * Share of the samples whose greedy next token after the prompt agrees:
 * `generated_ids[0]` where both sides have it, else the largest logit of the
 * last row, ties counting as agreement. What was drawn is no greedy token: of a
 * sampled run the logits alone are asked.
 *
 * A share of a part of the samples is not given: prompts that one side alone
 * continued must not vanish from it.
 */
export function firstTokenAgreement(sides: BothSides, lastRows: LastRowAgreement): FirstToken {
  const { reference, candidate } = sides;
  const verdicts = new Map(lastRows);
  let generated = 0;
  let lacking = 0;
  for (const sample of new Set([...reference.samples, ...candidate.samples])) {
    const agrees = firstTokenAgrees(sample, sides);
    if (agrees !== null) {
      generated += 1;
      verdicts.set(sample, agrees);
    } else if (!verdicts.has(sample)) {
      lacking += 1;
    }
  }
  if (lacking > 0) {
    const isSampled = reference.sampled || candidate.sampled;
    const hasIds = reference.holdsIds && candidate.holdsIds;
    const reason = isSampled ? "sampled" : hasIds ? "some-continuations" : "no-generated-ids";
    return { result: null, reason };
  }
  const samples = verdicts.size;
  if (samples === 0) return { result: null, reason: null };
  const agreed = [...verdicts.values()].filter(Boolean).length;
  return {
    result: {
      agreed,
      samples,
      share: agreed / samples,
      ci95: wilsonInterval(agreed, samples),
      from: generated > 0 ? "generated" : "logits",
    },
    reason: null,
  };
}
