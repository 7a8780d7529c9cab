/** Where the error of a result begins, why, and what to do, in words: for programs that tell it themselves. */

import type { Origin } from "../core/groups.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { StepGroup } from "../core/verdict.ts";
import { CAUSES, isCauseId } from "../diagnose/cause-texts/index.ts";
import { causeMessage, nextCommand } from "./cause-lines.ts";
import type { Language } from "./messages/index.ts";

/** A cause in words of one language. */
export interface NamedCause {
  /** `cause/scale`, as `explain` takes it. */
  readonly id: string;
  /** How sure the rule is, 0 … 1: a judgement, no probability. */
  readonly confidence: number;
  /** What was seen, with its figures. */
  readonly message: string;
  /** What it usually is on a port, the likeliest first; empty for a cause that this version does not know. */
  readonly usual: readonly string[];
  /** What to try. */
  readonly advice: readonly string[];
}

/** A module that is at fault. */
export interface Fault {
  /** Name of its tensor, as the dump has it: `layers.7.attn`. */
  readonly tensor: string;
  /** Decoder layer from 0, null outside the layers. */
  readonly layer: number | null;
  readonly step: StepGroup;
  /** `origin`: the first of its group; `independent`: at fault by itself behind it. */
  readonly role: "origin" | "independent";
  /** Whether the error may have come through the cache of keys and values, from the origin of the prefill. */
  readonly throughCache: boolean;
  /** The likeliest first; empty where none is known. */
  readonly causes: readonly NamedCause[];
}

/** What a comparison found out about an error. */
export interface Diagnosis {
  /** Prefill before decode, of each the origin first; empty where no tensor fails. */
  readonly faults: readonly Fault[];
  /** The command that says more; null where none would. */
  readonly next: string | null;
}

/**
 * The diagnosis of a result in words. It is made while dumps are compared, because causes
 * follow from the data of the tensors; this reads it out of the result and adds what the
 * tables of causes know.
 *
 * @param options.lang `en` unless said
 */
export function diagnose(
  result: ComparisonResult,
  { lang = "en" }: { readonly lang?: Language } = {},
): Diagnosis {
  const faults = result.groups.flatMap((group): readonly Fault[] => {
    const fault = (origin: Origin, role: Fault["role"]): Fault => ({
      tensor: origin.tensor,
      layer: origin.layer,
      step: group.step,
      role,
      throughCache: role === "origin" && group.throughCache,
      causes: origin.causes.map((cause): NamedCause => {
        const { id, confidence } = cause;
        const { usual, advice } = isCauseId(id) ? CAUSES[id][lang] : { usual: [], advice: [] };
        return { id, confidence, message: causeMessage(cause, lang), usual, advice };
      }),
    });
    return [
      ...(group.origin === null ? [] : [fault(group.origin, "origin")]),
      ...group.independent.map((one) => fault(one, "independent")),
    ];
  });
  return { faults, next: nextCommand(result) };
}
