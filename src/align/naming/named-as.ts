/** Under which names tensors are compared, for the report. */

import type { MapSource } from "../../core/name-map.ts";
import type { Apart } from "./apart.ts";
import type { MapUse } from "./apply-map.ts";
import type { Renaming } from "./mapped-dump.ts";
import type { AmbiguousNames, Proposal } from "./propose.ts";
import type { SimilarNames } from "./similar.ts";

/** Some names of one side that are compared as others. Names may be templates. */
export interface NamedAs {
  readonly side: "reference" | "candidate";
  readonly from: string;
  readonly to: string;
  /** A stable word: `by-map`, or that of a proposal. */
  readonly reason: string;
  /** The line of the map that says so, such as `map.yaml:3`. */
  readonly at?: string;
  readonly names: number;
}

/** Names that look alike, as a rule of a map for the candidate. */
export interface SuggestedName {
  readonly from: string;
  readonly to: string;
  /** The least of all the names that the rule is about. */
  readonly cosine: number;
  readonly names: number;
}

/** Names that could be each other, several of a side. */
export interface AmbiguousAs {
  readonly reference: string;
  readonly candidate: string;
  readonly names: number;
}

/** A canonical name that a side's module does not get, since the other side has it for another one. */
export interface NameGivenUp {
  readonly side: "reference" | "candidate";
  readonly name: string;
  readonly module: string;
  readonly names: number;
}

/** What a map did. */
export function namedByMap(uses: readonly MapUse[]): readonly NamedAs[] {
  return uses.map(({ rule, side, names }) => ({
    side,
    from: shownSource(rule.from),
    to: rule.name,
    reason: "by-map",
    at: rule.at,
    names,
  }));
}

/** Names that were given up, names that differ in a number alone as one. */
export function namesGivenUp(apart: Apart): readonly NameGivenUp[] {
  return (["reference", "candidate"] as const).flatMap((side) => {
    const shown = apart[side].map((renaming) => ({
      key: side,
      from: renaming.name,
      to: sourceOf(renaming),
      rest: null,
    }));
    return generalised(shown).map(({ from, to, names }) => ({
      side,
      module: from,
      name: to,
      names,
    }));
  });
}

/** What was proposed and done, names that differ in a number alone as one. */
export function namedByProposals(applied: readonly Proposal[]): readonly NamedAs[] {
  const shown = applied.map(({ side, reason, renaming }) => {
    const { from, to } = { from: sourceOf(renaming), to: renaming.name };
    return { key: `${side} ${reason}`, from, to, rest: { side, reason } };
  });
  return generalised(shown).map(({ members: [first], from, to, names }) => ({
    ...first.rest,
    from,
    to,
    names,
  }));
}

/** What looks alike, names that differ in a number alone as one. */
export function suggestedNames(similar: readonly SimilarNames[]): readonly SuggestedName[] {
  const shown = similar.map(({ reference, candidate, cosine }) => ({
    key: "",
    from: candidate,
    to: reference,
    rest: cosine,
  }));
  return generalised(shown).map(({ members, from, to, names }) => ({
    from,
    to,
    names,
    cosine: members.reduce((least, { rest }) => Math.min(least, rest), 1),
  }));
}

/** Ambiguous names in words, those that differ in a number alone as one. */
export function ambiguousNames(ambiguous: readonly AmbiguousNames[]): readonly AmbiguousAs[] {
  const shown = ambiguous.map(({ reference, candidate }) => ({
    key: "",
    from: candidate.slice(0, SHOWN).join(", "),
    to: reference.slice(0, SHOWN).join(", "),
    rest: null,
  }));
  return generalised(shown).map(({ from, to, names }) => ({
    candidate: from,
    reference: to,
    names,
  }));
}

/** Of several names those that are shown. */
const SHOWN = 4;

interface Shown<T> {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly rest: T;
}

/** Pairs of names that differ in a number which both have, with `{i}` in its place. */
function generalised<T>(pairs: readonly Shown<T>[]): readonly {
  readonly from: string;
  readonly to: string;
  readonly names: number;
  readonly members: readonly [Shown<T>, ...Shown<T>[]];
}[] {
  const groups = new Map<string, [Shown<T>, ...Shown<T>[]]>();
  for (const pair of pairs) {
    const { from, to } = template(pair);
    const key = JSON.stringify([pair.key, from, to]);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [pair]);
    else known.push(pair);
  }
  return [...groups.values()].map((members) => {
    const [first] = members;
    const { from, to } = members.length === 1 ? first : template(first);
    return { from, to, names: members.length, members };
  });
}

/** The first number of `to` that `from` has as well is a place. */
function template({ from, to }: { readonly from: string; readonly to: string }): {
  readonly from: string;
  readonly to: string;
} {
  const numbers = new Set(from.match(/\d+/gu) ?? []);
  const number = (to.match(/\d+/gu) ?? []).find((one) => numbers.has(one));
  if (number === undefined) return { from, to };
  // Its first place alone: output.0 of layer 0 is that of every layer.
  const first = new RegExp(`(?<!\\d)${number}(?!\\d)`, "u");
  const place = (text: string): string => text.replace(first, "{i}");
  return { from: place(from), to: place(to) };
}

/** `q.{i} + k.{i}`, `qkv.{i}[0:576]`. */
function shownSource(from: MapSource): string {
  if (typeof from === "string") return from;
  if ("concat" in from) return from.concat.join(" + ");
  return shownRange(from.slice, from);
}

function sourceOf({ from, how }: Renaming): string {
  const name = from.join(" + ");
  return how.kind === "slice" ? shownRange(name, how) : name;
}

function shownRange(
  name: string,
  { start, length }: { readonly start: number; readonly length: number },
): string {
  return `${name}[${start}:${start + length}]`;
}
