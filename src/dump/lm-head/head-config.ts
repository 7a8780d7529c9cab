/** What `config.json` beside the weights says of the head: how its product becomes logits. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { NpuDiffError } from "../../core/errors.ts";
import { DumpFile } from "../dump-file.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../json.ts";

/** `logits = cap(scale · (W·h + b))`, where cap(x) is softcap·tanh(x/softcap). */
export interface HeadConfig {
  /** What the product is multiplied by; 1 for most. */
  readonly scale: number;
  /** Null for most. */
  readonly softcap: number | null;
  /** Of the final norm; null where there is no configuration. */
  readonly epsilon: number | null;
  /** Whether the head is the embedding; null where it is not told. */
  readonly tied: boolean | null;
}

/** That of torch's LayerNorm, which architectures without a key for it leave as it is (OPT). */
const DEFAULT_EPSILON = 1e-5;

const NOTHING_TOLD: HeadConfig = { scale: 1, softcap: null, epsilon: null, tied: null };

/** Configurations of today have a few KiB, with labels of thousands of classes some hundred. */
const MAX_BYTES = 2 ** 20;

/** What architectures call the epsilon of their norms. */
const EPSILONS = [
  "rms_norm_eps",
  "layer_norm_eps",
  "layer_norm_epsilon",
  "norm_eps",
  "norm_epsilon",
  "layernorm_epsilon",
] as const;

/**
 * Reads `config.json` in the folder of `weights`; a folder without one tells nothing.
 *
 * Gemma 2 and 3 bound their logits (`final_logit_softcapping`), Cohere multiplies (`logit_scale`), and so does
 * Falcon-H1 (`lm_head_multiplier`), Granite divides (`logits_scaling`), and MiniCPM divides what the head reads by
 * `hidden_size / dim_model_base`.
 *
 * @throws NpuDiffError `lm-head` where it is no JSON object, or holds no number where one belongs
 */
export function readHeadConfig(weights: string): HeadConfig {
  const path = join(dirname(weights), "config.json");
  if (!existsSync(path)) return NOTHING_TOLD;
  const file = DumpFile.open(path, {
    expected: "a JSON object",
    help: "give the weights of a model beside its own config.json",
    whenEmpty: "copy config.json again",
  });
  try {
    if (file.size > MAX_BYTES) {
      throw invalid(path, `${file.size} bytes`, `at most ${MAX_BYTES}`);
    }
    const text = new TextDecoder().decode(file.read(0, file.size));
    const whole = parseJsonObject(file, text, "the configuration", "lm-head");
    // Models of several modalities nest the language model's.
    const inner = whole["text_config"];
    return headConfig({ ...whole, ...(isJsonObject(inner) ? inner : {}) }, path);
  } finally {
    file.close();
  }
}

function headConfig(config: JsonObject, path: string): HeadConfig {
  const number = (key: string): number | null => {
    const value = config[key] ?? null;
    if (value === null) return null;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw invalid(
      path,
      `${key}: ${JSON.stringify(value).slice(0, 80)}`,
      `${key}: a number above 0`,
    );
  };
  const base = number("dim_model_base");
  const hidden = number("hidden_size");
  const tied = config["tie_word_embeddings"];
  return {
    scale:
      ((number("logit_scale") ?? 1) * (number("lm_head_multiplier") ?? 1)) /
      (number("logits_scaling") ?? 1) /
      (base === null || hidden === null ? 1 : hidden / base),
    softcap: number("final_logit_softcapping"),
    epsilon: EPSILONS.map(number).find((value) => value !== null) ?? DEFAULT_EPSILON,
    tied: typeof tied === "boolean" ? tied : null,
  };
}

function invalid(path: string, found: string, expected: string): NpuDiffError {
  return new NpuDiffError("lm-head", {
    what: "config.json does not say how the head makes logits",
    facts: [
      { label: "file", text: path },
      { label: "found", text: found },
      { label: "expected", text: expected },
    ],
    help: "give the weights of a model beside its own config.json",
  });
}
