import { DTYPES } from "../../core/dtype.ts";
import type { Cause } from "./cause.ts";

/** Elements at the largest value: two may be equal by chance. */
const LEAST_ELEMENTS = 3;

/** Of those, the share whose r lies beyond it. */
const BEYOND = 0.5;

/** How far beyond: more than any rounding brings back. */
const DISTANCE = 1.01;
const DISTANCE_ULPS = 16;

/** Share of the error that lies in the clamped elements. */
const EXPLAINED = 0.5;

/** Many elements stand at ±max|x|, and r lies beyond: the output was clamped. */
export const saturation: Cause = {
  id: "cause/saturation",
  find({ specimen }) {
    const { x, r, dtype } = specimen;
    const largest = x.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const distance = Math.max(DISTANCE, 1 + DISTANCE_ULPS * DTYPES[dtype].u);
    let [at, beyond, clamped, total] = [0, 0, 0, 0];
    for (let i = 0; i < x.length; i += 1) {
      const [value, known] = [x[i] as number, r[i] as number];
      const error = (value - known) ** 2;
      total += error;
      if (Math.abs(value) !== largest) continue;
      at += 1;
      if (known / value <= distance) continue;
      beyond += 1;
      clamped += error;
    }
    if (largest === 0 || at < LEAST_ELEMENTS || beyond <= BEYOND * at) return null;
    if (!(clamped > EXPLAINED * total)) return null;
    const isLimit = largest === DTYPES[dtype].maxFinite;
    return {
      confidence: isLimit ? 0.99 : 0.9,
      detail: { elements: at, largest, columns: columnsOf(specimen, largest) },
    };
  },
};

function columnsOf({ x, width }: { x: Float64Array; width: number }, largest: number): number {
  const columns = new Set<number>();
  for (let i = 0; i < x.length; i += 1) {
    if (Math.abs(x[i] as number) === largest) columns.add(i % width);
  }
  return columns.size;
}
