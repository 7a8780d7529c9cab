/** What every report of one tensor in depth shows alike. */

import type { UlpHistogram } from "../../core/depth.ts";

/** A bucket with its label. */
interface UlpRow {
  readonly label: string;
  readonly elements: number;
}

/** The buckets from 0 to the last that holds anything, then what is beyond all and what differs in kind. */
export function ulpRows(
  { buckets, beyond, nonFinite }: UlpHistogram,
  { ascii, nonFinite: label }: { readonly ascii: boolean; readonly nonFinite: string },
): readonly UlpRow[] {
  const last =
    beyond > 0 ? buckets.length - 1 : buckets.findLastIndex(({ elements }) => elements > 0);
  const most = buckets.at(-1)?.upTo ?? 0;
  const atMost = ascii ? "<= " : "≤ ";
  const half = ascii ? "1/2" : "½";
  return [
    ...buckets.slice(0, last + 1).map(({ upTo, elements }) => ({
      label: upTo === 0 ? "0" : atMost + (upTo === 0.5 ? half : String(upTo)),
      elements,
    })),
    ...(beyond > 0 ? [{ label: `> ${most}`, elements: beyond }] : []),
    ...(nonFinite > 0 ? [{ label, elements: nonFinite }] : []),
  ];
}

/** A value of a tensor, without trailing zeros. */
export function valueText(value: number, digits = 6): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return String(Number(value.toPrecision(digits)));
}
