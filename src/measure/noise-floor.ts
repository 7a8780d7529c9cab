/**
 * The error of a candidate relative to a floor's: the reference engine run in
 * the candidate's precision on the same tokens.
 */

import { Distribution } from "../core/distribution.ts";
import type { TokenAt } from "../core/places.ts";
import type { FloorFigures } from "../core/tensor-result.ts";
import { LEAST_ROW_ERROR, type RowErrors } from "./row-figures.ts";

/** Bins a factor of two of ρ_t(floor), see {@link FloorComparison}. */
const BINS_PER_OCTAVE = 128;

/** The largest errors among rows of about one floor error. */
interface RowBin {
  /** max ρ_t / ρ_t(floor), and where. */
  ratio: number;
  ratioAt: TokenAt;
  /** max ρ_t, and where. */
  error: number;
  errorAt: TokenAt;
}

/**
 * Compares ρ_t of the candidate with ρ_t of one floor, row by row, in bounded
 * memory.
 *
 * `floorTokenRatio`, max_t ρ_t / max(ρ_t(floor), median ρ(floor)), needs the
 * median before the rows can be weighed, so rows are binned by their floor
 * error: exact but for rows within 0.55 % of the median, which are off by at
 * most that much.
 */
export class FloorComparison {
  private readonly least: number;
  private readonly scale: number;
  private readonly allowance: (rows: number) => number;
  private readonly floorErrors = new Distribution();
  private readonly bins = new Map<number, RowBin>();
  private logSum = 0;
  private floorLogSum = 0;
  private rows = 0;
  private sampleLogSum = 0;
  private sampleRows = 0;
  private worstSampleRatio = 0;
  private worstSample: number | null = null;
  private floorSeen = false;
  private covered = 0;

  /**
   * @param u unit of the tensor's number format.
   * @param scale factor that brings the floor's errors to the candidate's precision.
   * @param allowance factor that a sample of so many rows may lie above the limit of the whole.
   */
  constructor(u: number, scale: number, allowance: (rows: number) => number) {
    this.least = LEAST_ROW_ERROR * u;
    this.scale = scale;
    this.allowance = allowance;
  }

  /**
   * Adds one row that both the candidate and the floor have. Rows of infinite error are for other rules.
   *
   * @param at may change afterwards.
   */
  add(rho: number, floorRho: number, at: TokenAt): void {
    this.covered += 1;
    if (!Number.isFinite(rho) || !Number.isFinite(floorRho)) return;
    if (floorRho > 0) this.floorSeen = true;
    const scaled = Math.max(floorRho * this.scale, this.least);
    const error = Math.max(rho, this.least);
    const log = Math.log(error / scaled);
    this.rows += 1;
    this.logSum += log;
    this.floorLogSum += Math.log(scaled);
    this.sampleLogSum += log;
    this.sampleRows += 1;
    this.floorErrors.add(scaled);
    this.bin(error, scaled, at);
  }

  endSample(sample: number): void {
    if (this.sampleRows > 0) {
      const ratio = Math.exp(this.sampleLogSum / this.sampleRows) / this.allowance(this.sampleRows);
      if (ratio > this.worstSampleRatio) {
        this.worstSampleRatio = ratio;
        this.worstSample = sample;
      }
    }
    this.sampleLogSum = 0;
    this.sampleRows = 0;
  }

  /** Whether the floor differs from the reference anywhere in this tensor. */
  get differsFromReference(): boolean {
    return this.floorSeen;
  }

  /**
   * The figures, null where the floor lacks a row that the candidate has: what
   * a floor does not cover it must not excuse.
   *
   * @param errors the candidate's own rows.
   */
  figures(errors: RowErrors): FloorFigures | null {
    if (this.rows === 0 || this.covered < errors.rows) return null;
    const p99 = errors.quantile(0.99);
    const median = this.floorErrors.quantile(0.5);
    let token = 0;
    let tokenAt: TokenAt | null = null;
    for (const [bin, rows] of this.bins) {
      const upperEdge = 2 ** ((bin + 1) / BINS_PER_OCTAVE);
      const [ratio, at] =
        upperEdge > median ? [rows.ratio, rows.ratioAt] : [rows.error / median, rows.errorAt];
      if (ratio > token) {
        token = ratio;
        tokenAt = at;
      }
    }
    return {
      floorRatio: Math.exp(this.logSum / this.rows),
      floorRatioP99: Math.max(p99, this.least) / this.floorErrors.quantile(0.99),
      floorTokenRatio: token,
      floorTokenRatioAt: tokenAt,
      worstSampleFloorRatio: this.worstSampleRatio,
      worstSample: this.worstSample,
      floorGm: Math.exp(this.floorLogSum / this.rows),
    };
  }

  private bin(error: number, floorError: number, at: TokenAt): void {
    const index = Math.floor(Math.log2(floorError) * BINS_PER_OCTAVE);
    const ratio = error / floorError;
    const bin = this.bins.get(index);
    if (bin === undefined) {
      this.bins.set(index, { ratio, ratioAt: { ...at }, error, errorAt: { ...at } });
      return;
    }
    if (ratio > bin.ratio) {
      bin.ratio = ratio;
      bin.ratioAt = { ...at };
    }
    if (error > bin.error) {
      bin.error = error;
      bin.errorAt = { ...at };
    }
  }
}

/** Of several floors the larger counts: the smallest of each ratio. */
export function leastRatios(floors: readonly FloorFigures[]): FloorFigures | null {
  const [first, ...others] = floors;
  if (first === undefined) return null;
  return others.reduce(
    (least, next) => ({
      floorRatio: Math.min(least.floorRatio, next.floorRatio),
      floorRatioP99: Math.min(least.floorRatioP99, next.floorRatioP99),
      ...(next.floorTokenRatio < least.floorTokenRatio
        ? { floorTokenRatio: next.floorTokenRatio, floorTokenRatioAt: next.floorTokenRatioAt }
        : {
            floorTokenRatio: least.floorTokenRatio,
            floorTokenRatioAt: least.floorTokenRatioAt,
          }),
      ...(next.worstSampleFloorRatio < least.worstSampleFloorRatio
        ? {
            worstSampleFloorRatio: next.worstSampleFloorRatio,
            worstSample: next.worstSample,
          }
        : { worstSampleFloorRatio: least.worstSampleFloorRatio, worstSample: least.worstSample }),
      floorGm: Math.max(least.floorGm, next.floorGm),
    }),
    first,
  );
}
