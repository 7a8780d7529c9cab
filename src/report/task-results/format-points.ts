/** Shares, points and probabilities of task results. */

/** A share of 1 in per cent, two decimals; more where rounding would make it all or nothing. */
export function formatPercent(share: number): string {
  const percent = 100 * share;
  for (let digits = 2; digits < 8; digits += 1) {
    const text = percent.toFixed(digits);
    const isWhole = Number(text) === 0 || Number(text) === 100;
    if (!isWhole || share === 0 || share === 1) return text;
  }
  return percent.toPrecision(3);
}

/** A difference of shares in points, with its sign and two decimals; more where those are all 0. */
export function formatPoints(difference: number, digits = 2): string {
  const points = 100 * difference;
  const short = points.toFixed(digits);
  const text = Number(short) === 0 && points !== 0 ? points.toPrecision(2) : short;
  if (Number(text) === 0) return (0).toFixed(digits);
  return points > 0 ? `+${text}` : text;
}

/** Points beside a limit, with as many decimals as show which of them is larger. */
export function pointsBeside(
  values: readonly number[],
  maxDrop: number,
): { readonly values: readonly string[]; readonly limit: string } {
  const differing = (digits: number): boolean =>
    values.every(
      (value) =>
        Math.abs(value + maxDrop) < 1e-12 ||
        (100 * value).toFixed(digits) !== (-100 * maxDrop).toFixed(digits),
    );
  const digits = [2, 3, 4, 5, 6, 8, 10].find(differing) ?? 12;
  return {
    values: values.map((value) => formatPoints(value, digits)),
    limit: (100 * maxDrop).toFixed(digits),
  };
}

/** A probability, three significant digits. */
export function formatP(p: number): string {
  if (p === 0) return "< 1e-300";
  return p < 1e-3 ? p.toExponential(1) : String(Number(p.toPrecision(3)));
}
