/** How well the true tokens are predicted: perplexity and Δp. */

import { Distribution } from "../core/distribution.ts";
import type { DeltaPResult, PerplexityResult, Quality } from "../core/quality.ts";
import { type ClusterSum, clusteredMean } from "../core/statistics.ts";
import { SampleSums } from "./sample-sums.ts";

/**
 * Log-probabilities of the true token on both sides, in nats. A NaN makes the
 * figures that need it NaN.
 */
export class Predictions {
  private readonly nll = { reference: new SampleSums(), candidate: new SampleSums() };
  private readonly deltaNll = new SampleSums();
  /** Δp + 1, which is never negative. */
  private readonly deltaPs = new Distribution();
  private deltaPSquares = 0;
  private deltaPCount = 0;

  /** Adds the log-probability of one true token on each side. */
  add(reference: number, candidate: number): void {
    this.nll.reference.add(-reference);
    this.nll.candidate.add(-candidate);
    this.deltaNll.add(reference - candidate);
    const deltaP = Math.exp(candidate) - Math.exp(reference);
    this.deltaPCount += 1;
    this.deltaPSquares += deltaP * deltaP;
    if (!Number.isNaN(deltaP)) this.deltaPs.add(deltaP + 1);
  }

  endSample(): void {
    for (const sums of [this.nll.reference, this.nll.candidate, this.deltaNll]) sums.endSample();
  }

  /** Both null where there was no prediction. */
  perplexity(): readonly [PerplexityResult | null, Quality["perplexitySeed"]] {
    const reference = this.nll.reference.total;
    const candidate = this.nll.candidate.total;
    const delta = clusteredMean(this.deltaNll.clusters);
    if (delta === null) return [null, null];
    const [ofReference, ofCandidate] = [
      Math.exp(reference.sum / reference.count),
      Math.exp(candidate.sum / candidate.count),
    ];
    const seed = {
      reference: seedPerplexity(this.nll.reference.clusters),
      candidate: seedPerplexity(this.nll.candidate.clusters),
    };
    return [
      {
        reference: ofReference,
        candidate: ofCandidate,
        relativeIncrease: Math.expm1(delta.mean),
        ci95: delta.ci95 === null ? null : [Math.expm1(delta.ci95[0]), Math.expm1(delta.ci95[1])],
        tokens: reference.count,
        samples: this.deltaNll.clusters.filter(({ count }) => count > 0).length,
        deltaNll: delta,
      },
      { ...seed, relativeIncrease: seed.candidate / seed.reference - 1 },
    ];
  }

  /** Null where there was no prediction. */
  deltaP(): DeltaPResult | null {
    const count = this.deltaPCount;
    if (count === 0) return null;
    const quantile = (q: number): number => this.deltaPs.quantile(q) - 1;
    return {
      rms: Math.sqrt(this.deltaPSquares / count),
      p1: quantile(0.01),
      p5: quantile(0.05),
      p50: quantile(0.5),
      p95: quantile(0.95),
      p99: quantile(0.99),
      min: quantile(0),
      max: quantile(1),
    };
  }
}

/** Perplexity of the mean loss of each sample weighted by its number of tokens T (not of predictions T−1). */
function seedPerplexity(clusters: readonly ClusterSum[]): number {
  let loss = 0;
  let weight = 0;
  for (const { count, sum } of clusters) {
    if (count === 0) continue;
    loss += (sum / count) * (count + 1);
    weight += count + 1;
  }
  return Math.exp(loss / weight);
}
