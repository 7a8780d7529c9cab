/**
 * The order in which a model computes its tensors: an error that appears at
 * one of them can only have begun there or before.
 */

import { type TensorRole, tensorName } from "../dump/contract.ts";
import type { RunMetadata } from "../dump/dump.ts";
import { isJsonObject } from "../dump/json.ts";

/** Within a layer. A router decides before its experts, the MLP, run. */
const WITHIN_LAYER: Readonly<Partial<Record<TensorRole, number>>> = {
  attn: 0,
  router: 1,
  mlp: 2,
  layer: 4,
};
/** Tensors under a user's own names, between a layer's blocks and its output. */
const OTHER_WITHIN_LAYER = 3;

/**
 * A sort key of a tensor: [stage, layer, place in the layer, first appearance
 * in the reference dump]. Names that are not canonical stand in their layer, or
 * between the layers and the final norm where they have none.
 */
export function executionKey(
  name: string,
  layer: number | null,
  appearance: number,
): readonly [number, number, number, number] {
  const parsed = tensorName(name);
  switch (parsed.role) {
    case "embed":
      return [0, 0, 0, appearance];
    case "attn":
    case "router":
    case "mlp":
    case "layer":
      return [1, parsed.layer ?? 0, WITHIN_LAYER[parsed.role] ?? 0, appearance];
    case "norm":
      return [3, 0, 0, appearance];
    case "logits":
      return [4, 0, 0, appearance];
    case "other":
      return layer === null ? [2, 0, 0, appearance] : [1, layer, OTHER_WITHIN_LAYER, appearance];
  }
}

/**
 * Whether a dump says that its tensors stand in the order in which they were
 * computed (`capture.order`), as the writer of a whole graph knows it.
 */
export function isInExecutionOrder(run: RunMetadata): boolean {
  const capture = run["capture"];
  return isJsonObject(capture) && capture["order"] === "execution";
}

/** Compares two keys of {@link executionKey}. */
export function compareKeys(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i += 1) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
