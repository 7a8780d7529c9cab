/** The modules' own errors, under forced references, as the human reports show them. */

import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { formatRatio } from "./format-number.ts";
import { worst } from "./layer-rows.ts";
import type { Messages } from "./messages/index.ts";
import { sentenceName } from "./tensor-label.ts";

/** What an own error is measured in: the floor's own error, or the unit of the number format. */
export type OwnScale = "floor" | "unit";

/** How the own errors of a comparison are shown; null where none was measured. */
export function ownScale(tensors: readonly TensorResult[]): OwnScale | null {
  if (tensors.every(({ own }) => own === null)) return null;
  return tensors.some(({ own }) => own !== null && own.gmOverFloor !== null) ? "floor" : "unit";
}

/** An own error on that scale: null where it is not known, NaN where it is no number. */
export function ownSize({ own }: TensorResult, scale: OwnScale): number | null {
  if (own === null) return null;
  if (own.gm === null) return Number.NaN;
  return scale === "floor" ? own.gmOverFloor : own.u;
}

/** The own error of the origin, the largest one, and how many are not known; no lines where none was measured. */
export function ownLines(result: ComparisonResult, m: Messages): readonly string[] {
  const { tensors, origin } = result;
  const scale = ownScale(tensors);
  if (scale === null) return [];
  const known = (tensor: TensorResult): number | null => {
    const size = ownSize(tensor, scale);
    return size === null || Number.isNaN(size) ? null : size;
  };
  const shown = (size: number): string =>
    scale === "floor" ? m.own.overFloor(formatRatio(size)) : m.own.units(formatRatio(size));
  const largest = worst(tensors.map(known));
  const at = tensors.find((tensor) => known(tensor) === largest);
  const ofOrigin = tensors.find(
    ({ name, step }) => name === origin?.tensor && step === origin.step,
  );
  const ownOfOrigin = ofOrigin === undefined ? null : known(ofOrigin);
  const unknown = tensors.filter((tensor) => known(tensor) === null).length;
  const isLargest = ownOfOrigin !== null && ownOfOrigin === largest;
  const largestLine = (): readonly string[] => {
    if (largest === null || at === undefined) return [];
    return isLargest
      ? [m.own.largestAtOrigin(shown(largest))]
      : [m.own.largest(sentenceName(at, m), shown(largest))];
  };
  return [
    ...(ownOfOrigin === null || isLargest ? [] : [m.own.origin(shown(ownOfOrigin))]),
    ...largestLine(),
    ...(unknown === 0 ? [] : [m.own.unknown(m.tensorCount(unknown))]),
  ];
}
