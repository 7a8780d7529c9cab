/** Rows of one tensor read once more, after it has been measured, for whoever looks at it closely. */

import type { Unit } from "../align/align.ts";
import { residualFactors } from "../align/residual.ts";
import { extentOf } from "../align/shapes.ts";
import type { Dump } from "../dump/dump.ts";
import { floatSource } from "./measure-tensor.ts";
import type { SegmentReader, Source } from "./segments.ts";

/** Rows whose errors are kept; what follows them is not looked at. */
const MAX_ROWS = 2 ** 20;

/** A unit with the two dumps that are compared in it. */
export interface Compared {
  readonly unit: Unit;
  readonly dump: Dump;
  readonly reference: Dump;
}

/** Sources of one pair: the reference, brought to the candidate's scale, and the candidate. */
export function sourcesOf(
  { unit, dump, reference }: Compared,
  pair: Unit["pairs"][number],
): readonly [Source, Source] {
  const [ofReference = 1, ofCandidate = 1] = residualFactors(
    [reference.run, dump.run],
    unit.role,
    unit.layer,
  );
  return [
    floatSource(reference, pair.reference, ofReference / ofCandidate),
    floatSource(dump, pair.candidate, 1),
  ];
}

/**
 * ρ_t = ‖x_t − r_t‖ / ‖r_t‖ of the first 2²⁰ rows of all pairs, in their order.
 * Elements whose r is no finite number are left out; infinite where x is none,
 * or r is zero and x is not.
 *
 * @throws NpuDiffError where a file cannot be read.
 */
export function rowErrors(compared: Compared, reader: SegmentReader): Float64Array {
  const all: number[] = [];
  for (const pair of compared.unit.pairs) {
    const extent = extentOf(pair.candidate.shape);
    const rows = Math.min(extent.rows, MAX_ROWS - all.length);
    let [error, size] = [0, 0];
    reader.walk(sourcesOf(compared, pair), rows, extent.width, (segment) => {
      const [r, x] = segment.values as readonly [Float64Array, Float64Array];
      const { columns, column } = segment;
      for (let row = 0; row < segment.rows; row += 1) {
        for (let i = row * columns; i < (row + 1) * columns; i += 1) {
          const known = r[i] as number;
          if (!Number.isFinite(known)) continue;
          const difference = (x[i] as number) - known;
          error += difference * difference;
          size += known * known;
        }
        if (column + columns < extent.width) continue;
        all.push(relative(error, size));
        [error, size] = [0, 0];
      }
    });
  }
  return Float64Array.from(all);
}

/** √(error / size); infinite where that is no number, 0 where there is no error. */
function relative(error: number, size: number): number {
  if (error === 0) return 0;
  const rho = Math.sqrt(error / size);
  return Number.isNaN(rho) ? Number.POSITIVE_INFINITY : rho;
}
