/**
 * Pairs names that differ only in how two writers write them. Only what names and
 * shapes tell is applied, never what values look like: pairs that are chosen because
 * they agree would agree.
 */

import { tensorName } from "../../dump/contract.ts";
import { type Dump, type TensorEntry } from "../../dump/dump.ts";
import { bareName, canonicalName, hiddenStateIndex } from "../../dump/foreign/canonical-names.ts";
import { isJsonObject } from "../../dump/json.ts";
import { fitsEach, type LoneName, loneNames } from "./lone-names.ts";
import type { Renaming } from "./mapped-dump.ts";

/** Why two names are one: a stable word. */
export type ProposalReason = "by-module" | "by-pattern" | "by-count" | "by-fusion";

/** Names of one side that are taken as those of the other. */
export interface Proposal {
  readonly side: "reference" | "candidate";
  readonly renaming: Renaming;
  readonly reason: ProposalReason;
}

/** Names that could each be several of the other side's: nothing is done with them. */
export interface AmbiguousNames {
  readonly reference: readonly string[];
  readonly candidate: readonly string[];
}

export interface Proposals {
  readonly applied: readonly Proposal[];
  readonly ambiguous: readonly AmbiguousNames[];
}

const SAME = { kind: "same" } as const;

/**
 * What names alone tell of the tensors that have no partner.
 *
 * @param apart canonical names that stand for other modules on the two sides: paths do not lead to them
 */
export function proposeNames(
  reference: Dump,
  candidate: Dump,
  apart: ReadonlySet<string>,
): Proposals {
  const lone = loneNames(reference, candidate);
  if (lone.reference.length === 0) return { applied: [], ambiguous: [] };
  const open = {
    reference: new Set(lone.reference),
    candidate: new Set(lone.candidate),
  };
  const applied: Proposal[] = [];
  const take = (mine: LoneName, theirs: LoneName, reason: ProposalReason): void => {
    open.reference.delete(mine);
    open.candidate.delete(theirs);
    // The canonical name is the one that the method knows; else the reference's.
    const isOurs = isCanonical(mine.name) || !isCanonical(theirs.name);
    const [side, from, name] = isOurs
      ? (["candidate", theirs.name, mine.name] as const)
      : (["reference", mine.name, theirs.name] as const);
    applied.push({ side, reason, renaming: { name, from: [from], how: SAME, at: reason } });
  };
  for (const { reference: mine, candidate: theirs } of keyed(open, ({ path }) => path)) {
    const [[a], [b]] = [mine, theirs];
    if (isPair(mine, theirs) && a !== undefined && b !== undefined) take(a, b, "by-module");
  }
  const layers = layersOf(reference) ?? layersOf(candidate);
  const counted = {
    reference: hiddenStates(open.reference, reference, layers),
    candidate: hiddenStates(open.candidate, candidate, layers),
  };
  const keyOf = (one: LoneName): string =>
    counted.reference.get(one) ?? counted.candidate.get(one) ?? patternKey(one, apart);
  const ambiguous: AmbiguousNames[] = [];
  for (const { reference: mine, candidate: theirs } of keyed(open, keyOf)) {
    const [[a], [b]] = [mine, theirs];
    if (isPair(mine, theirs) && a !== undefined && b !== undefined) {
      const byCount = counted.reference.has(a) || counted.candidate.has(b);
      take(a, b, byCount ? "by-count" : "by-pattern");
    } else if (mine.length + theirs.length > 2) {
      const names = (some: readonly LoneName[]): readonly string[] => some.map(({ name }) => name);
      ambiguous.push({ reference: names(mine), candidate: names(theirs) });
    }
  }
  applied.push(...fusions(open, { reference, candidate }, apart));
  return { applied, ambiguous };
}

type OpenNames = Readonly<Record<"reference" | "candidate", ReadonlySet<LoneName>>>;

/** The names of both sides that share a key. */
function keyed(
  open: OpenNames,
  keyOf: (one: LoneName) => string,
): readonly { readonly reference: readonly LoneName[]; readonly candidate: readonly LoneName[] }[] {
  const found = new Map<string, { reference: LoneName[]; candidate: LoneName[] }>();
  for (const side of ["reference", "candidate"] as const) {
    for (const one of open[side]) {
      const key = keyOf(one);
      const both = found.get(key) ?? { reference: [], candidate: [] };
      both[side].push(one);
      found.set(key, both);
    }
  }
  return [...found.values()].filter(
    (both) => both.reference.length > 0 && both.candidate.length > 0,
  );
}

function isPair(mine: readonly LoneName[], theirs: readonly LoneName[]): boolean {
  const [[a], [b]] = [mine, theirs];
  return (
    mine.length === 1 && theirs.length === 1 && a !== undefined && b !== undefined && fitsEach(a, b)
  );
}

function isCanonical(name: string): boolean {
  return tensorName(name).role !== "other";
}

/** What two writers' names for one module have in common. */
function patternKey({ name, path }: LoneName, apart: ReadonlySet<string>): string {
  if (isCanonical(name)) return name;
  const bare = bareName(path);
  const canonical = canonicalName(bare);
  const spelled = bare.replace(/^(?:h|blocks)\./u, "layers.");
  if (canonical === null) return spelled;
  // No other name has a space: a path such as layers.0.mlp is a canonical name as well.
  return apart.has(canonical) ? `module ${spelled}` : canonical;
}

/** Layers of a model whose states are those between them: Mamba's, for one, begin after the first layer. */
function layersOf({ run }: Dump): number | null {
  const model = run["model"];
  const layers = isJsonObject(model) && model["residual"] !== "other" ? model["layers"] : null;
  return typeof layers === "number" && Number.isSafeInteger(layers) && layers > 0 ? layers : null;
}

/**
 * The hidden states that transformers returns, by the canonical names of what they are: the first is the embedding,
 * the last comes after the final norm. Only where there is one more than the model has layers: other tools count
 * otherwise.
 */
function hiddenStates(
  open: ReadonlySet<LoneName>,
  dump: Dump,
  layers: number | null,
): ReadonlyMap<LoneName, string> {
  const found = new Map<number, LoneName>();
  for (const one of open) {
    const index = hiddenStateIndex(one.path);
    if (index === null) continue;
    if (found.has(index)) return new Map();
    found.set(index, one);
  }
  const isWhole =
    layers !== null && found.size === layers + 1 && Math.max(...found.keys()) === layers;
  // Of a file that holds both, which are meant cannot be told.
  if (
    !isWhole ||
    dump.tensors.some(({ name }) => isCanonical(name) && !/router|logits/u.test(name))
  ) {
    return new Map();
  }
  return new Map(
    [...found].map(([index, one]) => [
      one,
      index === 0 ? "embed" : index === layers ? "norm" : `layers.${index - 1}`,
    ]),
  );
}

/** Projections that engines compute in one product, in the order of its columns. */
const FUSED: readonly { readonly whole: string; readonly parts: readonly string[] }[] = [
  { whole: "qkv_proj", parts: ["q_proj", "k_proj", "v_proj"] },
  { whole: "gate_up_proj", parts: ["gate_proj", "up_proj"] },
];

/** Of a product that one side stores as one and the other as several, the parts: they tell more than the whole. */
function fusions(
  open: OpenNames,
  dumps: Readonly<Record<"reference" | "candidate", Dump>>,
  apart: ReadonlySet<string>,
): readonly Proposal[] {
  const byKey = (side: "reference" | "candidate"): ReadonlyMap<string, readonly LoneName[]> => {
    const found = new Map<string, LoneName[]>();
    for (const one of open[side]) {
      push(found, patternKey(one, apart), one);
    }
    return found;
  };
  const keys = { reference: byKey("reference"), candidate: byKey("candidate") };
  return (["reference", "candidate"] as const).flatMap((side) => {
    const others = keys[side === "reference" ? "candidate" : "reference"];
    return [...keys[side]].flatMap(([key, wholes]): readonly Proposal[] => {
      const fused = FUSED.find(({ whole }) => key === whole || key.endsWith(`.${whole}`));
      const [whole] = wholes;
      if (fused === undefined || whole === undefined || wholes.length > 1) return [];
      const prefix = key.slice(0, -fused.whole.length);
      const parts = fused.parts.flatMap((part) => {
        const named = others.get(`${prefix}${part}`) ?? [];
        return named.length === 1 ? named : [];
      });
      if (parts.length < fused.parts.length) return [];
      const widths = widthsOf(whole, parts, dumps[side]);
      if (widths === null) return [];
      return parts.map(({ name }, i): Proposal => {
        const start = widths.slice(0, i).reduce((sum, one) => sum + one, 0);
        const how = { kind: "slice", axis: 1, start, length: widths[i] ?? 0 } as const;
        const renaming = { name, from: [whole.name], how, at: "by-fusion" };
        return { side, reason: "by-fusion", renaming };
      });
    });
  });
}

/** The width of each part where together they are as wide as the whole, in every place; else null. */
function widthsOf(
  whole: LoneName,
  parts: readonly LoneName[],
  dump: Dump,
): readonly number[] | null {
  let widths: readonly number[] | null = null;
  for (const [place, entry] of whole.places) {
    if (!isPartable(dump, entry)) return null;
    const own = parts.map(({ places }) => places.get(place)?.shape ?? []);
    const now = own.map((shape) => shape[1] ?? 0);
    const fits =
      own.every((shape) => shape.length === 2 && shape[0] === entry.shape[0]) &&
      now.reduce((sum, one) => sum + one, 0) === entry.shape[1] &&
      !now.includes(0) &&
      (widths === null || widths.join() === now.join());
    if (!fits) return null;
    widths = now;
  }
  return widths;
}

/** Whether a range of each row of a tensor can be read. */
function isPartable(dump: Dump, entry: TensorEntry): boolean {
  return (
    entry.encoding === "dense" &&
    entry.shape.length === 2 &&
    dump.locate(entry, 0, 0).join.kind === "end to end"
  );
}

function push<T>(to: Map<string, T[]>, key: string, one: T): void {
  const known = to.get(key);
  if (known === undefined) to.set(key, [one]);
  else known.push(one);
}

/** Those of `renamings` that can be done with a dump that may lack tensors, or hold them otherwise. */
export function feasible(dump: Dump, renamings: readonly Renaming[]): readonly Renaming[] {
  if (renamings.length === 0) return [];
  const byName = new Map<string, TensorEntry[]>();
  for (const entry of dump.tensors) push(byName, entry.name, entry);
  return renamings.filter(({ name, from, how }) => {
    const entries = from.flatMap((one) => byName.get(one) ?? []);
    if (entries.length === 0 || byName.has(name)) return false;
    if (how.kind !== "slice") return true;
    return entries.every(
      (entry) => isPartable(dump, entry) && how.start + how.length <= (entry.shape[1] ?? 0),
    );
  });
}
