/** The table of tensors: neighbours that fared alike are folded into one row. */

import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";

/** One row: a single tensor, or a run of neighbours with the same outcome. */
export interface LayerRow {
  readonly tensors: readonly [TensorResult, ...TensorResult[]];
  readonly verdict: TensorResult["verdict"];
  readonly role: TensorResult["role"];
  /** Whether the tensor stands alone by name although it is like its neighbours. */
  readonly single: boolean;
}

/** Rows that the table shows before it is cut in the middle. */
export const MAX_ROWS = 24;

/**
 * Folds tensors of one step group, in execution order. The origin, what comes
 * before it in its layer, and the logits stand alone.
 */
export function foldRows(tensors: readonly TensorResult[]): readonly LayerRow[] {
  const origin = tensors.findIndex(({ role }) => role === "origin");
  const originLayer = tensors[origin]?.layer ?? null;
  const rows: (LayerRow & { readonly tensors: TensorResult[] })[] = [];
  tensors.forEach((tensor, index) => {
    const { verdict, role } = tensor;
    const single =
      index === origin ||
      tensor.name === "logits" ||
      (index < origin && originLayer !== null && tensor.layer === originLayer);
    const last = rows.at(-1);
    if (
      last === undefined ||
      single ||
      last.single ||
      last.verdict !== verdict ||
      last.role !== role
    ) {
      rows.push({ tensors: [tensor], verdict, role, single });
    } else {
      last.tensors.push(tensor);
    }
  });
  return rows;
}

/** First and last layer of a row, `-` where none of its tensors is in a layer. */
export function layerRange({ tensors }: LayerRow): string {
  const layers = tensors.flatMap(({ layer }) => (layer === null ? [] : [layer]));
  const [first] = layers;
  if (first === undefined) return "-";
  const last = layers.reduce((a, b) => Math.max(a, b), first);
  const lowest = layers.reduce((a, b) => Math.min(a, b), first);
  return lowest === last ? String(lowest) : `${lowest}-${last}`;
}

/** What a plain pair was held to beside the own errors, where those decided: floors where there are any. */
export function plainEvidence({
  evidence,
  inputs,
}: Pick<ComparisonResult, "evidence" | "inputs">): Exclude<ComparisonResult["evidence"], "forced"> {
  if (evidence !== "forced") return evidence;
  return inputs.floors.length > 0 ? "floor" : "prior";
}

/**
 * How far a tensor is, in multiples of what decided it: the noise floor, the
 * prior, or nothing (then the number of differing elements).
 */
export function decisive(
  tensor: TensorResult,
  evidence: Exclude<ComparisonResult["evidence"], "forced">,
): number | null {
  switch (evidence) {
    case "floor":
      return tensor.floorRatio;
    case "prior":
      return tensor.tokenRelL2 === null || tensor.priorLimit === null
        ? null
        : tensor.tokenRelL2.gm / tensor.priorLimit;
    case "exact":
      return tensor.bitsDiffering;
  }
}

/** The worst value of a figure over a row: the largest, or the smallest where `smallest`; NaN is worst. */
export function worst(
  values: readonly (number | null)[],
  { smallest = false }: { readonly smallest?: boolean } = {},
): number | null {
  let found: number | null = null;
  for (const value of values) {
    if (value === null) continue;
    if (Number.isNaN(value)) return value;
    if (found === null || (smallest ? value < found : value > found)) found = value;
  }
  return found;
}
