import type { Cause, Named } from "./cause.ts";
import type { Features } from "./features.ts";
import { isOfFewRows, OTHERS } from "./hot-rows.ts";

/** Neighbouring elements that are zero, or stale, together: by chance not even three are. */
const RUN = 8;

/** Share of the hot rows' error that lies in such elements. */
const EXPLAINED = 0.7;

/** Share of the rows that may be hit: where all are, whole channels are at fault. */
const MOST_ROWS = 0.9;

/** Share of the hot rows that hold such elements. */
const HIT = 0.8;

/** A block of columns holds so much of the hot rows' error, and at most half of the columns. */
const IN_A_BLOCK = 0.9;
const MOST_OF_COLUMNS = 0.5;

/** More rows than half say what a row is. */
const HALF = 0.5;

/** Within a block no few columns hold most: those would be massive channels. */
const FEW = 3;
const IN_FEW = 0.5;

/** Share of a row that may be hit: one that is stale throughout was duplicated, one that is zero throughout dropped. */
const MOST_OF_A_ROW = 0.95;

/**
 * Blocks of the output were never written: runs of exact zeros, or of the very
 * numbers of the row before, where r has others, hold the error; or in a few
 * rows one block of columns does, whatever stands there.
 */
export const unwritten: Cause = {
  id: "cause/unwritten",
  find: (features) => inRuns(features) ?? inColumns(features),
};

function inRuns(features: Features): Named | null {
  const { specimen, hot, hotShare, norms } = features;
  let [inBlocks, total, zeros, stale, affected] = [0, 0, 0, 0, 0];
  for (const row of hot) {
    const marks = unwrittenElements(features, row);
    const [x, r] = [features.rowOf("x", row), features.rowOf("r", row)];
    let [ofZeros, ofStale] = [0, 0];
    for (let i = 0; i < marks.length; i += 1) {
      const error = (((x[i] as number) - (r[i] as number)) / (norms[row] as number)) ** 2;
      total += error;
      if (marks[i] === 0) continue;
      inBlocks += error;
      if (marks[i] === ZERO) ofZeros += 1;
      else ofStale += 1;
    }
    if (ofStale > MOST_OF_A_ROW * marks.length) return null;
    if (ofZeros > MOST_OF_A_ROW * marks.length && isOfFewRows(features)) return null;
    if (ofZeros + ofStale > 0) affected += 1;
    zeros += ofZeros;
    stale += ofStale;
  }
  if (affected === 0 || affected < HIT * hot.length || hotShare > MOST_ROWS) return null;
  if (!(inBlocks > EXPLAINED * total)) return null;
  const rows = specimen.errors.length;
  return {
    confidence: 0.95,
    detail: {
      elements: zeros + stale,
      kind: zeros >= stale ? "zero" : "stale",
      affected: Math.round(hotShare * rows),
      rows,
    },
  };
}

/** A few rows hold something foreign in one block of columns. */
function inColumns(features: Features): Named | null {
  const { specimen, hot, norms, hotShare, coldMedian, floorMedian } = features;
  const { width } = specimen;
  if (hot.length === 0 || hotShare > HALF || width < 2 * RUN) return null;
  if (!(coldMedian < OTHERS * floorMedian)) return null;
  const energies = new Float64Array(width);
  for (const row of hot) {
    const [x, r] = [features.rowOf("x", row), features.rowOf("r", row)];
    for (let i = 0; i < width; i += 1) {
      const error = ((x[i] as number) - (r[i] as number)) / (norms[row] as number);
      energies[i] = (energies[i] as number) + error * error;
    }
  }
  const total = energies.reduce((sum, energy) => sum + energy, 0);
  const columns = narrowest(energies, IN_A_BLOCK * total);
  const [...largest] = energies.toSorted().subarray(-FEW);
  const inFew = largest.reduce((sum, energy) => sum + energy, 0) / total;
  if (columns < RUN || columns > MOST_OF_COLUMNS * width || !(inFew < IN_FEW)) return null;
  const { length: rows } = specimen.errors;
  const affected = Math.round(hotShare * rows);
  return {
    confidence: 0.8,
    detail: { elements: columns * hot.length, kind: "foreign", affected, rows },
  };
}

/** Length of the shortest run of `energies` that holds `least`. */
function narrowest(energies: Float64Array, least: number): number {
  let best = energies.length;
  let [start, sum] = [0, 0];
  for (const [end, energy] of energies.entries()) {
    sum += energy;
    while (sum - (energies[start] as number) >= least) {
      sum -= energies[start] as number;
      start += 1;
    }
    if (sum >= least) best = Math.min(best, end - start + 1);
  }
  return best;
}

const ZERO = 1;
const STALE = 2;

/** Marks the elements of `row` that stand in a run of zeros, or of the row before's values, where r has others. */
function unwrittenElements(features: Features, row: number): Uint8Array {
  const { width } = features.specimen;
  const [x, r] = [features.rowOf("x", row), features.rowOf("r", row)];
  const before = features.neighbour(row, 1);
  const old = before === null ? null : features.rowOf("x", before);
  const meant = before === null ? null : features.rowOf("r", before);
  const marks = new Uint8Array(width);
  let [start, kind] = [0, 0];
  const end = (at: number): void => {
    if (kind !== 0 && at - start >= Math.min(RUN, width)) marks.fill(kind, start, at);
  };
  for (let i = 0; i < width; i += 1) {
    let here = 0;
    if (x[i] === 0) here = r[i] === 0 ? 0 : ZERO;
    else if (old !== null && meant !== null && x[i] === old[i] && r[i] !== meant[i]) here = STALE;
    if (here === kind) continue;
    end(i);
    [start, kind] = [i, here];
  }
  end(width);
  return marks;
}
