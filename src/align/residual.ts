/**
 * The factor s of the residual sum, layers.i = layers.{i-1} + s·(attn + mlp),
 * which is not part of what a block hands over.
 */

import type { RunMetadata } from "../dump/dump.ts";
import { isImported } from "../dump/metadata.ts";

/** s of `layer` by the run's own word (`model.residual_scale`, one number or one a layer); 1 where it says nothing usable. */
export function residualScale(run: RunMetadata, layer: number | null): number {
  return statedScale(run, layer) ?? 1;
}

function statedScale(run: RunMetadata, layer: number | null): number | null {
  const { model } = run as { readonly model?: { readonly residual_scale?: unknown } | null };
  const stated = model?.residual_scale;
  const scale: unknown = Array.isArray(stated) ? stated[layer ?? -1] : stated;
  return typeof scale === "number" && Number.isFinite(scale) && scale !== 0 ? scale : null;
}

/** What the run says of its residual sum. */
function residualOf(run: RunMetadata): unknown {
  const { model } = run as { readonly model?: { readonly residual?: unknown } | null };
  return model?.residual;
}

/**
 * Factors that bring what a block hands over to one scale: each side's own s
 * where they differ, 1 for all where they agree or where one has no such sum.
 * Files of other tools tell no s: theirs is taken for that of the side that does.
 */
export function residualFactors(
  runs: readonly RunMetadata[],
  role: string,
  layer: number | null,
): readonly number[] {
  const isBlock = role === "attn" || role === "mlp";
  const isTold = runs.every((run) => residualOf(run) !== "other");
  if (!isBlock || !isTold) return runs.map(() => 1);
  const own = runs.map((run) => statedScale(run, layer) ?? (isImported(run) ? null : 1));
  const told = own.find((scale) => scale !== null) ?? 1;
  const scales = own.map((scale) => scale ?? told);
  return scales.every((scale) => scale === scales[0]) ? runs.map(() => 1) : scales;
}
