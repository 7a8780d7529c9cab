import type { Features } from "./features.ts";

/** Share of the rows that may be hot for the error to be one of single rows (method study: 10 %). */
const MOST_ROWS = 0.1;

/** A tensor of few rows has few hot ones too. */
const FEW_ROWS = 2;

/** The other rows are as good as the floor's: their median over the floor's. */
export const OTHERS = 1.5;

/** Whether the error lies in a few rows, and the others are as a correct engine's. */
export function isOfFewRows({
  specimen,
  hot,
  hotShare,
  coldMedian,
  floorMedian,
}: Features): boolean {
  const { length: rows } = specimen.errors;
  const few = hotShare <= Math.max(MOST_ROWS, FEW_ROWS / rows);
  return hot.length > 0 && few && hotShare < 0.5 && coldMedian < OTHERS * floorMedian;
}

/**
 * Of the error of row `row`, the share in its `count` largest elements, and
 * their columns.
 */
export function largestElements(
  features: Features,
  row: number,
  count: number,
): { readonly share: number; readonly columns: readonly number[] } {
  const [x, r] = [features.rowOf("x", row), features.rowOf("r", row)];
  const errors = x.map((value, i) => (value - (r[i] as number)) ** 2);
  const total = errors.reduce((sum, error) => sum + error, 0);
  const columns: number[] = [];
  for (let found = 0; found < Math.min(count, errors.length); found += 1) {
    const next = errors.reduce(
      (best, error, i) =>
        !columns.includes(i) && (best === -1 || error > (errors[best] as number)) ? i : best,
      -1,
    );
    columns.push(next);
  }
  const largest = columns.reduce((sum, column) => sum + (errors[column] as number), 0);
  return { share: total === 0 ? 0 : largest / total, columns };
}
