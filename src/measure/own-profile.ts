/**
 * The shape of an own error, a tensor beside its forced reference: its rows, its
 * samples and its channels, gathered while the tensor streams by.
 */

import type { TokenAt } from "../core/result.ts";
import type { RowObserver, TensorFigures } from "./measure-tensor.ts";
import { ONE_STORE } from "./row-figures.ts";
import { SEGMENT_ELEMENTS } from "./segments.ts";

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

/** Gathers an {@link OwnProfile}; memory is bounded by the width of a row and the number of samples. */
export class OwnMeter implements RowObserver {
  private readonly least: number;
  private readonly width: number;
  private readonly sums: ChannelSums | null;
  private readonly samples: OwnSample[] = [];
  private at: { readonly sample: number; readonly step: number } = { sample: 0, step: 0 };
  private rowXX = 0;
  private rowDD = 0;
  private rowXD = 0;
  private rowMax = 0;
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
    this.least = ONE_STORE * u;
    this.width = width;
    this.sums = width > 1 && width <= SEGMENT_ELEMENTS ? new ChannelSums(width) : null;
  }

  startPair({ sample, step }: { readonly sample: number; readonly step: number }): void {
    this.at = { sample, step };
  }

  columns(
    values: readonly Float64Array[],
    start: number,
    length: number,
    row: number,
    column: number,
  ): void {
    const [x, y] = values as readonly [Float64Array, Float64Array];
    let { rowXX, rowDD, rowXD, rowMax } = this;
    for (let i = start; i < start + length; i += 1) {
      const a = x[i] as number;
      const d = (y[i] as number) - a;
      // Infinite on both sides, or no number on both: no part of the error.
      if (!Number.isFinite(d)) continue;
      rowXX += a * a;
      rowDD += d * d;
      rowXD += a * d;
      const size = Math.abs(d);
      if (size > rowMax) rowMax = size;
    }
    Object.assign(this, { rowXX, rowDD, rowXD, rowMax });
    if (column + length !== this.width) return;
    this.finishRow(row, x, y, start);
  }

  endRow(): void {
    // A row ends with its last piece.
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

  private finishRow(token: number, x: Float64Array, y: Float64Array, start: number): void {
    const { rowXX, rowDD, rowXD, rowMax } = this;
    Object.assign(this, { rowXX: 0, rowDD: 0, rowXD: 0, rowMax: 0 });
    const norm = Math.sqrt(rowXX);
    const rho = Math.sqrt(rowDD) / norm;
    if (!Number.isFinite(rho) || norm === 0) return;
    const size = Math.max(rho, this.least);
    const weight = 1 / (norm * size);
    if (!Number.isFinite(weight)) return;
    this.rows += 1;
    const log = Math.log(size);
    this.logSum += log;
    this.sampleLogSum += log;
    this.sampleRows += 1;
    if (rowMax / norm > this.element) {
      this.element = rowMax / norm;
      this.elementAt = { ...this.at, token };
    }
    this.xe += weight * weight * rowXD;
    this.xx += weight * weight * rowXX;
    this.sums?.add(x, y, start, weight);
  }
}

/** The sums over rows that make {@link OwnChannels}. */
class ChannelSums {
  private readonly e: Float64Array;
  private readonly ee: Float64Array;
  private readonly ze: Float64Array;
  private readonly zz: Float64Array;

  constructor(width: number) {
    this.e = new Float64Array(width);
    this.ee = new Float64Array(width);
    this.ze = new Float64Array(width);
    this.zz = new Float64Array(width);
  }

  add(x: Float64Array, y: Float64Array, start: number, weight: number): void {
    const { e, ee, ze, zz } = this;
    for (let j = 0; j < e.length; j += 1) {
      const a = x[start + j] as number;
      const d = (y[start + j] as number) - a;
      if (!Number.isFinite(d)) continue;
      const error = weight * d;
      const value = weight * a;
      e[j] = (e[j] as number) + error;
      ee[j] = (ee[j] as number) + error * error;
      ze[j] = (ze[j] as number) + value * error;
      zz[j] = (zz[j] as number) + value * value;
    }
  }

  channels(rows: number): OwnChannels {
    const { e, ee, ze, zz } = this;
    return {
      mean: e.map((sum) => sum / rows),
      rms: ee.map((sum) => Math.sqrt(sum / rows)),
      gain: ze.map((sum, j) => ((zz[j] as number) > 0 ? sum / (zz[j] as number) : 0)),
      size: zz.map((sum) => Math.sqrt(sum / rows)),
    };
  }
}
