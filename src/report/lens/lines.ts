/** The logit lens in sentences, and in the cells of a table. */

import { escapeText } from "../../core/escape.ts";
import type { LensLayer, LensPlace, LensResult } from "../../core/lens.ts";
import { formatCount, formatPlain, formatRatio, formatShare } from "../format-number.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { LENS_MESSAGES } from "./messages.ts";

/** Characters of a name out of a file. */
const NAME = 60;

/** Where predictions part, then what was looked at; or why there is no lens. */
export function lensLines(lens: LensResult, lang: Language): readonly string[] {
  const w = LENS_MESSAGES[lang];
  const { layers, notAvailable } = lens;
  const last = layers.at(-1);
  if (notAvailable !== null || last === undefined) {
    const reason = notAvailable ?? "no-layers";
    return [w.notAvailable(w.reasons[reason] ?? escapeText(reason, NAME))];
  }
  const looked = w.positions(formatCount(lens.positions), formatCount(lens.positionsInAll));
  const through = w.through(escapeText(lens.head, NAME), escapeText(lens.norm?.weight ?? "", NAME));
  return [partingLine(lens, last, lang), `${looked}${MESSAGES[lang].quality.separator}${through}`];
}

function partingLine({ layers, parting }: LensResult, last: LensLayer, lang: Language): string {
  const w = LENS_MESSAGES[lang];
  const at = layers.find(({ tensor }) => tensor === parting?.tensor);
  const share = (one: LensLayer): string => formatShare(one.top1Agreement.share);
  if (at !== undefined) {
    return w.parts(lensPlace(at, lang), formatRatio(at.kl.floorRatio ?? Number.NaN), share(at));
  }
  return last.kl.floorRatio === null
    ? w.withoutFloor(formatPlain(last.kl.gm), share(last))
    : w.together(share(last));
}

/** A layer of the lens in a sentence. */
export function lensPlace({ tensor, layer }: LensPlace, lang: Language): string {
  return layer === null ? escapeText(tensor, NAME) : MESSAGES[lang].layer(layer);
}

/** A head and a row a layer; those over the floor only where there is one. Empty without a lens. */
export function lensTable({ layers }: LensResult, lang: Language): readonly (readonly string[])[] {
  if (layers.length === 0) return [];
  const { columns } = LENS_MESSAGES[lang];
  const hasFloor = layers.some(({ kl }) => kl.floorRatio !== null);
  const over = (cell: string): readonly string[] => (hasFloor ? [cell] : []);
  return [
    [columns.layer, columns.klMean, columns.klGm, ...over(columns.overFloor), columns.top1],
    ...layers.map(({ tensor, layer, kl, top1Agreement }) => [
      layer === null ? escapeText(tensor, NAME) : String(layer),
      formatPlain(kl.mean),
      formatPlain(kl.gm),
      ...over(kl.floorRatio === null ? "-" : formatRatio(kl.floorRatio)),
      formatShare(top1Agreement.share),
    ]),
  ];
}
