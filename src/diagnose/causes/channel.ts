import { quantileOf } from "../../core/distribution.ts";
import type { Cause } from "./cause.ts";
import type { Features } from "./features.ts";

/** Channels that may be at fault: so many, or this share of them. */
const MOST_CHANNELS = 16;
const MOST_SHARE = 0.05;

/** Energy of a channel's error over the median channel's (method study). */
const OUTSTANDING = 20;

/** Share of the error beyond the floor's that they hold together (method study). */
const EXPLAINED = 0.8;

/** The same of all the error: where the floor's is most of it, the rest is chance. */
const LEAST_OF_ALL = 0.3;

/** What further channels, of those that stand out, may hold beside them. */
const LEFT = 0.05;

/** Without them the rows are as good as the floor's: the 90th percentile of their errors over the floor's 99th. */
const OTHERS = 1.5;

/** Or they hold next to all of it: the others' error over the whole. */
const OTHERS_OF_ALL = 0.1;

/** Channels that lie side by side may be more, up to this share: a shard, a tile. */
const MOST_OF_A_BLOCK = 0.5;

/** Channels and rows below which few and many are not told apart. */
const LEAST_WIDTH = 16;
const LEAST_ROWS = 2;

/** The error lies in a few channels of every row. */
export const channel: Cause = {
  id: "cause/channel",
  find(features) {
    const { channelEnergies: energies, energy, excess, floorQ99, median, specimen } = features;
    const { width, rows } = specimen;
    if (!features.isBroad || width < LEAST_WIDTH || rows < LEAST_ROWS) return null;
    const limit = OUTSTANDING * quantileOf(energies, 0.5);
    const outstanding = Array.from(energies.keys())
      .filter((one) => (energies[one] as number) > limit)
      .sort((a, b) => (energies[b] as number) - (energies[a] as number));
    const held = (channels: readonly number[]): number =>
      channels.reduce((sum, one) => sum + (energies[one] as number), 0) / energy / excess;
    // A massive channel stands out by the floor's error alone, and holds little.
    const most = isBlock(outstanding)
      ? Math.floor(MOST_OF_A_BLOCK * width)
      : Math.floor(Math.min(width / 4, Math.max(MOST_CHANNELS, MOST_SHARE * width)));
    const channels = outstanding.slice(0, most);
    const share = held(channels);
    if (share * excess < LEAST_OF_ALL || share < EXPLAINED) return null;
    if (held(outstanding) - share > LEFT) return null;
    const rest = errorWithout(features, new Set(outstanding));
    if (!(rest < OTHERS * floorQ99) && !(rest < OTHERS_OF_ALL * median)) return null;
    const [first = 0] = channels;
    return {
      confidence: 0.95,
      detail: {
        channels: channels.length,
        width,
        share: Math.min(1, share),
        first,
        gain: gainOf(features, channels),
      },
    };
  },
};

/** Whether channels lie side by side without a gap. */
function isBlock(channels: readonly number[]): boolean {
  return Math.max(...channels) - Math.min(...channels) === channels.length - 1;
}

/** 90th percentile over the rows of ‖x_t − r_t‖ / ‖r_t‖, those channels left out of the error. */
function errorWithout({ specimen, norms }: Features, left: ReadonlySet<number>): number {
  const { x, r, width } = specimen;
  const errors = norms.map((norm, row) => {
    let sum = 0;
    for (let column = 0, i = row * width; column < width; column += 1, i += 1) {
      if (!left.has(column)) sum += ((x[i] as number) - (r[i] as number)) ** 2;
    }
    return sum === 0 ? 0 : Math.sqrt(sum) / norm;
  });
  return quantileOf(errors, 0.9);
}

/** Slope of x on r over those channels: 0 where they are zero, −1 where their sign is turned. */
function gainOf({ specimen }: Features, channels: readonly number[]): number {
  const { x, r, rows, width } = specimen;
  let [product, size] = [0, 0];
  for (let row = 0; row < rows; row += 1) {
    for (const column of channels) {
      const known = r[row * width + column] as number;
      product += known * (x[row * width + column] as number);
      size += known * known;
    }
  }
  return size === 0 ? 0 : product / size;
}
