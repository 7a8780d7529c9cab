/** The final norm of a model, recognized by what it makes of the last layer. */

import type { FinalNormKind, LensNorm } from "../../core/lens.ts";
import type { NormWeights } from "../../dump/lm-head/head-weights.ts";

/** A norm that can be applied to rows in place. */
export interface FinalNorm {
  readonly facts: LensNorm;
  readonly apply: (rows: Float64Array, count: number) => void;
}

/** What a norm is made of beside its formula. */
export interface NormParts {
  readonly weights: NormWeights;
  readonly epsilon: number;
}

/**
 * The formula that makes `normed` of `last`: RMSNorm, `x / √(mean x² + ε) · w`, or LayerNorm,
 * `(x − mean x) / √(var x + ε) · w + b`, which alone has a bias; either also with 1 + w (Gemma, Nemotron). All in
 * float64.
 *
 * @param last rows of the residual stream after the last layer
 * @param normed the same rows of the stored `norm`
 * @param tolerance largest ‖computed − stored‖ / ‖stored‖
 * @returns the formula with the smallest error; null where that is beyond `tolerance`, or no number.
 */
export function recognizeNorm(
  parts: NormParts,
  last: Float64Array,
  normed: Float64Array,
  tolerance: number,
): FinalNorm | null {
  const { length } = parts.weights.weight;
  const kinds: readonly FinalNormKind[] =
    parts.weights.bias === null ? [...RMS_NORMS, ...LAYER_NORMS] : LAYER_NORMS;
  const tried = kinds.map((kind) => {
    const rows = Float64Array.from(last);
    normalize(kind, parts, rows, rows.length / length);
    return { kind, error: relativeError(rows, normed) };
  });
  const [best] = tried.filter(({ error }) => error <= tolerance).sort((a, b) => a.error - b.error);
  if (best === undefined) return null;
  const { kind, error } = best;
  return {
    facts: { kind, weight: parts.weights.name, epsilon: parts.epsilon, error },
    apply: (rows, count) => {
      normalize(kind, parts, rows, count);
    },
  };
}

const RMS_NORMS = ["rms", "rms-offset"] as const;
const LAYER_NORMS = ["layer", "layer-offset"] as const;

function normalize(
  kind: FinalNormKind,
  { weights: { weight, bias }, epsilon }: NormParts,
  rows: Float64Array,
  count: number,
): void {
  const width = weight.length;
  const offset = kind === "rms-offset" || kind === "layer-offset" ? 1 : 0;
  const isCentred = kind === "layer" || kind === "layer-offset";
  for (let from = 0; from < count * width; from += width) {
    let sum = 0;
    if (isCentred) for (let i = 0; i < width; i += 1) sum += rows[from + i] as number;
    const mean = sum / width;
    let squares = 0;
    for (let i = 0; i < width; i += 1) squares += ((rows[from + i] as number) - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i += 1) {
      const scaled = ((rows[from + i] as number) - mean) * factor;
      rows[from + i] = scaled * ((weight[i] as number) + offset) + (bias?.[i] ?? 0);
    }
  }
}

/** ‖a − b‖ / ‖b‖; NaN where either holds no number, or b nothing but zeros. */
export function relativeError(a: Float64Array, b: Float64Array): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < b.length; i += 1) {
    const y = b[i] as number;
    error += ((a[i] as number) - y) ** 2;
    size += y * y;
  }
  return Math.sqrt(error / size);
}
