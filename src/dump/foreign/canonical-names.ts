/**
 * What the modules of common implementations are called in a dump. A name is
 * translated only where it stands for the output of a whole module that the
 * contract names; every other name stays as it is.
 */

/** A name taken apart: `name@sample.step`, for formats that have no columns. */
export interface PlacedName {
  readonly name: string;
  readonly sample: number | null;
  readonly step: number | null;
}

const PLACE = /^(.+)@(-1|\d{1,9})(?:\.(\d{1,9}))?$/su;

/** Takes the sample and step off a name. */
export function placedName(name: string): PlacedName {
  const found = PLACE.exec(name);
  if (found === null) return { name, sample: null, step: null };
  const [, bare = name, sample, step] = found;
  return { name: bare, sample: Number(sample), step: Number(step ?? 0) };
}

/** What wraps the decoder: `model.`, `transformer.`, `model.language_model.`, a wrapper's `module.`. */
const WRAPPERS =
  /^(?:(?:model|module|transformer|language_model|text_model|decoder|gpt_neox|backbone|_orig_mod)\.)+/u;

/** A module's (first) output, where a format says that it is one. */
const OUTPUT = /\.outputs?(?:\.0)?$/u;

/** Wrappers inside a path, which stand for the module that they wrap. */
const INNER = /(?<=^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./gu;

/** The product of a linear layer in an ONNX graph: other operators are steps inside a module, whichever it is. */
const LINEAR = /(_proj|\.lm_head|^lm_head|\.c_(?:attn|fc|proj)|\.fc\d)\.(?:MatMul|Gemm)_output_0$/u;

/**
 * A module's path without what wraps it, and without the mark of its output: what two writers may call alike.
 * `/model/layers.0/self_attn/o_proj/MatMul_output_0` is `layers.0.self_attn.o_proj`.
 */
export function bareName(path: string): string {
  const dotted = path.includes("/") ? path.replaceAll("/", ".").replace(/^\.+/u, "") : path;
  return dotted
    .replace(LINEAR, "$1")
    .replace(OUTPUT, "")
    .replaceAll(INNER, "")
    .replace(WRAPPERS, "");
}

const OUTSIDE: ReadonlyMap<string, string> = new Map([
  ...["embed_tokens", "wte", "embed_in", "tok_embeddings", "word_embeddings", "embedding"].map(
    (name): [string, string] => [name, "embed"],
  ),
  ...["norm", "ln_f", "final_layernorm", "final_layer_norm", "norm_f"].map(
    (name): [string, string] => [name, "norm"],
  ),
  ...["lm_head", "embed_out", "logits"].map((name): [string, string] => [name, "logits"]),
]);

const LAYER = /^(?:layers|h|blocks)\.(0|[1-9]\d{0,8})(?:\.(.+))?$/u;

const BLOCKS: ReadonlyMap<string, string> = new Map([
  ...["attn", "self_attn", "attention", "self_attention", "linear_attn"].map(
    (name): [string, string] => [name, ".attn"],
  ),
  ...["mlp", "feed_forward", "ffn", "block_sparse_moe", "moe"].map((name): [string, string] => [
    name,
    ".mlp",
  ]),
  ...["router", "mlp.gate", "mlp.router", "block_sparse_moe.gate"].map((name): [string, string] => [
    name,
    ".router",
  ]),
]);

/**
 * The canonical name of a module's output by the module's path in its model;
 * null where the contract has none.
 */
export function canonicalName(path: string): string | null {
  const bare = bareName(path);
  const outside = OUTSIDE.get(bare);
  if (outside !== undefined) return outside;
  const layer = LAYER.exec(bare);
  if (layer === null) return null;
  const [, number = "", block] = layer;
  if (block === undefined) return `layers.${number}`;
  const name = BLOCKS.get(block);
  return name === undefined ? null : `layers.${number}${name}`;
}

const HIDDEN_STATE = /^hidden_states(?:[._](\d{1,5})|\[(\d{1,5})\])$/u;

/** Which of the hidden states that transformers returns `path` is; null where it is none. */
export function hiddenStateIndex(path: string): number | null {
  const found = HIDDEN_STATE.exec(bareName(path));
  return found === null ? null : Number(found[1] ?? found[2]);
}

/** Whether a tensor is such a hidden state: of a batch, tokens and width, as canonical ones are. */
export function isHiddenState(name: string): boolean {
  return hiddenStateIndex(name) !== null;
}

/** Where a tensor was computed, in front of or behind the name of a file that holds it alone. */
const DEVICE = "(?:cpu|gpu|cuda|npu|ascend|xpu|mps)\\d{0,3}";
const BEFORE = new RegExp(`^${DEVICE}[_-]`, "iu");
const BEHIND = new RegExp(`[_-]${DEVICE}$`, "iu");

/** Logits, whatever their file says of the run; those of a router are others. */
const LOGITS = /^(?!.*(?:router|gate))(?:[^.]+[_-])?logits$/iu;

/**
 * The name of the only tensor of a file, which is often the file's own:
 * `cpu_logits` and `npu_logits`, or `hidden_gpu` and `hidden_npu`, are the same
 * tensor of two devices.
 */
export function nameAlone(name: string): string {
  const bare = name.replace(BEFORE, "").replace(BEHIND, "");
  return LOGITS.test(bare) ? "logits" : bare;
}
