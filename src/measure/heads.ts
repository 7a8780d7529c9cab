/** Whether the channels of a tensor are those of attention heads. */

import type { NoHeads } from "../core/depth.ts";
import type { RunMetadata } from "../dump/dump.ts";

/** What an attention block hands out comes after its last projection, which mixes the heads: only these names have any. */
const OF_HEADS = /(?:^|[._])(q|k|v|query|key|value)(?:_proj|_norm|_rot|_rope)?$/;

/** How many heads the rows of a tensor are made of, or why of none. */
export function headsOf(name: string, width: number, run: RunMetadata): number | NoHeads {
  const which = OF_HEADS.exec(name)?.[1];
  if (which === undefined) return "name";
  const { model } = run as { readonly model?: Readonly<Record<string, unknown>> | null };
  const size = positive(model?.["head_dim"]);
  const heads = positive(model?.["heads"]);
  const count = which.startsWith("q") ? heads : (positive(model?.["kv_heads"]) ?? heads);
  if (size === null || count === null) return "metadata";
  return count * size === width ? count : "width";
}

function positive(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : null;
}
