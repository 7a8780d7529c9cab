/**
 * Pairs the tensors of two dumps by name, sample and step, and says what has
 * no partner.
 */

import { isFloatDType } from "../core/dtype.ts";
import type { StepGroup } from "../core/verdict.ts";
import {
  isReducedLogits,
  matchesAny,
  REDUCED_LOGITS,
  type TensorRole,
  tensorName,
} from "../dump/contract.ts";
import { type Dump, dataBytes, type TensorEntry } from "../dump/dump.ts";
import { compareKeys, executionKey, isInExecutionOrder } from "./order.ts";
import { couldDecode, selectOf } from "./selection.ts";
import { effectiveShape, extentOf, sameShape, withoutBatch } from "./shapes.ts";

/** One tensor of one sample and step, on all sides. */
export interface Pair {
  readonly sample: number;
  readonly step: number;
  readonly reference: TensorEntry;
  readonly candidate: TensorEntry;
  /** The same tensor of each floor; null where a floor lacks it or has another shape. */
  readonly floors: readonly (TensorEntry | null)[];
}

/** All samples of one name in one step group: what is judged as a tensor. */
export interface Unit {
  readonly name: string;
  readonly role: TensorRole;
  readonly layer: number | null;
  readonly group: StepGroup;
  /** Ordered by sample, then step. */
  readonly pairs: readonly Pair[];
  /** The first disagreement of shapes; figures are null then. */
  readonly shapeConflict: ShapeConflict | null;
}

export interface ShapeConflict {
  readonly sample: number;
  readonly step: number;
  readonly reference: readonly number[];
  readonly candidate: readonly number[];
}

/** A tensor that one side lacks, over all its samples. */
export interface Absence {
  readonly name: string;
  readonly group: StepGroup;
  /** Samples and steps, as `name@sample.step`. */
  readonly places: readonly string[];
  readonly firstSample: number;
}

export interface Alignment {
  /** In execution order, prefill before decode. */
  readonly units: readonly Unit[];
  readonly missing: Sides<readonly Absence[]>;
  readonly notCaptured: Sides<readonly Absence[]>;
}

/** What the reference lacks and what the candidate lacks. */
export interface Sides<T> {
  readonly reference: T;
  readonly candidate: T;
}

/** Which tensors a comparison is about. */
export interface TensorFilter {
  readonly only: readonly string[];
  readonly skip: readonly string[];
}

/** Names that are compared in other ways, or shown and never judged. */
const NOT_JUDGED = new Set<string>([
  "input_ids",
  "position_ids",
  "prompt",
  "token_text",
  ...REDUCED_LOGITS,
  "generated_ids",
  "generated_text",
  "generated_token_text",
  "generated_topk_ids",
  "generated_topk_logprobs",
]);

/** Whether a tensor is judged: canonical hidden states, router logits, logits, and float tensors of other names. */
export function isJudged(entry: TensorEntry): boolean {
  if (entry.repeat !== 0) return false;
  const { name } = entry;
  if (NOT_JUDGED.has(name) || name.startsWith("perf.") || /^input\.\d+$/.test(name)) return false;
  return tensorName(name).role !== "other" || isFloatDType(entry.dtype);
}

/** Names of integers that both sides hold, and that no rule reads: positions, masks, the numbers of experts. */
export function sharedIntegers(reference: Dump, candidate: Dump): readonly string[] {
  const namesIn = ({ tensors }: Dump): ReadonlySet<string> =>
    new Set(
      tensors
        .filter(({ name, dtype, repeat }) => {
          const isRead =
            NOT_JUDGED.has(name) || name.startsWith("perf.") || /^input\.\d+$/.test(name);
          return repeat === 0 && !isRead && !isFloatDType(dtype);
        })
        .map(({ name }) => name),
    );
  const theirs = namesIn(candidate);
  return [...namesIn(reference)].filter((name) => theirs.has(name));
}

/**
 * The ids that a decode step was fed with: not judged, but a step that one side
 * did not run is missing there.
 */
function isDecodeInput({ name, step, repeat }: TensorEntry): boolean {
  return name === "input_ids" && step > 0 && repeat === 0;
}

/** What stands for logits is not judged as a tensor, but what one side lacks of it is missing there. */
function standsForLogits({ name, repeat }: TensorEntry): boolean {
  return isReducedLogits(name) && repeat === 0;
}

/** The tensors that a comparison is about, by name and group ({@link unitId}), then by place ({@link placeOf}). */
export type Index = ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;

/** Where one tensor of a unit lies: its sample, step and rank. */
export function placeOf({ sample, step, rank }: TensorEntry): string {
  return `${String(sample)}.${String(step)}.${String(rank)}`;
}

/** Key of a unit: all samples of one name in one step group. */
export function unitId(name: string, group: StepGroup): string {
  return `${group}:${name}`;
}

/**
 * Pairs `reference` and `candidate`, and each floor with them.
 *
 * A tensor that one side lacks is *missing* where that side's `capture.select`
 * covers its name (or it has none), else *not captured*; so are the decode steps of
 * a side that could run none (`capture.decode`).
 */
export function align(
  reference: Dump,
  candidate: Dump,
  floors: readonly Dump[],
  filter: TensorFilter,
): Alignment {
  const mine = indexOf(reference, filter);
  const theirs = indexOf(candidate, filter);
  const floorIndexes = floors.map((floor) => indexOf(floor, filter));
  const absent = {
    reference: absences(theirs, mine, reference, filter),
    candidate: absences(mine, theirs, candidate, filter),
  };
  const units: { readonly unit: Unit; readonly key: readonly number[] }[] = [];
  const written = isInExecutionOrder(reference.run);
  let appearance = 0;
  for (const [id, entries] of mine) {
    const partners = theirs.get(id);
    appearance += 1;
    if (partners === undefined || NO_UNITS.has(id)) continue;
    const pairs: Pair[] = [];
    for (const [place, entry] of entries) {
      const partner = partners.get(place);
      if (partner === undefined) continue;
      const mine = like(entry, partner);
      pairs.push({
        sample: entry.sample,
        step: entry.step,
        reference: mine,
        candidate: like(partner, mine),
        floors: floorIndexes.map((index) => {
          const found = index.get(id)?.get(place);
          const floor = found === undefined ? undefined : like(found, mine);
          return floor !== undefined && sameShape(floor.shape, mine.shape) ? floor : null;
        }),
      });
    }
    const [first] = pairs;
    if (first === undefined) continue;
    pairs.sort((a, b) => a.sample - b.sample || a.step - b.step);
    const { name, layer, step } = first.reference;
    const parsed = tensorName(name);
    const unit: Unit = {
      name,
      role: parsed.role,
      layer: parsed.layer ?? layer,
      group: groupOf(step),
      pairs,
      shapeConflict: shapeConflict(pairs),
    };
    units.push({
      unit,
      key: [
        step === 0 ? 0 : 1,
        ...(written ? [appearance] : executionKey(name, unit.layer, appearance)),
      ],
    });
  }
  units.sort((a, b) => compareKeys(a.key, b.key));
  return {
    units: units.map(({ unit }) => unit),
    missing: {
      reference: absent.reference.missing,
      candidate: absent.candidate.missing,
    },
    notCaptured: {
      reference: absent.reference.notCaptured,
      candidate: absent.candidate.notCaptured,
    },
  };
}

/** `entry` with the axes of `other`, where a batch of one is all that they differ in. */
function like(entry: TensorEntry, other: TensorEntry): TensorEntry {
  const shape = withoutBatch(entry.shape, other.shape);
  return shape === entry.shape ? entry : { ...entry, shape };
}

/** What is looked for on both sides, and not compared as a tensor. */
const NO_UNITS: ReadonlySet<string> = new Set([
  unitId("input_ids", "decode"),
  ...REDUCED_LOGITS.flatMap((name) => [unitId(name, "prefill"), unitId(name, "decode")]),
]);

/** Bytes of `unit` on all sides. */
export function bytesOf(unit: Unit): number {
  return unit.pairs.reduce((total, { reference, candidate, floors }) => {
    const entries = [reference, candidate, ...floors.filter((entry) => entry !== null)];
    return entries.reduce((sum, entry) => sum + dataBytes(entry), total);
  }, 0);
}

/** The step group of step `step`. */
export function groupOf(step: number): StepGroup {
  return step === 0 ? "prefill" : "decode";
}

/** The tensors of `dump` that `filter` lets through and that are judged, stand for logits, or say which decode steps it ran. */
export function indexOf(dump: Dump, filter: TensorFilter): Index {
  const index = new Map<string, Map<string, TensorEntry>>();
  for (const entry of dump.tensors) {
    const forLogits = standsForLogits(entry);
    if (!forLogits && !isJudged(entry) && !isDecodeInput(entry)) continue;
    if (!isWanted(forLogits ? "logits" : entry.name, filter)) continue;
    const id = unitId(entry.name, groupOf(entry.step));
    const place = placeOf(entry);
    const places = index.get(id);
    if (places === undefined) index.set(id, new Map([[place, entry]]));
    else places.set(place, entry);
  }
  return index;
}

/** Whether a comparison is about tensors of this name. */
export function isWanted(name: string, { only, skip }: TensorFilter): boolean {
  return (only.length === 0 || matchesAny(only, name)) && !matchesAny(skip, name);
}

/** What `present` holds and `other`, the index of `dump`, does not. */
function absences(
  present: Index,
  other: Index,
  dump: Dump,
  filter: TensorFilter,
): { readonly missing: readonly Absence[]; readonly notCaptured: readonly Absence[] } {
  const select = selectOf(dump);
  // A side that tells no ids at all, and therefore holds no tensors either, ran no step that could be missing.
  const tellsIds = dump.tensors.some(({ name }) => name === "input_ids");
  const decodes = couldDecode(dump);
  // What is there and cannot be compared was captured.
  const integers = new Set(
    dump.tensors
      .filter((entry) => !isFloatDType(entry.dtype) && !isReducedLogits(entry.name))
      .map(({ name }) => name),
  );
  const meant = ({ name, step }: TensorEntry): boolean =>
    (select === null || select.covers(name) || integers.has(name)) &&
    (name !== "input_ids" || tellsIds) &&
    (step === 0 || decodes);
  const missing: Absence[] = [];
  const notCaptured: Absence[] = [];
  for (const [id, entries] of present) {
    const partners = other.get(id);
    // Whole logits hold whatever stands for them.
    const holdsWhole = (place: string, { name, step }: TensorEntry): boolean =>
      isReducedLogits(name) && other.get(unitId("logits", groupOf(step)))?.has(place) === true;
    const lacking = [...entries].filter(
      ([place, entry]) => partners?.has(place) !== true && !holdsWhole(place, entry),
    );
    const [first] = lacking;
    if (first === undefined) continue;
    const { name, sample, step } = first[1];
    const absence: Absence = {
      name,
      group: groupOf(step),
      places: lacking.map(([, entry]) => placeName(entry)),
      firstSample: sample,
    };
    (meant(first[1]) ? missing : notCaptured).push(absence);
  }
  for (const name of select?.names ?? []) {
    const id = unitId(name, "prefill");
    // What the other side holds has been seen above; what only this one lacks too is missing as well.
    if (
      present.has(id) ||
      !isWanted(name, filter) ||
      dump.tensors.some((entry) => entry.name === name)
    ) {
      continue;
    }
    missing.push({ name, group: "prefill", places: [name], firstSample: 0 });
  }
  return { missing, notCaptured };
}

/** `name@sample.step`, with the rank where it is not the first. */
function placeName(entry: TensorEntry): string {
  const rank = entry.rank === 0 ? "" : `.rank${String(entry.rank)}`;
  return `${entry.name}@${String(entry.sample)}.${String(entry.step)}${rank}`;
}

/** The first pair whose shapes disagree, or whose width is another than the first pair's. */
export function shapeConflict(pairs: readonly Pair[]): ShapeConflict | null {
  const [first] = pairs;
  if (first === undefined) return null;
  const width = extentOf(first.reference.shape).width;
  const axes = effectiveShape(first.reference.shape).length;
  for (const { sample, step, reference, candidate } of pairs) {
    const fits =
      sameShape(reference.shape, candidate.shape) &&
      extentOf(reference.shape).width === width &&
      effectiveShape(reference.shape).length === axes;
    if (!fits) {
      return { sample, step, reference: reference.shape, candidate: candidate.shape };
    }
  }
  return null;
}
