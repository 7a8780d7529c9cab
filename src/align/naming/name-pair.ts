/** The dumps of a comparison under the names by which they are compared. */

import type { MapRule } from "../../core/name-map.ts";
import type { Dump } from "../../dump/dump.ts";
import { applyMap, mapLikeReference } from "./apply-map.ts";
import { withNames } from "./mapped-dump.ts";
import {
  type AmbiguousAs,
  ambiguousNames,
  type NamedAs,
  namedByMap,
  namedByProposals,
  type SuggestedName,
  suggestedNames,
} from "./named-as.ts";
import { type AmbiguousNames, feasible, proposeNames } from "./propose.ts";
import { similarNames } from "./similar.ts";

export interface NamedPair {
  readonly reference: Dump;
  readonly candidate: Dump;
  /** A floor or a forced reference as the reference is named. */
  readonly likeReference: (dump: Dump) => Dump;
  /** What was renamed, and why. */
  readonly names: readonly NamedAs[];
  readonly ambiguous: readonly AmbiguousNames[];
}

/** What a report says of the names of a comparison. */
export interface Naming {
  /** Names under which tensors are compared where their files have others. */
  readonly names: readonly NamedAs[];
  /** Names of which several are alike, and names whose tensors look alike: nothing was done with them. */
  readonly ambiguous: readonly AmbiguousAs[];
  readonly similar: readonly SuggestedName[];
}

/** What there is to say of the names, looking into tensors that have no partner. */
export function namingOf({ reference, candidate, names, ambiguous }: NamedPair): Naming {
  return {
    names,
    ambiguous: ambiguousNames(ambiguous),
    similar: suggestedNames(similarNames(reference, candidate)),
  };
}

/**
 * Both dumps under the names that `rules` give, and then under those that names alone tell.
 *
 * @throws NpuDiffError `map-invalid`
 */
export function namePair(reference: Dump, candidate: Dump, rules: readonly MapRule[]): NamedPair {
  const mapped = applyMap(reference, candidate, rules);
  const { applied, ambiguous } = proposeNames(mapped.reference, mapped.candidate);
  const of = (side: "reference" | "candidate") =>
    applied.filter((one) => one.side === side).map(({ renaming }) => renaming);
  const ofReference = of("reference");
  return {
    reference: withNames(mapped.reference, ofReference),
    candidate: withNames(mapped.candidate, of("candidate")),
    likeReference: (dump) => {
      const like = mapLikeReference(dump, rules);
      return withNames(like, feasible(like, ofReference));
    },
    names: [...namedByMap(mapped.uses), ...namedByProposals(applied)],
    ambiguous,
  };
}
