/** Logarithmic axes of the drawings. */

/** A logarithmic scale between two powers of ten, drawn from `from` to `to`. */
export interface LogScale {
  /** Powers of ten on the axis, ascending, at most nine of them. */
  readonly ticks: readonly number[];
  /** Where a value is drawn; what is not positive lies at the low end, what is infinite or NaN at the high one. */
  at(value: number): number;
}

/** Ticks that an axis has room for. */
const MOST_TICKS = 8;

/**
 * The scale that holds all positive finite `values`; null where there is none.
 *
 * @param from where the low end is drawn
 * @param to where the high end is drawn
 */
export function logScale(
  values: readonly (number | null)[],
  from: number,
  to: number,
): LogScale | null {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value === null || !(value > 0) || !Number.isFinite(value)) continue;
    const log = Math.log10(value);
    least = Math.min(least, log);
    most = Math.max(most, log);
  }
  if (least > most) return null;
  const low = Math.floor(least - 0.05);
  const high = Math.max(low + 1, Math.ceil(most + 0.05));
  const step = Math.ceil((high - low) / MOST_TICKS);
  const ticks: number[] = [];
  for (let power = low; power <= high; power += step) ticks.push(power);
  return {
    ticks,
    at(value) {
      if (Number.isNaN(value) || value === Number.POSITIVE_INFINITY) return to;
      if (!(value > 0)) return from;
      const share = (Math.log10(value) - low) / (high - low);
      return from + (to - from) * Math.min(1, Math.max(0, share));
    },
  };
}

/** A coordinate: a tenth of a pixel is enough. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** `10⁻³`. */
export function powerOfTen(power: number): string {
  const digits = Array.from(String(Math.abs(power)), (digit) => SUPERSCRIPTS[Number(digit)] ?? "");
  return `10${power < 0 ? "⁻" : ""}${digits.join("")}`;
}
