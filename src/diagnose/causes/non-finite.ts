import type { Specimen } from "../../measure/specimen.ts";
import type { Named } from "./cause.ts";

/** x holds NaN or infinities where r is finite. One element is enough. */
export function findNonFinite({ x, width, rows }: Specimen): Named | null {
  let [nan, infinite, affected] = [0, 0, 0];
  for (let row = 0; row < rows; row += 1) {
    const before = nan + infinite;
    for (const value of x.subarray(row * width, (row + 1) * width)) {
      if (Number.isNaN(value)) nan += 1;
      else if (!Number.isFinite(value)) infinite += 1;
    }
    if (nan + infinite > before) affected += 1;
  }
  return nan + infinite === 0 ? null : { confidence: 1, detail: { nan, infinite, affected, rows } };
}
