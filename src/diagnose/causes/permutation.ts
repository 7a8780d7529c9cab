import type { Cause } from "./cause.ts";
import type { Features } from "./features.ts";

/** A permuted tensor is far off in nearly every row. */
const LEAST_ERROR = 0.2;

/** Rows without which one column of many is like another by chance: at a correlation of 0.95, 1e-11 with 24. */
const LEAST_ROWS = 24;

/** Columns of x that are looked for among all those of r. */
const COLUMNS = 48;

/** Correlation of a column with its partner. */
const LIKE = 0.95;

/** Share of the columns that are found, and that are found at home (method study). */
const FOUND = 0.8;
const AT_HOME = 0.5;

/** Products that the search may cost; rows are left out beyond. */
const MOST_WORK = 2 ** 29;

/** The channels of x are those of r in another order. */
export const permutation: Cause = {
  id: "cause/permutation",
  find(features) {
    const { specimen, median } = features;
    const { width } = specimen;
    const columns = Math.min(COLUMNS, width);
    const rows = Math.min(specimen.rows, Math.floor(MOST_WORK / (columns * width)));
    if (!(median > LEAST_ERROR) || width < 2 || rows < LEAST_ROWS) return null;
    const x = standardColumns(features, "x", rows);
    const r = standardColumns(features, "r", rows);
    const lags = new Map<number, number>();
    let [found, atHome] = [0, 0];
    for (let nth = 0; nth < columns; nth += 1) {
      const column = Math.floor((nth * width) / columns);
      const partner = likest(x, r, rows, width, column);
      if (partner === null) continue;
      found += 1;
      if (partner === column) atHome += 1;
      const lag = (column - partner + width) % width;
      lags.set(lag, (lags.get(lag) ?? 0) + 1);
    }
    if (found < FOUND * columns || atHome >= AT_HOME * columns) return null;
    const [lag, times] = [...lags].reduce((a, b) => (b[1] > a[1] ? b : a));
    const roll = times > FOUND * found ? lag : 0;
    return {
      confidence: 0.95,
      detail: { found: found / columns, atHome: atHome / columns, roll, width },
    };
  },
};

/** The column of r that correlates most with column `column` of x; null where none does. */
function likest(
  x: Float64Array,
  r: Float64Array,
  rows: number,
  width: number,
  column: number,
): number | null {
  const products = new Float64Array(width);
  for (let row = 0; row < rows; row += 1) {
    const value = x[row * width + column] as number;
    for (let other = 0, i = row * width; other < width; other += 1, i += 1) {
      products[other] = (products[other] as number) + value * (r[i] as number);
    }
  }
  let best = 0;
  for (let other = 1; other < width; other += 1) {
    if ((products[other] as number) > (products[best] as number)) best = other;
  }
  return (products[best] as number) > LIKE ? best : null;
}

/** Columns of the first `rows` rows, of mean 0 and norm 1; rows are of norm 1 first, so that no token outweighs the others. */
function standardColumns(
  { specimen, weights }: Features,
  side: "x" | "r",
  rows: number,
): Float64Array {
  const { width } = specimen;
  const values = specimen[side].slice(0, rows * width);
  const means = new Float64Array(width);
  const squares = new Float64Array(width);
  for (let i = 0; i < values.length; i += 1) {
    const value = (values[i] as number) * (weights[Math.floor(i / width)] as number);
    values[i] = value;
    means[i % width] = (means[i % width] as number) + value / rows;
  }
  for (let i = 0; i < values.length; i += 1) {
    const value = (values[i] as number) - (means[i % width] as number);
    values[i] = value;
    squares[i % width] = (squares[i % width] as number) + value * value;
  }
  for (let i = 0; i < values.length; i += 1) {
    const norm = Math.sqrt(squares[i % width] as number);
    values[i] = norm === 0 ? 0 : (values[i] as number) / norm;
  }
  return values;
}
