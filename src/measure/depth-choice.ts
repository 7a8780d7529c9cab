/** Which tensors a report shows in depth. */

import type { Unit } from "../align/align.ts";
import type { Origin } from "../core/groups.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { isMeasurable } from "./measure-tensor.ts";

/** Tensors beside the logits. */
const SHOWN = 6;

/** The origin, then those furthest from their reference by ρ, and the logits. */
export function unitsInDepth(
  units: readonly Unit[],
  tensors: readonly TensorResult[],
  origin: Origin | null,
): readonly Unit[] {
  const sizes = new Map(tensors.map((one) => [`${one.step}:${one.name}`, one.tokenRelL2?.gm ?? 0]));
  const size = ({ group, name }: Unit): number => sizes.get(`${group}:${name}`) ?? 0;
  const isOrigin = ({ group, name }: Unit): boolean =>
    name === origin?.tensor && group === origin.step;
  const all = units.filter(isMeasurable);
  const worst = all
    .filter((unit) => unit.role !== "logits" && (isOrigin(unit) || size(unit) > 0))
    .toSorted((a, b) => Number(isOrigin(b)) - Number(isOrigin(a)) || size(b) - size(a));
  const logits = all.filter(({ role, group }) => role === "logits" && group === "prefill");
  return [...worst.slice(0, SHOWN), ...logits];
}
