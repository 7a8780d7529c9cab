import type { Cause, Named } from "./cause.ts";
import type { Features } from "./features.ts";
import { largestElements, OTHERS } from "./hot-rows.ts";

/** Elements of a row that may be at fault, and the share of its error that they hold. */
const ELEMENTS = 3;
const OF_A_ROW = 0.8;

/** Share of the hot rows that look like that. */
const MOST_ROWS = 0.8;

/** Columns over hot rows: where the same ones are hit again and again, the channels are at fault. */
const COLUMNS_A_ROW = 0.5;

/** Elements that are zero though r is not, which no rounding makes: the least share (method study). */
const ZEROED = 3e-4;

/** Share of the error in the largest 2 % of the elements, with and without such zeros (method study). */
const LARGEST = 0.02;
const WITH_ZEROS = 0.25;
const ALONE = 0.7;

/** Elements that are sorted: more do not change the answer. */
const MOST_ELEMENTS = 2 ** 19;

/** Channels that hold most of the error are no single elements. */
const CHANNELS = 5;
const IN_CHANNELS = 0.5;

/** In some rows, a few elements each are wrong: flipped bits, a race. */
export const sparseInRows: Cause = { id: "cause/sparse", find: inRows };

/** Elements here and there are wrong: dropout left on, garbage. */
export const sparse: Cause = { id: "cause/sparse", find: inMany };

function inRows(features: Features): Named | null {
  const { hot, coldMedian, floorMedian, specimen } = features;
  if (hot.length === 0 || specimen.width < 4 * ELEMENTS) return null;
  if (!(coldMedian < OTHERS * floorMedian)) return null;
  const largest = hot.map((row) => largestElements(features, row, ELEMENTS));
  const single = largest.filter(({ share }) => share > OF_A_ROW);
  if (single.length < MOST_ROWS * largest.length) return null;
  const columns = new Set(single.map(({ columns: [first] }) => first));
  if (columns.size < COLUMNS_A_ROW * single.length) return null;
  const share = single.reduce((sum, one) => sum + one.share, 0) / single.length;
  return { confidence: 0.9, detail: { share, zeroed: zeroedShare(features), rows: hot.length } };
}

function inMany(features: Features): Named | null {
  const { rows, width } = features.specimen;
  if (rows * width < 1 / LARGEST) return null;
  const total = features.energy;
  const [...massive] = features.channelEnergies.toSorted().subarray(-CHANNELS);
  if (massive.reduce((sum, energy) => sum + energy, 0) > IN_CHANNELS * total) return null;
  const energies = energiesOfSome(features).sort();
  const from = energies.length - Math.ceil(LARGEST * energies.length);
  const share = sumOf(energies.subarray(from)) / sumOf(energies);
  const zeroed = zeroedShare(features);
  const limit = zeroed > ZEROED ? WITH_ZEROS : ALONE;
  if (!(share > limit)) return null;
  return { confidence: zeroed > ZEROED ? 0.85 : 0.75, detail: { share, zeroed, rows } };
}

/** E_tj² of an even spread of the rows. */
function energiesOfSome({ specimen, weights }: Features): Float64Array {
  const { x, r, rows, width } = specimen;
  const height = Math.min(rows, Math.ceil(MOST_ELEMENTS / width));
  const energies = new Float64Array(height * width);
  for (let nth = 0; nth < height; nth += 1) {
    const row = Math.floor((nth * rows) / height);
    for (let i = 0; i < width; i += 1) {
      const at = row * width + i;
      const error = (weights[row] as number) * ((x[at] as number) - (r[at] as number));
      energies[nth * width + i] = error * error;
    }
  }
  return energies;
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Share of the elements of x that are zero where r is not. */
function zeroedShare({ specimen: { x, r } }: Features): number {
  let zeroed = 0;
  for (let i = 0; i < x.length; i += 1) if (x[i] === 0 && r[i] !== 0) zeroed += 1;
  return zeroed / x.length;
}
