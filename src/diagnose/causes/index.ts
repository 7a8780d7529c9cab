/**
 * Which kind of error a specimen holds. The first cause that fits is named; no
 * cause is better than a wrong one. Constants marked «method study» were tuned
 * on 379 faults in one model (SmolLM2-135M in bf16), the others by reasoning
 * beside them.
 */

import type { Specimen } from "../../measure/specimen.ts";
import type { CauseId } from "../cause-texts/ids.ts";
import { bias } from "./bias.ts";
import { bits } from "./bits.ts";
import type { Cause, Named } from "./cause.ts";
import { channel } from "./channel.ts";
import { channelGain } from "./channel-gain.ts";
import { Features } from "./features.ts";
import { lowRank } from "./low-rank.ts";
import { findNonFinite } from "./non-finite.ts";
import { permutation } from "./permutation.ts";
import { precision } from "./precision.ts";
import { saturation } from "./saturation.ts";
import { scale } from "./scale.ts";
import { shift } from "./shift.ts";
import { sign } from "./sign.ts";
import { skipped } from "./skipped.ts";
import { sparse, sparseInRows } from "./sparse.ts";
import { token } from "./token.ts";
import { unwritten } from "./unwritten.ts";

/** In the order in which they are asked: what is certain before what is likely. */
const CAUSES: readonly Cause[] = [
  skipped,
  saturation,
  unwritten,
  sparseInRows,
  token,
  shift,
  permutation,
  sign,
  bits,
  scale,
  channel,
  bias,
  channelGain,
  lowRank,
  sparse,
  precision,
];

/** The kind of error in `specimen`; null where no cause fits. */
export function classify(specimen: Specimen): (Named & { readonly id: CauseId }) | null {
  const notFinite = findNonFinite(specimen);
  if (notFinite !== null) return { id: "cause/non-finite", ...notFinite };
  const features = new Features(specimen);
  for (const cause of CAUSES) {
    const named = cause.find(features);
    if (named !== null && isKnown(named)) return { id: cause.id, ...named };
  }
  return null;
}

/** Whether all figures are numbers: squares that leave float64's range leave none, and name nothing. */
function isKnown({ confidence, detail }: Named): boolean {
  const figures = Object.values(detail).filter((figure) => typeof figure === "number");
  return confidence > 0 && confidence <= 1 && figures.every(Number.isFinite);
}
