/**
 * The shape of an own error, a tensor beside its forced reference: its rows, its
 * samples and its channels, gathered while the tensor streams by.
 */

import type { TokenAt } from "../core/places.ts";
import { CHANNEL_SUMS, ROW, resultLayout, rowWeight } from "./kernel/results.ts";
import type { RowObserver, TensorFigures } from "./measure-tensor.ts";
import { hasChannels, type PlannedJob } from "./plan.ts";
import { ONE_STORE } from "./row-figures.ts";

/** The own error of one sample. */
export interface OwnSample {
  readonly sample: number;
  /** Mean of ln ρ_t, rows of one store at least. */
  readonly logMean: number;
  readonly rows: number;
}

/**
 * The own error by channel. Rows are weighed by 1 / ρ_t, as in a regression
 * whose errors have these sizes: e_t = d_t / (‖x_t‖ ρ_t) has the norm 1, so that
 * no chaotic row outweighs the others.
 */
export interface OwnChannels {
  /** Mean over rows of e_tj. */
  readonly mean: Float64Array;
  /** Root of the mean over rows of e_tj². */
  readonly rms: Float64Array;
  /** Gain of each channel: Σ_t z_tj e_tj / Σ_t z_tj², z_t = x_t / (‖x_t‖ ρ_t); 0 where z is. */
  readonly gain: Float64Array;
  /** Root of the mean over rows of z_tj². */
  readonly size: Float64Array;
}

/** What an own error looks like; numbers relative to ‖x_t‖. */
export interface OwnProfile {
  /** Geometric mean of ρ_t, one store at least, and its quantiles. */
  readonly gm: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly maxAt: TokenAt | null;
  /** max_tj |d_tj| / ‖x_t‖, and the row. */
  readonly element: number;
  readonly elementAt: TokenAt | null;
  /** a of the weighed regression d_t = a x_t; NaN where x is zero. */
  readonly slope: number;
  readonly rows: number;
  readonly samples: readonly OwnSample[];
  /** Null where rows are too wide to keep sums of every channel, or single numbers. */
  readonly channels: OwnChannels | null;
}

/** What ρ_t is raised to in a tensor of unit `u`. */
export function leastOwnError(u: number): number {
  return ONE_STORE * u;
}

/** Gathers an {@link OwnProfile}; memory is bounded by the width of a row and the number of samples. */
export class OwnMeter implements RowObserver {
  private readonly least: number;
  private readonly sums: ChannelSums | null;
  private readonly samples: OwnSample[] = [];
  private element = 0;
  private elementAt: TokenAt | null = null;
  private xe = 0;
  private xx = 0;
  private rows = 0;
  private logSum = 0;
  private sampleLogSum = 0;
  private sampleRows = 0;

  /**
   * @param u unit of the tensor's number format.
   * @param width of a row.
   */
  constructor(u: number, width: number) {
    this.least = leastOwnError(u);
    this.sums = hasChannels(width) ? new ChannelSums(width) : null;
  }

  row(numbers: Float64Array, at: number, token: TokenAt): void {
    const rho = numbers[at + ROW.rho] as number;
    const xx = numbers[at + ROW.xx] as number;
    const weight = rowWeight(xx, rho, this.least);
    if (weight === 0) return;
    this.rows += 1;
    const log = Math.log(Math.max(rho, this.least));
    this.logSum += log;
    this.sampleLogSum += log;
    this.sampleRows += 1;
    const element = (numbers[at + ROW.maxAbs] as number) / Math.sqrt(xx);
    if (element > this.element) {
      this.element = element;
      this.elementAt = { ...token };
    }
    this.xe += weight * weight * (numbers[at + ROW.xd] as number);
    this.xx += weight * weight * xx;
  }

  endJob({ job }: PlannedJob, numbers: Float64Array): void {
    if (job.leastRowError !== null) this.sums?.add(numbers, resultLayout(job).channelsAt);
  }

  endSample(sample: number): void {
    if (this.sampleRows > 0) {
      this.samples.push({
        sample,
        logMean: this.sampleLogSum / this.sampleRows,
        rows: this.sampleRows,
      });
    }
    this.sampleLogSum = 0;
    this.sampleRows = 0;
  }

  /** Null where no row has a size. */
  profile({ tokenRelL2 }: TensorFigures): OwnProfile | null {
    if (this.rows === 0) return null;
    return {
      gm: Math.exp(this.logSum / this.rows),
      p50: Math.max(tokenRelL2.p50, this.least),
      p99: Math.max(tokenRelL2.p99, this.least),
      max: tokenRelL2.max,
      maxAt: tokenRelL2.maxAt,
      element: this.element,
      elementAt: this.elementAt,
      slope: this.xx > 0 ? this.xe / this.xx : Number.NaN,
      rows: this.rows,
      samples: this.samples,
      channels: this.sums?.channels(this.rows) ?? null,
    };
  }
}

/** The sums over rows that make {@link OwnChannels}. */
class ChannelSums {
  private readonly width: number;
  /** Σe, Σe², Σze and Σz² of each channel, one after the other. */
  private readonly sums: Float64Array;

  constructor(width: number) {
    this.width = width;
    this.sums = new Float64Array(CHANNEL_SUMS * width);
  }

  /** Adds the sums of a job, which begin at `from`. */
  add(numbers: Float64Array, from: number): void {
    const { sums } = this;
    for (let i = 0; i < sums.length; i += 1) {
      sums[i] = (sums[i] as number) + (numbers[from + i] as number);
    }
  }

  channels(rows: number): OwnChannels {
    const { sums, width } = this;
    const [e, ee, ze, zz] = Array.from({ length: CHANNEL_SUMS }, (_, i) =>
      sums.subarray(i * width, (i + 1) * width),
    ) as [Float64Array, Float64Array, Float64Array, Float64Array];
    return {
      mean: e.map((sum) => sum / rows),
      rms: ee.map((sum) => Math.sqrt(sum / rows)),
      gain: ze.map((sum, j) => ((zz[j] as number) > 0 ? sum / (zz[j] as number) : 0)),
      size: zz.map((sum) => Math.sqrt(sum / rows)),
    };
  }
}
