/** Agreement of the most likely tokens, by the lists of the best alone. */

import type { Quality } from "../core/quality.ts";
import { wilsonInterval } from "../core/statistics.ts";
import type { TopList } from "./logits-form.ts";

/** How many of the best are compared. */
const DEPTHS = [5, 10] as const;

/** What the lists of the best tokens say of all positions. */
export class TopAgreement {
  private positions = 0;
  private agreed = 0;
  private strict = 0;
  /** Positions at which a list ends among the tied maxima, so that nobody knows whether the other side's token is one. */
  private unknown = 0;
  private readonly overlaps = DEPTHS.map(() => 0);
  private shortest = Number.POSITIVE_INFINITY;

  /**
   * Adds one position. As with whole logits, the sides agree where the first
   * token of one is among the tied best of the other; equal log-probabilities
   * are ties. A NaN agrees with nothing.
   *
   * @returns whether they agree, null where the lists do not tell.
   */
  add(reference: TopList, candidate: TopList): boolean | null {
    const agrees = agreement(reference, candidate);
    this.positions += 1;
    if (agrees === null) this.unknown += 1;
    else if (agrees) this.agreed += 1;
    if (agrees !== false && reference.ids[0] === candidate.ids[0]) this.strict += 1;
    this.shortest = Math.min(this.shortest, reference.ids.length, candidate.ids.length);
    for (const [at, depth] of DEPTHS.entries()) {
      const best = new Set(reference.ids.subarray(0, depth));
      const shared = candidate.ids.subarray(0, depth).filter((id) => best.has(id)).length;
      this.overlaps[at] = (this.overlaps[at] ?? 0) + shared / depth;
    }
    return agrees;
  }

  /** Whether every position is decided. */
  get decided(): boolean {
    return this.unknown === 0;
  }

  /** Length of the shortest list. */
  get k(): number {
    return this.positions === 0 ? 0 : this.shortest;
  }

  /** Null where there was no position, `top1Agreement` also where one is undecided. */
  result(): Pick<Quality, "top1Agreement" | "topKOverlap"> {
    const { positions, agreed, strict } = this;
    if (positions === 0) return { top1Agreement: null, topKOverlap: null };
    const [k5, k10] = DEPTHS.map((depth, at) =>
      this.shortest < depth ? null : (this.overlaps[at] ?? 0) / positions,
    );
    return {
      top1Agreement: this.decided
        ? {
            share: agreed / positions,
            agreed,
            positions,
            strict: strict / positions,
            ci95: wilsonInterval(agreed, positions),
            nearTies: null,
          }
        : null,
      topKOverlap: { k5: k5 ?? null, k10: k10 ?? null },
    };
  }
}

function agreement(reference: TopList, candidate: TopList): boolean | null {
  if ([reference, candidate].some(({ logprobs }) => logprobs.some(Number.isNaN))) return false;
  const [x, y] = [tiedBest(reference), tiedBest(candidate)];
  const [mine, theirs] = [reference.ids[0] as number, candidate.ids[0] as number];
  if (x.ids.has(theirs) || y.ids.has(mine)) return true;
  return x.open || y.open ? null : false;
}

/** The tied best of a list, and whether it ends among them. */
function tiedBest({ ids, logprobs }: TopList): {
  readonly ids: ReadonlySet<number>;
  readonly open: boolean;
} {
  const first = logprobs.findIndex((logprob) => logprob !== logprobs[0]);
  const count = first === -1 ? ids.length : first;
  return { ids: new Set(ids.subarray(0, count)), open: first === -1 };
}
