/** How close the decision was at which two continuations part. */

import type { ChoiceGap, DivergenceMargin } from "../../core/generation.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { NEAR_TIE, standardMargin } from "../agreement.ts";
import { CentredError } from "../centred-error.ts";
import type { FloorSource } from "../measure-tensor.ts";
import type { BothSides } from "./outcome.ts";
import { type StepLogits, StepReader, valueOf } from "./step-logits.ts";

/** Tokens that both lists must hold beside the two in question: fewer say nothing of a spread. */
const MIN_SHARED = 3;

/** What is known of a decision: which token each side took, at which step. */
interface Decision {
  readonly sample: number;
  /** Tokens that both sides generated before. */
  readonly step: number;
  readonly reference: { readonly ids: TensorEntry; readonly choice: number };
  readonly candidate: { readonly ids: TensorEntry; readonly choice: number };
}

/** A margin of which nothing is known, and why. */
export function unknownMargin(reason: string): DivergenceMargin {
  return { reference: null, candidate: null, z: null, sigmaFrom: null, nearTie: null, reason };
}

/** Measures margins on the logits of both sides, and of the floors. */
export class MarginMeter {
  private readonly reference: Dump;
  private readonly readers: { readonly reference: StepReader; readonly candidate: StepReader };
  private readonly floors: readonly { readonly reader: StepReader; readonly scale: number }[];

  constructor({ reference, candidate }: BothSides, floors: readonly FloorSource[]) {
    this.reference = reference.dump;
    this.readers = {
      reference: new StepReader(reference.dump),
      candidate: new StepReader(candidate.dump),
    };
    this.floors = floors.map(({ dump, scale }) => ({ reader: new StepReader(dump), scale }));
  }

  /**
   * The margin of `decision`, whose two choices differ.
   *
   * It is taken from whole logits where both sides store them at this step, fed
   * with the same tokens; else from the likeliest tokens that each side noted.
   *
   * @throws NpuDiffError `dump-corrupt` where stored lists hold what cannot be.
   */
  measure(decision: Decision): DivergenceMargin {
    const { reference, candidate } = decision;
    const sides = this.sidesOf(decision);
    if (sides.reference === null && sides.candidate === null)
      return unknownMargin("no-step-logits");
    const [a, b] = [reference.choice, candidate.choice];
    const gaps = {
      reference: sides.reference === null ? null : gapOf(sides.reference, a, b),
      candidate: sides.candidate === null ? null : gapOf(sides.candidate, b, a),
    };
    if (gaps.reference === null) {
      const reason = sides.reference === null ? "no-step-logits" : "not-listed";
      return { ...unknownMargin(reason), ...gaps };
    }
    const spread = this.spread(decision, sides);
    if (spread === null) {
      const reason = sides.candidate === null ? "no-step-logits" : "short-lists";
      const { nats, atLeast } = gaps.reference;
      // Equal likelihoods are a tie, whatever σ is.
      const tied = nats <= 0 && !atLeast;
      return {
        ...gaps,
        z: null,
        sigmaFrom: null,
        ...(tied ? KNOWN_TIE : { nearTie: null, reason }),
      };
    }
    const z = standardMargin(gaps.reference.nats, spread.sigma);
    const near = z < NEAR_TIE;
    const open = near && gaps.reference.atLeast;
    return {
      ...gaps,
      z,
      sigmaFrom: spread.from,
      nearTie: open ? null : near,
      reason: open ? "not-listed" : null,
    };
  }

  private sidesOf(decision: Decision): Record<"reference" | "candidate", StepLogits | null> {
    const { sample, step } = decision;
    const { readers } = this;
    const isFed = readers.reference.wasFedWith(
      sample,
      step,
      this.reference,
      decision.reference.ids,
    );
    const whole = {
      reference: isFed ? readers.reference.whole(sample, step) : null,
      candidate: isFed ? readers.candidate.whole(sample, step) : null,
    };
    if (whole.reference !== null && whole.candidate !== null) return whole;
    const of = (side: "reference" | "candidate"): StepLogits | null =>
      readers[side].generated(sample, step, decision[side].ids) ??
      whole[side] ??
      (isFed ? readers[side].fed(sample, step) : null);
    return { reference: of("reference"), candidate: of("candidate") };
  }

  /** σ, and whose error gave it; null where too little is known. */
  private spread(
    { sample, step, reference, candidate }: Decision,
    sides: Record<"reference" | "candidate", StepLogits | null>,
  ): { readonly sigma: number; readonly from: "floor" | "candidate" | "lists" } | null {
    const { reference: x, candidate: y } = sides;
    if (x === null || y === null) return null;
    if (x.kind === "whole" && y.kind === "whole") {
      const floors = this.floors.flatMap(({ reader, scale }) => {
        const floor = reader.whole(sample, step);
        const sigma = floor === null ? null : centredSize(x, floor);
        return sigma === null ? [] : [scale * sigma];
      });
      if (floors.length > 0) return { sigma: Math.max(...floors), from: "floor" };
      const sigma = centredSize(x, y);
      return sigma === null ? null : { sigma, from: "candidate" };
    }
    const sigma = sharedSpread(x, y, [reference.choice, candidate.choice]);
    return sigma === null ? null : { sigma, from: "lists" };
  }
}

const KNOWN_TIE = { nearTie: true, reason: null } as const;

/** log p(own) − log p(other); null where the side's own choice is not known. */
function gapOf(step: StepLogits, own: number, other: number): ChoiceGap | null {
  const [mine, theirs] = [valueOf(step, own), valueOf(step, other)];
  if (mine === null) return null;
  if (theirs !== null) return gap(mine - theirs, false);
  // Any token that is not listed is at most as likely as the last one that is.
  return step.kind === "list" ? gap(mine - step.least, true) : null;
}

function gap(nats: number, atLeast: boolean): ChoiceGap | null {
  return Number.isNaN(nats) ? null : { nats, atLeast };
}

type Whole = Extract<StepLogits, { readonly kind: "whole" }>;

/** RMS over the vocabulary of the centred error; null where the rows do not match, or hold no finite pair. */
function centredSize(x: StepLogits, y: StepLogits): number | null {
  if (x.kind !== "whole" || y.kind !== "whole" || !sameWidth(x, y)) return null;
  const error = new CentredError();
  error.add(x.logits, y.logits, 0, x.logits.length);
  const { sigma } = error;
  return Number.isFinite(sigma) ? sigma : null;
}

function sameWidth(x: Whole, y: Whole): boolean {
  return x.logits.length === y.logits.length;
}

/**
 * Spread of the error over the tokens that both sides list, about its mean, with
 * n − 1 degrees of freedom. The two choices are left out: that they moved past
 * each other is what is to be explained, and of a dozen tokens they would be most
 * of the spread.
 */
function sharedSpread(x: StepLogits, y: StepLogits, choices: readonly number[]): number | null {
  const listed = x.kind === "list" ? x : y.kind === "list" ? y : null;
  const errors = [...(listed?.logprobs.keys() ?? [])].flatMap((id) => {
    const [a, b] = [valueOf(x, id), valueOf(y, id)];
    const error = a === null || b === null ? Number.NaN : b - a;
    return choices.includes(id) || !Number.isFinite(error) ? [] : [error];
  });
  if (errors.length < MIN_SHARED) return null;
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  const squares = errors.reduce((sum, error) => sum + (error - mean) ** 2, 0);
  return Math.sqrt(squares / (errors.length - 1));
}
