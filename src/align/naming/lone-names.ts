/** Names of tensors that the other side lacks. */

import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { placedName } from "../../dump/foreign/canonical-names.ts";
import { isJudged, placeOf } from "../align.ts";
import { effectiveShape, sameShape, withoutBatch } from "../shapes.ts";

/** A name that only one side has. */
export interface LoneName {
  readonly name: string;
  /** The path of its module as the file tells it; the name where it tells none. */
  readonly path: string;
  /** Its tensors by sample, step and rank. */
  readonly places: ReadonlyMap<string, TensorEntry>;
}

/** The judged names of each side that the other lacks; both empty where one side lacks none. */
export function loneNames(
  reference: Dump,
  candidate: Dump,
): { readonly reference: readonly LoneName[]; readonly candidate: readonly LoneName[] } {
  const [mine, theirs] = [namesOf(reference), namesOf(candidate)];
  const alone = (names: ReadonlySet<string>, others: ReadonlySet<string>): ReadonlySet<string> =>
    new Set([...names].filter((name) => !others.has(name)));
  const [ofReference, ofCandidate] = [alone(mine, theirs), alone(theirs, mine)];
  if (ofReference.size === 0 || ofCandidate.size === 0) return { reference: [], candidate: [] };
  return { reference: gather(reference, ofReference), candidate: gather(candidate, ofCandidate) };
}

function namesOf(dump: Dump): ReadonlySet<string> {
  return new Set(dump.tensors.filter(isJudged).map(({ name }) => name));
}

function gather(dump: Dump, names: ReadonlySet<string>): readonly LoneName[] {
  const found = new Map<string, { path: string; places: Map<string, TensorEntry> }>();
  for (const entry of dump.tensors) {
    if (!names.has(entry.name) || !isJudged(entry)) continue;
    const known = found.get(entry.name);
    if (known !== undefined) {
      known.places.set(placeOf(entry), entry);
      continue;
    }
    const path = entry.module === null ? entry.name : placedName(entry.module).name;
    found.set(entry.name, { path, places: new Map([[placeOf(entry), entry]]) });
  }
  return [...found].map(([name, rest]) => ({ name, ...rest }));
}

/** Whether two names have tensors of one shape: in each place that both have, of which there is one. */
export function fitsEach(a: LoneName, b: LoneName): boolean {
  let common = 0;
  for (const [place, entry] of a.places) {
    const other = b.places.get(place);
    if (other === undefined) continue;
    const shape = withoutBatch(entry.shape, other.shape);
    if (!sameShape(shape, withoutBatch(other.shape, shape))) return false;
    common += 1;
  }
  return common > 0;
}

/** The first tensor of a name, and a key that those of its place and shape share. */
export function firstOf({ places }: LoneName): {
  readonly entry: TensorEntry;
  readonly key: string;
} {
  const [[place, entry]] = [...places.entries()].slice(0, 1) as [[string, TensorEntry]];
  return { entry, key: `${place} ${effectiveShape(entry.shape).join()}` };
}
