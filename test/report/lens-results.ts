/** Results of a comparison through a head, for the tests of the reports. */

import type { LensLayer, LensResult } from "../../src/core/lens.ts";
import type { KlResult, Top1Result } from "../../src/core/quality.ts";

const LAYERS = 30;

/** KL of layer `layer`, or of `embed` where it is −1: as the floor's up to the faulty layer, four times it from there on. */
function lensLayer(layer: number, faulty: number): LensLayer {
  const floor = 6e-5 * 1.09 ** layer;
  const floorRatio = layer < faulty ? 1.02 : 4.5 * 0.97 ** (layer - faulty);
  const gm = floor * floorRatio;
  const kl: KlResult = {
    mean: 2.5 * gm,
    se: gm / 3,
    ci95: [2 * gm, 3 * gm],
    clusters: 30,
    gm,
    median: gm,
    p95: 6 * gm,
    p99: 12 * gm,
    p999: 20 * gm,
    max: 24 * gm,
    maxAt: { sample: 3, step: 0, token: 12 },
    positions: 128,
    floorRatio,
  };
  const agreed = layer < faulty ? 127 : 122;
  const top1Agreement: Top1Result = {
    share: agreed / 128,
    agreed,
    positions: 128,
    strict: agreed / 128,
    ci95: [0.9, 0.99],
    nearTies: 128 - agreed,
  };
  return {
    tensor: layer < 0 ? "embed" : `layers.${layer}`,
    layer: layer < 0 ? null : layer,
    kl,
    top1Agreement,
  };
}

/** A lens in which the prediction parts at layer 7. */
export const LENS: LensResult = {
  layers: Array.from({ length: LAYERS + 1 }, (_, i) => lensLayer(i - 1, 7)),
  positions: 128,
  positionsInAll: 2170,
  head: "model.embed_tokens.weight",
  norm: { kind: "rms", weight: "model.norm.weight", epsilon: 1e-5, error: 6.4e-8 },
  parting: { tensor: "layers.7", layer: 7 },
  notAvailable: null,
};

/** A lens whose final norm is not known. */
export const NO_LENS: LensResult = {
  ...LENS,
  layers: [],
  norm: null,
  parting: null,
  notAvailable: "unknown-norm",
};
