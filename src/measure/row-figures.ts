/**
 * Figures over the rows (tokens) of one tensor, gathered while it streams by.
 */

import { Distribution } from "../core/distribution.ts";
import type { TokenAt } from "../core/places.ts";
import type { TokenCosine, TokenRelL2 } from "../core/tensor-result.ts";

/**
 * Storing Gaussian data once costs 0.425 of a unit in the last place's half,
 * 0.85 u; a row whose error is smaller than half of that tells nothing about
 * the engine. Rows are raised to it in geometric means, which one row that
 * happens to be equal would otherwise pull to 0.
 */
export const LEAST_ROW_ERROR = 0.425;

/** What one store of Gaussian data costs, in units of u: no floor can ask for less of an engine that stores. */
export const ONE_STORE = 0.85;

/** ρ_t of one tensor: its distribution, its geometric mean over all rows and per sample. */
export class RowErrors {
  private readonly distribution = new Distribution();
  private readonly least: number;
  private logSum = 0;
  private sampleLogSum = 0;
  private sampleRows = 0;
  private anyError = false;
  private sampleError = false;
  private worstSampleGm = 0;
  private worstSampleExcess = 0;
  private sampleOfWorst: number | null = null;
  private worst = 0;
  private worstAt: TokenAt | null = null;
  private readonly allowance: (rows: number) => number;
  rows = 0;
  /** Rows whose reference is zero and whose candidate is not. */
  infinite = 0;

  /**
   * @param u unit of the tensor's number format.
   * @param allowance factor that a sample of so many rows may lie above the limit of the whole.
   */
  constructor(u: number, allowance: (rows: number) => number) {
    this.least = LEAST_ROW_ERROR * u;
    this.allowance = allowance;
  }

  /** @param at may change afterwards. */
  add(rho: number, at: TokenAt): void {
    this.rows += 1;
    this.distribution.add(rho);
    if (rho === Number.POSITIVE_INFINITY) this.infinite += 1;
    if (rho > 0) {
      this.anyError = true;
      this.sampleError = true;
    }
    const log = Math.log(Math.max(rho, this.least));
    this.logSum += log;
    this.sampleLogSum += log;
    this.sampleRows += 1;
    if (rho > this.worst || this.worstAt === null) {
      this.worst = rho;
      this.worstAt = { ...at };
    }
  }

  /** Ends the rows of `sample`. */
  endSample(sample: number): void {
    if (this.sampleRows > 0 && this.sampleError) {
      const gm = Math.exp(this.sampleLogSum / this.sampleRows);
      this.worstSampleGm = Math.max(this.worstSampleGm, gm);
      const excess = gm / this.allowance(this.sampleRows);
      if (excess > this.worstSampleExcess) {
        this.worstSampleExcess = excess;
        this.sampleOfWorst = sample;
      }
    }
    this.sampleLogSum = 0;
    this.sampleRows = 0;
    this.sampleError = false;
  }

  quantile(q: number): number {
    return this.distribution.quantile(q);
  }

  get gm(): number {
    return this.anyError ? Math.exp(this.logSum / this.rows) : 0;
  }

  /** The largest geometric mean of a sample, each divided by the allowance for its number of rows. */
  get worstSample(): { readonly excess: number; readonly sample: number | null } {
    return { excess: this.worstSampleExcess, sample: this.sampleOfWorst };
  }

  /** Null where no row was added. */
  figures(): TokenRelL2 | null {
    if (this.rows === 0) return null;
    return {
      gm: this.gm,
      p50: this.quantile(0.5),
      p99: this.quantile(0.99),
      max: this.worst,
      maxAt: this.worst > 0 ? this.worstAt : null,
      worstSampleGm: this.worstSampleGm,
    };
  }
}

/** Cosine of each row, kept as its distance from 1, where the digits are. */
export class RowCosines {
  private readonly distances = new Distribution();
  private sum = 0;
  private worst = -1;
  private worstAt: TokenAt | null = null;

  /** @param at may change afterwards. */
  add(distance: number, at: TokenAt): void {
    this.distances.add(distance);
    this.sum += distance;
    if (distance > this.worst) {
      this.worst = distance;
      this.worstAt = { ...at };
    }
  }

  figures(): TokenCosine | null {
    const { count } = this.distances;
    if (count === 0) return null;
    return {
      mean: 1 - this.sum / count,
      min: 1 - this.worst,
      minAt: this.worstAt,
      p1: 1 - this.distances.quantile(0.99),
      p5: 1 - this.distances.quantile(0.95),
      p50: 1 - this.distances.quantile(0.5),
    };
  }
}
