/**
 * The contract of a dump file: its version, what its columns, metadata keys and
 * tensors are called, and which names a glob picks.
 */

/** The major version of the format that this reader knows. */
export const VERSION = 1;

/** Keys of the Arrow schema's metadata. */
export const VERSION_KEY = "npu_diff.version";
export const RUN_KEY = "npu_diff.run";

/** Name of the last row: the JSON of what the writer knew only at the end. */
export const RUN_END = "run.end";

/** What a column holds, as far as a reader cares. */
export type ColumnKind = "text" | "integer" | "integers" | "bytes" | "statistics";

/** One column of the contract. */
export interface ColumnRule {
  readonly kind: ColumnKind;
  /** Whether a file without this column is no dump. */
  readonly required: boolean;
  /** Whether a row may leave it empty (null). */
  readonly nullable: boolean;
}

export type ColumnName =
  | "name"
  | "kind"
  | "layer"
  | "module"
  | "sample"
  | "step"
  | "repeat"
  | "rank"
  | "dtype"
  | "shape"
  | "start"
  | "encoding"
  | "data"
  | "stats";

/**
 * The columns by name. Integers may have any width and sign as long as the
 * values fit; text and bytes may have any of Arrow's layouts.
 */
export const COLUMNS: Readonly<Record<ColumnName, ColumnRule>> = {
  name: { kind: "text", required: true, nullable: false },
  kind: { kind: "text", required: true, nullable: false },
  layer: { kind: "integer", required: false, nullable: true },
  module: { kind: "text", required: false, nullable: true },
  sample: { kind: "integer", required: true, nullable: false },
  step: { kind: "integer", required: true, nullable: false },
  repeat: { kind: "integer", required: false, nullable: false },
  rank: { kind: "integer", required: false, nullable: false },
  dtype: { kind: "text", required: true, nullable: false },
  shape: { kind: "integers", required: true, nullable: false },
  start: { kind: "integer", required: false, nullable: false },
  encoding: { kind: "text", required: false, nullable: false },
  data: { kind: "bytes", required: true, nullable: false },
  stats: { kind: "statistics", required: false, nullable: true },
};

/** Whether a column of this name belongs to the contract. */
export function isColumnName(name: string): name is ColumnName {
  return Object.hasOwn(COLUMNS, name);
}

/** The fields of `stats`: of the whole tensor, over its finite values. */
export const STATISTICS = ["min", "max", "mean", "rms", "nan", "posinf", "neginf"] as const;

/** Tensors that stand for logits which are not stored: log-sum-exp, the best tokens, and the true ones. */
export const REDUCED_LOGITS = ["lse", "topk_ids", "topk_logprobs", "token_logprob"] as const;

export type ReducedLogitsName = (typeof REDUCED_LOGITS)[number];

/** Whether a tensor of this name stands for logits. */
export function isReducedLogits(name: string): name is ReducedLogitsName {
  return (REDUCED_LOGITS as readonly string[]).includes(name);
}

/** The part of the model that a canonical name stands for; `other` is every other name. */
export type TensorRole =
  | "embed"
  | "attn"
  | "mlp"
  | "layer"
  | "router"
  | "norm"
  | "logits"
  | "other";

/** A tensor's name taken apart. `layer` is null outside the layers. */
export interface TensorName {
  readonly role: TensorRole;
  readonly layer: number | null;
}

// Nine digits stay below 2³¹, the range of the `layer` column; a leading zero
// would give one layer two names.
const LAYER = /^layers\.(0|[1-9]\d{0,8})(?:\.(attn|mlp|router))?$/;

/** Takes a tensor's name apart. */
export function tensorName(name: string): TensorName {
  if (name === "embed" || name === "norm" || name === "logits") return { role: name, layer: null };
  const layer = LAYER.exec(name);
  if (layer === null) return { role: "other", layer: null };
  const block = layer[2] as "attn" | "mlp" | "router" | undefined;
  return { role: block ?? "layer", layer: Number(layer[1]) };
}

/**
 * Whether one of `globs` matches `name`: `*` stands for any characters, dots
 * included, and every other character for itself. Takes time proportional to
 * the name's length times the glob's at worst: nothing is tried twice.
 */
export function matchesAny(globs: readonly string[], name: string): boolean {
  return globs.some((glob) => matches(glob, name));
}

function matches(glob: string, name: string): boolean {
  const pieces = glob.split("*");
  const head = pieces.shift() ?? "";
  const tail = pieces.pop();
  if (tail === undefined) return name === head;
  const end = name.length - tail.length;
  if (end < head.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
  // The leftmost place of each piece leaves the most room for those after it.
  let at = head.length;
  for (const piece of pieces) {
    const found = name.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
