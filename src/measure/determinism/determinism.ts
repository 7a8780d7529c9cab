/** Whether a run gives the same answer each time: its repetitions, held to each other. */

import { unravel } from "../../align/shapes.ts";
import { readIds, tokenKey } from "../../align/tokens.ts";
import type { RepeatDifference, SideDeterminism } from "../../core/determinism.ts";
import { isFloatDType } from "../../core/dtype.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { MarginMeter } from "../generation/margin.ts";
import { type BothSides, type Outcome, outcomeOf } from "../generation/outcome.ts";
import { type FloatTensor, largestDifference } from "./largest-difference.ts";
import { checkSamePrompts, type Repetition, repetitionsOf } from "./repetitions.ts";
import { Tally } from "./tally.ts";

/** The figures, or why they cannot be given; both null where nothing is repeated. */
export interface Determinism {
  readonly result: SideDeterminism | null;
  /** `sampled`, or `some-repeats`: repetitions that are not all there say nothing of those that are. */
  readonly reason: string | null;
}

const INCOMPLETE: Determinism = { result: null, reason: "some-repeats" };

/**
 * Compares the repetitions of a dump. Each is compared once: with the first one
 * that was fed alike, which tells run-to-run variance; where there is none, with
 * the run itself, which tells what other batches do.
 *
 * @throws NpuDiffError `tokens-differ` where a repetition was fed with something else,
 *   `dump-corrupt` where a continuation holds what cannot be.
 */
export function determinismOf(dump: Dump): Determinism {
  const repetitions = repetitionsOf(dump);
  if (repetitions === null) return INCOMPLETE;
  const [run, ...others] = repetitions;
  if (run === undefined || others.length === 0) return { result: null, reason: null };
  for (const other of others) checkSamePrompts(run, other);
  const { samples, sampled } = run.continuations;
  if (sampled) return { result: null, reason: "sampled" };
  const tallies = { all: new Tally(), runToRun: new Tally(), batch: new Tally() };
  const firstFed = new Map([[run.fed, run]]);
  let firstDifference: RepeatDifference | null = null;
  for (const repetition of others) {
    const { fed } = repetition;
    const alike = fed === null ? undefined : firstFed.get(fed);
    if (alike === undefined) firstFed.set(fed, repetition);
    const kind =
      fed === null || run.fed === null ? null : alike === undefined ? "batch" : "runToRun";
    const affected = kind === null ? [tallies.all] : [tallies.all, tallies[kind]];
    const difference = comparePair(alike ?? run, repetition, samples, affected);
    if (difference === "incomplete") return INCOMPLETE;
    if (difference !== null && difference.sample < (firstDifference?.sample ?? Infinity)) {
      firstDifference = difference;
    }
  }
  const result = {
    repeats: repetitions.length,
    ...tallies.all.result(samples.length),
    runToRun: tallies.runToRun.resultIfAny(samples.length),
    batch: tallies.batch.resultIfAny(samples.length),
    firstDifference,
  };
  return { result, reason: null };
}

/** @returns the first sample that differs; `incomplete` where the two do not continue the same samples. */
function comparePair(
  against: Repetition,
  repetition: Repetition,
  samples: readonly number[],
  tallies: readonly Tally[],
): RepeatDifference | null | "incomplete" {
  const sides = { reference: against.continuations, candidate: repetition.continuations };
  const theirs = sides.candidate.samples;
  if (theirs.length !== samples.length || theirs.some((sample, i) => sample !== samples[i])) {
    return "incomplete";
  }
  for (const tally of tallies) tally.addComparison();
  const margins = new MarginMeter(sides, []);
  const parting = new Map<number, number>();
  let first: RepeatDifference | null = null;
  for (const sample of samples) {
    const outcome = outcomeOf(sample, sides, margins);
    if (outcome.kind === "notCompared") return "incomplete";
    if (outcome.kind === "identical") continue;
    for (const tally of tallies) tally.addDiffering(sample);
    if (outcome.token !== null) parting.set(sample, outcome.token);
    first ??= differenceOf(sample, outcome, sides, against.number, repetition.number);
  }
  compareTensors(against, repetition, parting, tallies);
  return first;
}

function differenceOf(
  sample: number,
  { token, margin }: Extract<Outcome, { readonly kind: "parts" }>,
  { reference, candidate }: BothSides,
  against: number,
  repeat: number,
): RepeatDifference {
  return {
    sample,
    repeat,
    against,
    token,
    expected: token === null ? null : reference.token(sample, token),
    found: token === null ? null : candidate.token(sample, token),
    margin,
  };
}

/**
 * Compares every float tensor that both store, as far as both were fed with the
 * same tokens: decode steps up to the first that was not, and the lists of the
 * likeliest tokens up to the token at which the continuations part.
 */
function compareTensors(
  against: Repetition,
  repetition: Repetition,
  parting: ReadonlyMap<number, number>,
  tallies: readonly Tally[],
): void {
  const steps = new SharedSteps(against, repetition);
  for (const entry of repetition.dump.tensors.filter(isCompared)) {
    const { name, sample, step, shape } = entry;
    const other = against.table(name).get(tokenKey(sample, step));
    if (other === undefined || !isCompared(other) || other.dtype !== entry.dtype) continue;
    if (step > steps.of(sample)) continue;
    const [rows = 1, ...rest] = shape;
    const [otherRows = 1, ...otherRest] = other.shape;
    const isSameWidth = shape.length === other.shape.length && String(rest) === String(otherRest);
    const isOwn = name === "generated_topk_logprobs";
    if (!isSameWidth || (!isOwn && rows !== otherRows)) continue;
    const until = isOwn ? (parting.get(sample) ?? Infinity) + 1 : rows;
    const elements = rows === 0 ? 0 : (Math.min(rows, otherRows, until) * entry.elements) / rows;
    const found = largestDifference(
      { dump: against.dump, entry: other },
      { dump: repetition.dump, entry },
      elements,
    );
    const { maxAbs, at, identical } = found;
    const index = elements === 0 ? [] : unravel(at, shape);
    const numbers = { repeat: repetition.number, against: against.number };
    for (const tally of tallies) {
      tally.addTensor({ tensor: name, sample, step, ...numbers, index, maxAbs }, identical);
    }
  }
}

function isCompared(entry: TensorEntry): entry is FloatTensor["entry"] {
  const { name, sample, encoding, dtype } = entry;
  return sample >= 0 && encoding === "dense" && isFloatDType(dtype) && !name.startsWith("perf.");
}

/** How many decode steps of each sample two repetitions were fed with the same tokens. */
class SharedSteps {
  private readonly pair: readonly [Repetition, Repetition];
  private readonly counts = new Map<number, number>();

  constructor(...pair: readonly [Repetition, Repetition]) {
    this.pair = pair;
  }

  of(sample: number): number {
    let count = this.counts.get(sample);
    if (count === undefined) {
      count = 0;
      while (this.sameAt(sample, count + 1)) count += 1;
      this.counts.set(sample, count);
    }
    return count;
  }

  private sameAt(sample: number, step: number): boolean {
    const [a, b] = this.pair.map((one) => {
      const entry = one.table("input_ids").get(tokenKey(sample, step));
      return entry?.elements === 1 ? readIds(one.dump, entry, 0, 1)[0] : undefined;
    });
    return a !== undefined && a === b;
  }
}
