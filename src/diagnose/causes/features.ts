/** What the causes look at: a specimen's errors, weighed so that no row outweighs the others. */

import { quantileOf } from "../../core/distribution.ts";
import { DTYPES } from "../../core/dtype.ts";
import type { Specimen } from "../../measure/specimen.ts";
import { type Spectrum, spectrumOf } from "./spectrum.ts";

/**
 * Median own error of a correct engine in units of u where no floor says it:
 * between 0.8 and 5.7 in all kinds of modules (method study, SmolLM2 in bf16).
 */
const ASSUMED_MEDIAN = 3;
const ASSUMED_Q99 = 9;

/** The share of the error that is more than the floor's is taken for at least this. */
const LEAST_EXCESS = 0.05;

/** What is wrong in every row is more than the floor's error in most: its share beyond it is at least this. */
const BROAD = 0.1;

/** A row is hot where its error is so many times the floor's 99th percentile. */
const HOT = 3;

/** The part of the error that is proportional to r. */
export interface Gain {
  /** x ≈ (1 + a)·r. */
  readonly a: number;
  /** Correlation of the error with r, −1 … 1. */
  readonly rho: number;
}

/**
 * Figures of a specimen whose x is finite.
 *
 * Rows are weighed by w_t = min(1, median(ρ) / ρ_t) / ‖r_t‖: X = w·r, E = w·(x − r).
 * A row whose r is zero has no weight. Sums are float64; what a figure is made
 * of is computed when it is first asked for.
 */
export class Features {
  readonly specimen: Specimen;
  /** Median of ρ over all rows of the tensor. */
  readonly median: number;
  /** The floor's median and 99th percentile, or what stands for them. */
  readonly floorMedian: number;
  readonly floorQ99: number;
  /** Share of the error's energy beyond the floor's, 0.05 … 1. */
  readonly excess: number;
  /** Share of all rows that are hot, and the median error of the others. */
  readonly hotShare: number;
  readonly coldMedian: number;
  /** Rows held that are hot. */
  readonly hot: readonly number[];
  /** ‖r_t‖ and w_t of each row held. */
  readonly norms: Float64Array;
  readonly weights: Float64Array;
  private energies: Float64Array | null = null;
  private gainFigures: Gain | null = null;
  private spectrumFigures: { readonly spectrum: Spectrum | null } | null = null;

  constructor(specimen: Specimen) {
    const { errors, floor, dtype } = specimen;
    const u = DTYPES[dtype].u;
    this.specimen = specimen;
    this.median = quantileOf(errors, 0.5);
    this.floorMedian = floor?.median ?? ASSUMED_MEDIAN * u;
    this.floorQ99 = floor?.q99 ?? ASSUMED_Q99 * u;
    this.excess = Math.max(LEAST_EXCESS, 1 - (this.floorMedian / this.median) ** 2 || 0);
    const limit = HOT * Math.max(this.floorQ99, this.floorMedian);
    const cold = errors.filter((error) => error <= limit);
    this.hotShare = 1 - cold.length / errors.length;
    this.coldMedian = quantileOf(cold, 0.5);
    const held = Array.from({ length: specimen.rows }, (_, row) => this.errorOf(row));
    this.hot = held.flatMap((error, row) => (error > limit ? [row] : []));
    this.norms = Float64Array.from(held, (_, row) =>
      Math.sqrt(this.rowOf("r", row).reduce((sum, value) => sum + value * value, 0)),
    );
    this.weights = Float64Array.from(held, (error, row) => {
      const weight = (error > this.median ? this.median / error : 1) / (this.norms[row] as number);
      // Rows of zeros, and rows whose squares leave float64's range, say nothing.
      return Number.isFinite(weight) ? weight : 0;
    });
  }

  /** Calls `visit` for every element held: its row, column, X and E. */
  each(visit: (row: number, column: number, x: number, error: number) => void): void {
    const { rows, width, x, r } = this.specimen;
    for (let row = 0; row < rows; row += 1) {
      const weight = this.weights[row] as number;
      if (weight === 0) continue;
      for (let column = 0, i = row * width; column < width; column += 1, i += 1) {
        const known = r[i] as number;
        visit(row, column, weight * known, weight * ((x[i] as number) - known));
      }
    }
  }

  /** Σ_t E_tj² of each column. */
  get channelEnergies(): Float64Array {
    if (this.energies === null) {
      const energies = new Float64Array(this.specimen.width);
      this.each((_row, column, _x, error) => {
        energies[column] = (energies[column] as number) + error * error;
      });
      this.energies = energies;
    }
    return this.energies;
  }

  /** Whether the error of most rows is beyond the floor's: of a smaller one no share can be told. */
  get isBroad(): boolean {
    return this.excess > BROAD && this.energy > 0;
  }

  get spectrum(): Spectrum | null {
    this.spectrumFigures ??= { spectrum: spectrumOf(this) };
    return this.spectrumFigures.spectrum;
  }

  /** ‖E‖². */
  get energy(): number {
    return this.channelEnergies.reduce((sum, energy) => sum + energy, 0);
  }

  get gain(): Gain {
    if (this.gainFigures === null) {
      let [product, size] = [0, 0];
      this.each((_row, _column, x, error) => {
        product += x * error;
        size += x * x;
      });
      this.gainFigures = {
        a: size === 0 ? 0 : product / size,
        rho: product === 0 ? 0 : product / Math.sqrt(size * this.energy),
      };
    }
    return this.gainFigures;
  }

  /** The values of row `row` of one side. */
  rowOf(side: "x" | "r", row: number): Float64Array {
    const { width } = this.specimen;
    return this.specimen[side].subarray(row * width, (row + 1) * width);
  }

  /** The row held that lies `lag` places before `row` in the same sample (behind it where negative); null where none is held. */
  neighbour(row: number, lag: number): number | null {
    const { at } = this.specimen;
    const [here, there] = [at[row], at[row - lag]];
    if (here === undefined || here.sample !== there?.sample) return null;
    return here.step + here.token - lag === there.step + there.token ? row - lag : null;
  }

  /** ρ_t of a row held, over the columns held. */
  private errorOf(row: number): number {
    const [x, r] = [this.rowOf("x", row), this.rowOf("r", row)];
    let [error, size] = [0, 0];
    for (let i = 0; i < x.length; i += 1) {
      const known = r[i] as number;
      error += ((x[i] as number) - known) ** 2;
      size += known * known;
    }
    return error === 0 ? 0 : Math.sqrt(error / size);
  }
}

/** ⟨a,b⟩ / (‖a‖‖b‖), 0 where either is zero. */
export function cosine(a: Float64Array, b: Float64Array): number {
  let [product, ofA, ofB] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    const [left, right] = [a[i] as number, b[i] as number];
    product += left * right;
    ofA += left * left;
    ofB += right * right;
  }
  return product === 0 ? 0 : product / Math.sqrt(ofA * ofB);
}
