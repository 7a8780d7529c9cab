/** The logit lens for a terminal: a curve of KL by layer, and where predictions part. */

import type { LensResult } from "../../core/lens.ts";
import { formatError } from "../format-number.ts";
import { type Curve, commonScale, sparkline, sparklineColumn } from "../sparkline.ts";
import { padEnd, width, wrapText } from "../table.ts";
import type { TextContext } from "../text.ts";
import { lensLines, lensPlace } from "./lines.ts";
import { LENS_MESSAGES } from "./messages.ts";

/** Lines of the block; empty without a lens, or where nobody wanted one. */
export function lensBlock(lens: LensResult | null, context: TextContext): readonly string[] {
  if (lens === null || lens.notAvailable === "switched-off") return [];
  const { lang, columns } = context;
  const lines = lensLines(lens, lang).flatMap((line) => wrapText(line, columns - 4));
  return [...curves(lens, context), ...lines.map((line) => `  ${line}`)];
}

function curves(lens: LensResult, context: TextContext): readonly string[] {
  const { m, lang, ascii, columns, ellipsis } = context;
  // The embedding is a table: where both sides look up the same, its KL would take most of the scale.
  const layers = lens.layers.filter(({ layer }) => layer !== null);
  const gms: Curve = layers.map(({ kl }) => kl.gm);
  const floors: Curve = layers.map(({ kl }) =>
    kl.floorRatio === null || kl.floorRatio === 0 ? null : kl.gm / kl.floorRatio,
  );
  const scale = commonScale([gms, floors]);
  if (scale === null || layers.length < 2) return [];
  const label = LENS_MESSAGES[lang].curve;
  const labelWidth = Math.max(16, width(label), width(m.labels.noiseFloor));
  const room = Math.max(10, columns - labelWidth - 4 - 3 - (15 + ellipsis.length + 2));
  const line = (name: string, values: Curve): readonly string[] => {
    const ends = commonScale([values]);
    if (ends === null) return [];
    const glyphs = sparkline(values, scale, room, ascii);
    const range = `${formatError(ends.low)} ${ellipsis} ${formatError(ends.high)}`;
    return [`  ${padEnd(name, labelWidth)}  ${glyphs}   ${range}`];
  };
  const at = layers.findIndex(({ tensor }) => tensor === lens.parting?.tensor);
  const column = sparklineColumn(at, layers.length, room);
  const place = layers[at];
  return [
    ...line(label, gms),
    ...line(m.labels.noiseFloor, floors),
    ...(place === undefined
      ? []
      : [`${" ".repeat(labelWidth + 4 + column)}^ ${lensPlace(place, lang)}`]),
  ];
}
