/** How much more data a decision takes. */

/** More data than there is: beyond it the limit counts as the value itself. */
const MOST = 2 ** 40;

/** Halvings of the step between two powers of two: three digits. */
const HALVINGS = 10;

/**
 * How many times as much data leaves `limit` outside an interval that shrinks with
 * more of it.
 *
 * @param interval the interval for so many times the data, if what comes is like what is there
 * @returns ∞ where no amount of data does.
 */
export function timesToDecide(
  interval: (times: number) => readonly [number, number],
  limit: number,
): number {
  const decides = (times: number): boolean => {
    const [low, high] = interval(times);
    return limit < low || limit > high;
  };
  let enough = 1;
  while (!decides(enough)) {
    enough *= 2;
    if (enough > MOST) return Number.POSITIVE_INFINITY;
  }
  if (enough === 1) return 1;
  let short = enough / 2;
  for (let step = 0; step < HALVINGS; step += 1) {
    const middle = (short + enough) / 2;
    if (decides(middle)) enough = middle;
    else short = middle;
  }
  return enough;
}
