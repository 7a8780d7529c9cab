/**
 * What the model says, from the logits of the prompts or of the decode steps,
 * row by row.
 */

import type { Pair } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import type { TokenAt } from "../core/places.ts";
import type { DecodeQuality, Quality } from "../core/quality.ts";
import type { ScoredLogits } from "../dump/scored-logits.ts";
import { Agreement, NEAR_TIE, standardMargin } from "./agreement.ts";
import { Divergence } from "./divergence.ts";
import { LOGITS, ROW_NUMBERS, SIDE_LOGITS, SIDE_LOGITS_NUMBERS } from "./kernel/results.ts";
import { PositionPicker } from "./logit-positions.ts";
import type { RowObserver } from "./measure-tensor.ts";
import type { JobPart, PlannedJob } from "./plan.ts";
import { Predictions } from "./predictions.ts";

/** The part of {@link Quality} that comes from logits. */
export type LogitsQuality = Omit<Quality, "firstToken" | "generation" | "determinism" | "decode">;

/** Whether the greedy token after the last row of a sample agrees, by sample. */
export type LastRowAgreement = ReadonlyMap<number, boolean>;

/**
 * Gathers {@link LogitsQuality} over the rows of `logits` of one step group.
 *
 * A row whose true token is not known, as after the last one of a prompt, counts
 * in KL and agreement, not in perplexity. Everything is accumulated in float64. A
 * NaN or +∞ in a row makes the figures that need it NaN: such a figure is never a
 * pass.
 */
export class LogitsMeter implements RowObserver {
  /** Factors that bring each floor's errors to the candidate's precision. */
  private readonly floorScales: readonly number[];
  private readonly scored: ScoredLogits | null;
  private readonly predictions = new Predictions();
  private readonly divergence: Divergence;
  private readonly agreement = new Agreement();
  private readonly picker = new PositionPicker();
  private readonly lastRows = new Map<number, boolean>();

  /**
   * @param floorScales one for each floor.
   * @param scored which rows of the prompts there are; null where all are, as of decode steps.
   */
  constructor(floorScales: readonly number[], scored: ScoredLogits | null = null) {
    this.floorScales = floorScales;
    this.scored = scored;
    this.divergence = new Divergence(floorScales.length);
  }

  row(
    numbers: Float64Array,
    at: number,
    place: TokenAt,
    { job, present }: PlannedJob,
    part: JobPart,
    index: number,
  ): void {
    const sides = at + (present.length + 1) * ROW_NUMBERS;
    const row = sides + (present.length + 1) * SIDE_LOGITS_NUMBERS;
    const of = (figure: number): number => numbers[row + figure] as number;
    const token = { ...place, token: place.token + (this.scored?.firstToken ?? 0) };
    if ((job.truth?.[index] ?? -1) >= 0) {
      // An id beyond the vocabulary has left NaN here, and so no perplexity.
      this.predictions.add(
        of(LOGITS.truthReference) - of(LOGITS.lseReference),
        of(LOGITS.truthCandidate) - of(LOGITS.lseCandidate),
      );
    }
    const kl = numbers[sides + SIDE_LOGITS.kl] as number;
    this.divergence.add(kl, token);
    let floorSigma: number | null = null;
    for (const [i, floor] of present.entries()) {
      const from = sides + (i + 1) * SIDE_LOGITS_NUMBERS;
      const scale = this.floorScales[floor] ?? 1;
      // KL grows with the square of the error.
      this.divergence.addFloor(floor, scale ** 2 * (numbers[from + SIDE_LOGITS.kl] as number));
      const sigma = scale * (numbers[from + SIDE_LOGITS.sigma] as number);
      if (Number.isFinite(sigma)) floorSigma = Math.max(floorSigma ?? 0, sigma);
    }
    const agrees = of(LOGITS.agrees) === 1;
    const margin = of(LOGITS.margin);
    const candidateSigma = numbers[sides + SIDE_LOGITS.sigma] as number;
    this.agreement.add({
      vocabulary: job.width,
      agrees,
      strict: of(LOGITS.strict) === 1,
      margin,
      overlap5: of(LOGITS.overlap5),
      overlap10: of(LOGITS.overlap10),
      floorSigma,
      candidateSigma,
    });
    const nearTie = standardMargin(margin, floorSigma ?? candidateSigma) < NEAR_TIE;
    this.picker.add(token, { kl, margin, agrees, nearTie });
    if (this.scored === null && isLastOfPrompt(part.pair, token))
      this.lastRows.set(token.sample, agrees);
  }

  endSample(): void {
    this.predictions.endSample();
    this.divergence.endSample();
  }

  /** Where the sides differ most. */
  get positions(): PositionPicker["positions"] {
    return this.picker.positions;
  }

  /** Whether the greedy token after each prompt agrees. */
  get lastRowAgreement(): LastRowAgreement {
    return this.lastRows;
  }

  /** The figures; null where not a row was seen. */
  quality(): LogitsQuality {
    const [perplexity, perplexitySeed] = this.predictions.perplexity();
    return {
      perplexity,
      perplexitySeed,
      kl: this.divergence.result(),
      ...this.agreement.result(),
      deltaP: this.predictions.deltaP(),
      klLowerBound: null,
      lse: null,
      notAvailable: [],
    };
  }

  /** The same of decode steps; null where not a row was seen. */
  decodeQuality(): DecodeQuality | null {
    const kl = this.divergence.result();
    if (kl === null) return null;
    const [perplexity] = this.predictions.perplexity();
    return { perplexity, kl, ...this.agreement.result(), deltaP: this.predictions.deltaP() };
  }
}

function isLastOfPrompt({ reference, step }: Pair, { token }: TokenAt): boolean {
  return step === 0 && token === extentOf(reference.shape).rows - 1;
}
