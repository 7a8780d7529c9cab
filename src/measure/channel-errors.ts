/** Which channels of a tensor hold its error: sums down the columns. */

import type { HeadError, WorstChannel } from "../core/depth.ts";
import { Worst } from "./worst.ts";

/** Wider rows would make memory depend on the tensor. */
const MAX_WIDTH = 2 ** 20;

/**
 * Plain float64 sums of squares, which is enough for shares: values beyond 1e±150,
 * which only float64 tensors hold, overflow or vanish in them.
 */
export class ChannelErrors {
  private readonly dd: Float64Array;
  private readonly rr: Float64Array;
  private readonly finite: Float64Array;
  private readonly mismatched: Float64Array;

  private constructor(width: number) {
    this.dd = new Float64Array(width);
    this.rr = new Float64Array(width);
    this.finite = new Float64Array(width);
    this.mismatched = new Float64Array(width);
  }

  /** Null where a row is too wide. */
  static of(width: number): ChannelErrors | null {
    return width > MAX_WIDTH ? null : new ChannelErrors(width);
  }

  /** Adds a row's elements `column … column+columns`, which lie at `start` of both sides. */
  add(r: Float64Array, x: Float64Array, start: number, column: number, columns: number): void {
    const { dd, rr, finite, mismatched } = this;
    for (let i = 0; i < columns; i += 1) {
      const [known, value] = [r[start + i] as number, x[start + i] as number];
      const at = column + i;
      if (Number.isFinite(known) && Number.isFinite(value)) {
        const d = value - known;
        dd[at] = (dd[at] as number) + d * d;
        rr[at] = (rr[at] as number) + known * known;
        finite[at] = (finite[at] as number) + 1;
      } else if (!Object.is(known, value)) {
        mismatched[at] = (mismatched[at] as number) + 1;
      }
    }
  }

  /** The channels with the largest parts of the error. */
  worst(most: number): readonly WorstChannel[] {
    const worst = new Worst<WorstChannel>(most);
    const total = this.total();
    for (let channel = 0; channel < this.dd.length; channel += 1) {
      const figures = this.figures(channel, channel + 1, total);
      const size = figures.mismatched > 0 ? Number.POSITIVE_INFINITY : figures.share;
      if (size > worst.threshold) worst.add(size, { channel, ...figures });
    }
    return worst.items;
  }

  /** Of so many heads, each as wide as the others. */
  heads(count: number): readonly HeadError[] {
    const total = this.total();
    const size = this.dd.length / count;
    return Array.from({ length: count }, (_, head) => ({
      head,
      ...this.figures(head * size, (head + 1) * size, total),
    }));
  }

  private total(): number {
    return this.dd.reduce((sum, one) => sum + one, 0);
  }

  private figures(from: number, to: number, total: number): Omit<HeadError, "head"> {
    const sum = (of: Float64Array): number => of.subarray(from, to).reduce((a, b) => a + b, 0);
    const [dd, rr, finite, mismatched] = [this.dd, this.rr, this.finite, this.mismatched].map(
      sum,
    ) as [number, number, number, number];
    const relL2 = finite === 0 ? Number.NaN : dd === 0 ? 0 : Math.sqrt(dd / rr);
    return { share: total === 0 ? 0 : dd / total, relL2, mismatched };
  }
}
