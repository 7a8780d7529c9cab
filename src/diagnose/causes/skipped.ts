import type { Cause } from "./cause.ts";

/** x is zero throughout where r is not: the module did not run, or its output was never added. */
export const skipped: Cause = {
  id: "cause/skipped",
  find({ specimen: { x, r, rows, width } }) {
    const silent = x.every((value) => value === 0) && r.some((value) => value !== 0);
    return silent ? { confidence: 1, detail: { rows, width } } : null;
  },
};
