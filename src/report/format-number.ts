/** Numbers as a reader of precision reports expects them. */

import type { RuleUnit } from "../judge/rules.ts";

/** A word for what is no finite number; null for finite ones. */
function notFinite(value: number): string | null {
  if (Number.isNaN(value)) return "NaN";
  if (value === Number.POSITIVE_INFINITY) return "inf";
  return value === Number.NEGATIVE_INFINITY ? "-inf" : null;
}

/** An error of any magnitude: two significant digits in e notation. */
export function formatError(value: number): string {
  return notFinite(value) ?? (value === 0 ? "0" : value.toExponential(1));
}

/** Six decimals. */
export function formatCosine(value: number): string {
  return notFinite(value) ?? value.toFixed(6);
}

/** Three significant digits. */
export function formatRatio(value: number): string {
  const fallback = notFinite(value);
  if (fallback !== null) return fallback;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.01) return value.toExponential(1);
  if (size < 9.995) return value.toFixed(2);
  if (size < 99.95) return value.toFixed(1);
  return size < 9999.5 ? value.toFixed(0) : value.toExponential(1);
}

/** A share of 1 in per cent; 100 % only where it is 1. */
export function formatShare(value: number): string {
  const fallback = notFinite(value);
  if (fallback !== null) return fallback;
  for (const digits of [1, 2, 3]) {
    const text = (100 * value).toFixed(digits);
    if (value >= 1 || Number(text) < 100) return `${text} %`;
  }
  return "99.999 %";
}

/** A relative change in per cent, with its sign. */
export function formatChange(value: number): string {
  const fallback = notFinite(value);
  if (fallback !== null) return fallback;
  const percent = 100 * value;
  const size = Math.abs(percent);
  const text =
    size === 0
      ? "0.0"
      : size >= 1
        ? percent.toFixed(1)
        : size >= 0.01
          ? percent.toFixed(2)
          : size >= 1e-6
            ? percent.toFixed(1 - Math.floor(Math.log10(size)))
            : percent.toExponential(1);
  return `${percent > 0 ? "+" : ""}${text} %`;
}

/** Three significant digits, without trailing zeros. */
export function formatPlain(value: number): string {
  return notFinite(value) ?? String(Number(value.toPrecision(3)));
}

/** A perplexity with so many decimals. */
export function formatPerplexity(value: number, decimals: number): string {
  return notFinite(value) ?? (value < 1e6 ? value.toFixed(decimals) : value.toExponential(3));
}

export function formatCount(value: number): string {
  return notFinite(value) ?? String(Math.round(value * 100) / 100);
}

/** Bytes in decimal units, as disks and networks are labelled. */
export function formatBytes(bytes: number): string {
  const units = ["kB", "MB", "GB", "TB"] as const;
  let value = bytes;
  let unit = "B";
  for (const larger of units) {
    if (value < 999.5) break;
    value /= 1000;
    unit = larger;
  }
  return `${unit === "B" || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
}

const FORMATTERS: Readonly<Record<RuleUnit, (value: number) => string>> = {
  ratio: formatRatio,
  relative: formatError,
  cosine: formatCosine,
  share: formatShare,
  change: formatChange,
  nats: formatPlain,
  count: formatCount,
  absolute: formatPlain,
  z: formatRatio,
};

/** `value` in a rule's unit. */
export function formatUnit(unit: RuleUnit, value: number): string {
  return FORMATTERS[unit](value);
}

/**
 * A value and its limit in a rule's unit, with more digits where rounding would
 * make them look equal: a reader must see which of the two is larger.
 */
export function formatAgainst(
  unit: RuleUnit,
  value: number,
  limit: number,
): readonly [value: string, limit: string] {
  const short = [formatUnit(unit, value), formatUnit(unit, limit)] as const;
  if (short[0] !== short[1] || value === limit || Number.isNaN(value)) return short;
  const scale = unit === "share" || unit === "change" ? 100 : 1;
  const suffix = scale === 100 ? " %" : "";
  for (let digits = 4; digits <= 17; digits += 1) {
    const a = (scale * value).toPrecision(digits);
    const b = (scale * limit).toPrecision(digits);
    if (a !== b) return [`${Number(a)}${suffix}`, `${Number(b)}${suffix}`];
  }
  return short;
}
