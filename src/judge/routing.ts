/**
 * What a choice between experts does to a plain pair: a token at a near tie goes
 * to other experts after any legal rounding, and its error may then be as large
 * as itself. Of single tokens no limit parts that from a fault; an own error does.
 */

import type { Unit } from "../align/align.ts";
import { tensorName } from "../dump/contract.ts";
import type { Dump } from "../dump/dump.ts";
import type { RuleId } from "./rules.ts";

/** Rules that few tokens can break: a single one, one in a hundred, or those of one prompt that follow it. */
export type FewTokensRule = Extract<
  RuleId,
  | "layer/floor-ratio-p99"
  | "layer/floor-token"
  | "layer/floor-sample"
  | "layer/prior-token"
  | "layer/prior-sample"
>;

/** The first layer that has a router in any of the dumps; null in a model without experts, or whose routers were not captured. */
export function firstRouter(dumps: readonly Dump[]): number | null {
  const layers = dumps
    .flatMap(({ tensors }) => tensors.map(({ name }) => tensorName(name)))
    .flatMap(({ role, layer }) => (role === "router" && layer !== null ? [layer] : []));
  return layers.length === 0 ? null : layers.reduce((least, layer) => Math.min(least, layer));
}

/** Whether a tensor is computed from what experts answered that the router of layer `first`, or a later one, chose. */
export function dependsOnRouting({ role, layer }: Unit, first: number | null): boolean {
  if (first === null) return false;
  if (role === "norm" || role === "logits") return true;
  if (layer === null) return false;
  return layer > first || (layer === first && (role === "mlp" || role === "layer"));
}
