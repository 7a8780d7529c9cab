/** The JSON form of the logit lens. */

import type { FinalNormKind, LensLayer, LensNorm, LensPlace, LensResult } from "../core/lens.ts";
import {
  count,
  fields,
  list,
  nullable,
  number,
  oneOf,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import { kl, top1Agreement } from "./quality-schema.ts";
import { layer } from "./schema-parts.ts";

export const lens: SchemaOf<LensResult> = fields<LensResult>({
  layers: list(fields<LensLayer>({ tensor: text, layer, kl, top1Agreement })),
  positions: count,
  positionsInAll: count,
  head: text,
  norm: nullable(
    fields<LensNorm>({
      kind: oneOf<FinalNormKind>("rms", "rms-offset", "layer", "layer-offset"),
      weight: text,
      epsilon: number,
      error: number,
    }),
  ),
  parting: nullable(fields<LensPlace>({ tensor: text, layer })),
  notAvailable: nullable(text),
});
