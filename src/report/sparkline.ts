/** Curves of one line: a glyph a layer, on a logarithmic scale. */

const BLOCKS = "▁▂▃▄▅▆▇█";
const ASCII = "_.:-=+*#";

/** A value that the scale cannot hold: NaN or infinite. */
const BEYOND = "!";

/** One value a layer; null where nothing was measured. */
export type Curve = readonly (number | null)[];

/** The ends of a logarithmic scale. */
export interface Scale {
  readonly low: number;
  readonly high: number;
}

/** The scale that holds all positive finite values of the curves; null where there is none. */
export function commonScale(curves: readonly Curve[]): Scale | null {
  const values = curves.flat().filter(isOnScale);
  if (values.length === 0) return null;
  return { low: Math.min(...values), high: Math.max(...values) };
}

function isOnScale(value: number | null): value is number {
  return value !== null && value > 0 && Number.isFinite(value);
}

/**
 * `curve` in at most `columns` glyphs; a curve that is longer is cut into runs
 * of layers, each shown by its largest value.
 */
export function sparkline(curve: Curve, scale: Scale, columns: number, ascii: boolean): string {
  const glyphs = ascii ? ASCII : BLOCKS;
  const span = Math.log10(scale.high) - Math.log10(scale.low);
  return bin(curve, columns)
    .map((value) => {
      if (value === null) return " ";
      if (!Number.isFinite(value)) return BEYOND;
      if (value <= 0) return glyphs[0];
      const position = span === 0 ? 0.5 : (Math.log10(value) - Math.log10(scale.low)) / span;
      return glyphs[Math.round(position * (glyphs.length - 1))];
    })
    .join("");
}

/** Column in which layer `index` of `length` layers is shown. */
export function sparklineColumn(index: number, length: number, columns: number): number {
  return length <= columns ? index : Math.floor((index * columns) / length);
}

function bin(curve: Curve, columns: number): Curve {
  const bins: (number | null)[] = [];
  curve.forEach((value, index) => {
    const column = sparklineColumn(index, curve.length, columns);
    bins[column] = larger(bins[column] ?? null, value);
  });
  return bins;
}

function larger(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b);
}
