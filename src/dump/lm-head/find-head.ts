/** Which tensors of a checkpoint are its head, and its final norm. */

import { type ErrorFact, NpuDiffError } from "../../core/errors.ts";
import type { StoredTensor } from "../safetensors/safetensors-header.ts";

/** The head of its own that most architectures have; GPT-NeoX calls it `embed_out`, Mistral's own files `output`. */
const HEADS = /^(?:(?:[\w-]+\.)*(?:lm_head|embed_out)|output)\.weight$/;

/** The embedding, which is the head as well where the two are tied. */
const EMBEDDINGS =
  /^(?:[\w-]+\.)*(?:embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|embeddings)\.weight$/;

const FINAL_NORMS =
  /^(?:[\w-]+\.)*(?:norm|final_layernorm|final_layer_norm|ln_f|norm_f|final_norm)\.weight$/;

/** Towers and blocks, whose tensors are not the language model's last ones. */
const ELSEWHERE = /(?:^|\.)(?:vision\w*|visual|audio\w*|image\w*|encoder|mtp|layers|h|blocks?)\./;

/** Names that a message lists. */
const NAMES_SHOWN = 6;

/** The tensors that make logits. */
export interface FoundHead {
  readonly weight: StoredTensor;
  readonly bias: StoredTensor | null;
}

/**
 * The head among `tensors`: the one that is called so, else the embedding.
 *
 * @param tied whether the two are one by the model's word; null where it does not say.
 * @throws NpuDiffError `lm-head` where there is none, or more than one
 */
export function findHead(
  tensors: readonly StoredTensor[],
  tied: boolean | null,
  path: string,
): FoundHead {
  const all = byPattern(tensors, HEADS);
  const heads = all.length > 0 || tied === false ? all : byPattern(tensors, EMBEDDINGS);
  const [weight, second] = heads;
  if (weight === undefined || second !== undefined) {
    throw headError("the weights do not say which of them is the lm_head", path, [
      {
        label: "found",
        text: heads.length > 0 ? names(heads) : `none among ${names(tensors)}`,
      },
      {
        label: "expected",
        text:
          tied === false
            ? "one lm_head.weight: config.json says that it is not the embedding"
            : "one lm_head.weight, or one embed_tokens.weight where they are tied",
      },
    ]);
  }
  refuseReduced(weight, tensors, path);
  const bias = weight.name.replace(/weight$/, "bias");
  return { weight, bias: tensors.find(({ name }) => name === bias) ?? null };
}

/** Refuses a head whose numbers are not its weights: integers, or floats with scales beside them. */
function refuseReduced(weight: StoredTensor, tensors: readonly StoredTensor[], path: string): void {
  const { name, dtype, shape } = weight;
  const scale = tensors.find((other) => other.name.startsWith(`${name}_scale`));
  const isFloat = ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"].includes(dtype);
  if (isFloat && scale === undefined && shape.length === 2 && !shape.includes(0)) return;
  const scaled = scale === undefined ? "" : ` with ${shown(scale.name)}`;
  throw headError("the lm_head is not stored as it is", path, [
    { label: "found", text: `${shown(name)} ${dtype} [${shape.join(", ")}]${scaled}` },
    { label: "expected", text: "floating-point weights [vocabulary, hidden size], unscaled" },
  ]);
}

/** The weight of the final norm and its bias; null where there is not exactly one of `width`. */
export function findFinalNorm(tensors: readonly StoredTensor[], width: number): FoundHead | null {
  const found = byPattern(tensors, FINAL_NORMS).filter(
    ({ shape }) => shape.length === 1 && shape[0] === width,
  );
  const [weight, second] = found;
  if (weight === undefined || second !== undefined) return null;
  const bias = weight.name.replace(/weight$/, "bias");
  return { weight, bias: tensors.find(({ name }) => name === bias) ?? null };
}

function byPattern(tensors: readonly StoredTensor[], pattern: RegExp): readonly StoredTensor[] {
  return tensors.filter(({ name }) => pattern.test(name) && !ELSEWHERE.test(name));
}

/** Makes the error for weights that make no logits of these dumps. */
export function headError(
  what: string,
  path: string,
  facts: readonly ErrorFact[],
  help = "give the safetensors weights of the model that made the reference: --lm-head model.safetensors, or its index",
): NpuDiffError {
  return new NpuDiffError("lm-head", {
    what,
    facts: [{ label: "weights", text: path }, ...facts],
    help,
  });
}

function names(tensors: readonly StoredTensor[]): string {
  const listed = tensors.slice(0, NAMES_SHOWN).map(({ name }) => shown(name));
  const more = tensors.length - listed.length;
  return `${listed.join(", ") || "no tensors"}${more > 0 ? ` and ${more} more` : ""}`;
}

function shown(name: string): string {
  return name.length > 60 ? `${name.slice(0, 59)}…` : name;
}
