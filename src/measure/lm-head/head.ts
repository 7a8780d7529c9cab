/** The head as a comparison uses it, whether one is given or not. */

import type { Unit } from "../../align/align.ts";
import type { LensResult } from "../../core/lens.ts";
import type { CompareObserver, CompareOptions } from "../../core/options.ts";
import type { Dump } from "../../dump/dump.ts";
import type { ScoredLogits } from "../../dump/scored-logits.ts";
import type { Sides } from "../measure-tensor.ts";
import { type LensOptions, lookThrough } from "./lens.ts";
import { type HeadFacts, LmHead } from "./lm-head.ts";

/** The two sides of a comparison. */
export interface HeadSides {
  readonly reference: Dump;
  readonly candidate: Dump;
}

export interface Head {
  /** Null without a head. */
  readonly facts: HeadFacts | null;
  /** The two sides with the logits that {@link compute} makes for them, or as they are. */
  sides<T extends HeadSides>(sides: T): T;
  floor(dump: Dump): Dump;
  forced(dump: Dump): Dump;
  /** Makes the logits of `dumps`, which were wrapped. Nothing may be measured of them before. */
  compute(dumps: readonly Dump[]): Promise<void>;
  /** Null without a head. */
  lens(
    units: readonly Unit[],
    sides: Sides,
    options: Omit<LensOptions, "positions">,
  ): Promise<LensResult | null>;
  close(): Promise<void>;
}

/** What stands where no weights are given. */
const NO_HEAD: Head = {
  facts: null,
  sides: (sides) => sides,
  floor: (dump) => dump,
  forced: (dump) => dump,
  compute: () => Promise.resolve(),
  lens: () => Promise.resolve(null),
  close: () => Promise.resolve(),
};

/**
 * Opens the weights of `options.lmHead` for the two sides; without them a head that changes nothing.
 *
 * @param scored the rows of the prompts that count; null for all.
 * @throws NpuDiffError those of {@link LmHead.open}
 */
export async function openHead(
  { lmHead, lensTokens, jobs }: CompareOptions,
  { reference, candidate }: HeadSides,
  scored: ScoredLogits | null,
  observer: CompareObserver,
): Promise<Head> {
  if (lmHead === null) return NO_HEAD;
  const head = await LmHead.open(lmHead, reference, candidate, scored, jobs);
  const progress = (done: number, total: number): void => observer.logits?.(done, total);
  return {
    get facts() {
      return head.facts;
    },
    sides: (sides) => ({
      ...sides,
      reference: head.wrap(sides.reference),
      candidate: head.wrap(sides.candidate),
    }),
    floor: (dump) => head.wrapFloor(dump),
    forced: (dump) => head.wrapForced(dump),
    compute: (dumps) => head.compute(dumps, progress),
    lens: (units, sides, options) =>
      lookThrough(head, units, sides, { ...options, positions: lensTokens }, progress),
    close: () => head.close(),
  };
}
