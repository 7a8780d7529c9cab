import type { Cause } from "./cause.ts";

/** Share of the error beyond the floor's that a gain a channel explains: 0.94 and more where it is the cause, at most 0.84 elsewhere. */
const LEAST_SHARE = 0.88;

/** A gain a channel fitted to n rows of chance explains 1/n of them. */
const LEAST_ROWS = 12;

/** Every channel has a gain of its own: a norm's weight, a scale of quantisation. */
export const channelGain: Cause = {
  id: "cause/channel-gain",
  find(features) {
    const { rows, width } = features.specimen;
    if (!features.isBroad || rows < LEAST_ROWS || width < 2) return null;
    const products = new Float64Array(width);
    const sizes = new Float64Array(width);
    features.each((_row, column, x, error) => {
      products[column] = (products[column] as number) + x * error;
      sizes[column] = (sizes[column] as number) + x * x;
    });
    let [explained, low, high] = [0, Number.POSITIVE_INFINITY, 0];
    for (let column = 0; column < width; column += 1) {
      const size = sizes[column] as number;
      if (size === 0) continue;
      const product = products[column] as number;
      explained += product ** 2 / size;
      low = Math.min(low, 1 + product / size);
      high = Math.max(high, 1 + product / size);
    }
    const share = (explained / features.energy - 1 / rows) / features.excess;
    return share > LEAST_SHARE
      ? { confidence: Math.min(0.9, share), detail: { share: Math.min(1, share), low, high } }
      : null;
  },
};
