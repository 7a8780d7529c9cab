/** The dumps of a comparison under the names by which they are compared. */

import type { MapRule } from "../../core/name-map.ts";
import type { Dump } from "../../dump/dump.ts";
import { type Apart, namesApart } from "./apart.ts";
import { applyMap, mapLikeReference } from "./apply-map.ts";
import { withNames } from "./mapped-dump.ts";
import {
  type AmbiguousAs,
  ambiguousNames,
  type NamedAs,
  type NameGivenUp,
  namedByMap,
  namedByProposals,
  namesGivenUp,
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
  readonly apart: Apart;
}

/** What a report says of the names of a comparison. */
export interface Naming {
  /** Names under which tensors are compared where their files have others. */
  readonly names: readonly NamedAs[];
  /** Names of which several are alike, and names whose tensors look alike: nothing was done with them. */
  readonly ambiguous: readonly AmbiguousAs[];
  readonly similar: readonly SuggestedName[];
  /** Names that stand for other modules on the two sides. */
  readonly givenUp: readonly NameGivenUp[];
}

/** What there is to say of the names, looking into tensors that have no partner. */
export function namingOf({ reference, candidate, names, ambiguous, apart }: NamedPair): Naming {
  const told = new Set(
    [...apart.reference, ...apart.candidate].flatMap(({ name, from }) => [name, ...from]),
  );
  return {
    names,
    ambiguous: ambiguousNames(ambiguous),
    givenUp: namesGivenUp(apart),
    // What is known to be something else may look alike: the other, times a factor.
    similar: suggestedNames(
      similarNames(reference, candidate).filter(
        (one) => !told.has(one.reference) || !told.has(one.candidate),
      ),
    ),
  };
}

/**
 * Both dumps under the names that `rules` give, and then under those that names alone tell.
 *
 * @throws NpuDiffError `map-invalid`
 */
export function namePair(reference: Dump, candidate: Dump, rules: readonly MapRule[]): NamedPair {
  const mapped = applyMap(reference, candidate, rules);
  const apart = namesApart(mapped.reference, mapped.candidate, mapped.names);
  const parted = {
    reference: withNames(mapped.reference, apart.reference),
    candidate: withNames(mapped.candidate, apart.candidate),
  };
  const given = new Set([...apart.reference, ...apart.candidate].flatMap(({ from }) => from));
  const { applied, ambiguous } = proposeNames(parted.reference, parted.candidate, given);
  const of = (side: "reference" | "candidate") =>
    applied.filter((one) => one.side === side).map(({ renaming }) => renaming);
  const ofReference = of("reference");
  return {
    reference: withNames(parted.reference, ofReference),
    candidate: withNames(parted.candidate, of("candidate")),
    likeReference: (dump) => {
      const named = mapLikeReference(dump, rules);
      const like = withNames(named, feasible(named, apart.reference));
      return withNames(like, feasible(like, ofReference));
    },
    names: [...namedByMap(mapped.uses), ...namedByProposals(applied)],
    ambiguous,
    apart,
  };
}
