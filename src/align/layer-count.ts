/** How deep the model is. */

import type { Dump } from "../dump/dump.ts";
import type { Unit } from "./align.ts";

/** More layers than any model has today, by far: a larger number would widen the limits of deep layers. */
const MAX_LAYERS = 1000;

/** Decoder layers by the model's own word, else by the tensors. */
export function layerCount(reference: Dump, units: readonly Unit[]): number {
  const model = reference.run["model"];
  const layers: unknown =
    typeof model === "object" && model !== null && "layers" in model ? model.layers : null;
  const plausible = typeof layers === "number" && layers > 0 && layers <= MAX_LAYERS;
  // A tensor may claim any layer; how many there are is harder to exaggerate.
  return plausible ? layers : new Set(units.map(({ layer }) => layer)).size;
}
