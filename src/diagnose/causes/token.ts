import type { Cause } from "./cause.ts";
import { cosine, type Features } from "./features.ts";
import { isOfFewRows } from "./hot-rows.ts";

/** A hot row this near to what its neighbour should be is a copy of it. */
const COPY = 0.98;

/** A few rows are wrong throughout, the others are as a correct engine's. */
export const token: Cause = {
  id: "cause/token",
  find(features) {
    if (!isOfFewRows(features)) return null;
    const { specimen, hot, hotShare } = features;
    const [worst = 0] = hot.toSorted((a, b) => errorOf(features, b) - errorOf(features, a));
    const at = specimen.at[worst];
    const copies = hot.filter((row) => isCopy(features, row)).length;
    return {
      confidence: copies === hot.length ? 0.95 : 0.8,
      detail: {
        affected: Math.round(hotShare * specimen.errors.length),
        rows: specimen.errors.length,
        copies,
        sample: at?.sample ?? 0,
        token: (at?.token ?? 0) + (at?.step ?? 0),
      },
    };
  },
};

function errorOf({ specimen, weights }: Features, row: number): number {
  // The weight of a hot row falls with its error.
  const weight = weights[row] ?? 0;
  return weight === 0 || specimen.rows === 0 ? 0 : 1 / weight;
}

function isCopy(features: Features, row: number): boolean {
  return [1, -1].some((lag) => {
    const other = features.neighbour(row, lag);
    if (other === null) return false;
    const [x, own, meant] = [
      features.rowOf("x", row),
      features.rowOf("r", row),
      features.rowOf("r", other),
    ];
    const near = cosine(x, meant);
    return near > COPY && near > cosine(x, own);
  });
}
