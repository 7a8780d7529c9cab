/** Causes that `npu-dump probe` names, in English. */

import type { CauseText } from "../cause-text.ts";

export const PROBE_EN = {
  "cause/attention-scale": {
    title: "attention scale",
    message: "the attention scale is {estimate} times what it should be",
    usual: [
      "scale_value of npu_fused_infer_attention_score was left at its default of 1, or scale of npu_fusion_attention",
      "1/√d of a padded head dimension, or of the whole one where a part is rotated (MLA)",
      "query_pre_attn_scalar, attention_multiplier or the mscale of YaRN was not read",
    ],
    advice: ["Pass the module's own scaling to the operator; compare it with the config's key."],
  },
  "cause/rotary-base": {
    title: "rotary base",
    message: "the rotary frequencies are those of a base of {estimate}",
    usual: [
      "rope_theta was dropped while converting, and the engine's default of 10000 stands in",
      "rope_scaling (YaRN, llama3, linear, dynamic) was not read, or its factor",
      "a cos_sin_cache that all layers share, where local and global ones differ (Gemma 3)",
    ],
    advice: [
      "Compare rope_theta and rope_scaling (rope_parameters in newer checkpoints) of both sides.",
      "Print the first and the last row of cos_sin_cache, and its dtype: bfloat16 angles are wrong at long positions.",
    ],
  },
  "cause/position": {
    title: "positions",
    message: "the positions are off by {estimate}",
    usual: [
      "positions that count from 1, or count the padding",
      "decode steps that start at the wrong length, or at that of another request",
      "chunked prefill or prefix caching without the offset",
    ],
    advice: ["Print the positions that the rotary operator gets at the first and at a later step."],
  },
  "cause/rotary-layout": {
    title: "rotary layout",
    message: "the rotary embedding pairs other dimensions",
    usual: [
      "rotary_mode half where the model wants interleave (npu_mrope, npu_rotary_mul), or the reverse",
      "is_neox_style that the NPU's operator ignores",
      "partial_rotary_factor that is not read: an operator that rotates the whole head",
    ],
    advice: [
      "Set rotary_mode by the model's is_neox_style: half is NeoX, interleave is GPT-J.",
      "Use the engine's native rotary embedding for a test: if the error goes, the operator is at fault.",
    ],
  },
  "cause/kv-heads": {
    title: "key-value heads",
    message: "the query heads read other key-value heads",
    usual: [
      "repeat where repeat_interleave belongs: heads tiled instead of repeated",
      "num_key_value_heads of the operator left at 0, or taken for num_heads",
      "key-value heads shared out wrongly over tensor-parallel ranks",
    ],
    advice: [
      "Pass num_key_value_heads and do not repeat the heads yourself.",
      "Compare with tensor parallelism of 1.",
    ],
  },
  "cause/mask": {
    title: "causal mask",
    message: "the mask lies off by {estimate} {estimate?key|keys}",
    usual: [
      "sparse_mode of npu_fused_infer_attention_score: 2 aligns the mask at the upper left, 3 at the lower right",
      "an atten_mask with the other meaning: 1 is hidden for this operator",
      "next_tokens that is not 0, or a mask of another shape that is accepted silently",
    ],
    advice: [
      "Use sparse_mode 3 with the compressed 2048×2048 mask for prefill behind a cache.",
      "Test with an explicit full mask and sparse_mode 0.",
    ],
  },
  "cause/window": {
    title: "attention window",
    message: "the window is {estimate} {estimate?key|keys} wide",
    usual: [
      "pre_tokens without sparse_mode 4, or left at its maximum: a sliding layer that sees everything",
      "a window in the layers that should be global: layer_types not read",
      "a window that is one key too narrow or too wide",
    ],
    advice: [
      "Compare sliding_window and layer_types with what each layer passes as pre_tokens.",
      "Test a prompt that is shorter than the window: the error must go.",
    ],
  },
  "cause/head": {
    title: "one head",
    message: "head {estimate} is missing",
    usual: [
      "a number of heads that the ranks or the operator's tiles do not divide",
      "a shard of o_proj or of the query weight that was not loaded",
    ],
    advice: [
      "Compare with tensor parallelism of 1, then the weights of that head with the checkpoint.",
    ],
  },
  "cause/sink": {
    title: "attention sink",
    message: "the attention lacks its sinks",
    usual: [
      "an attention operator that knows no sinks: npu_fused_infer_attention_score before v2",
      "sinks that were not loaded, or sliced wrongly over the ranks",
    ],
    advice: [
      "Use npu_fused_infer_attention_score_v2 with the learnable sink, or the engine's native attention.",
    ],
  },
  "cause/qk-norm": {
    title: "query and key norm",
    message: "queries and keys are not normalised",
    usual: [
      "q_norm and k_norm were dropped by a fused QKV and rotary operator",
      "a norm over the whole projection instead of each head, or behind the rotation",
    ],
    advice: ["Switch the fused QKV-norm-rotary pass off and compare again."],
  },
  "cause/norm-weight": {
    title: "norm weight",
    message: "the norm before the block has another weight",
    usual: [
      "1 + w against w: Gemma's norm wants npu_gemma_rms_norm, others npu_rms_norm",
      "the weight of another layer: npu_add_rms_norm fuses the norm of the next block",
      "a norm bias or eps that the fused operator does not take",
    ],
    advice: [
      "Compare the weight and epsilon that the operator gets with the checkpoint.",
      "Switch the fusion of add and norm off and compare again.",
    ],
  },
  "cause/layer-weights": {
    title: "another layer's weights",
    message: "the block runs with the weights of a neighbouring layer",
    usual: [
      "a layer index that is off by one: pipeline stages, layers that were left out",
      "weight prefetch or a shared buffer that still holds the layer before",
    ],
    advice: [
      "npu-dump weights compares all weights with the checkpoint.",
      "Switch weight prefetch off (weight_prefetch_config).",
    ],
  },
  "cause/activation": {
    title: "activation",
    message: "the activation is {estimate}",
    usual: [
      "npu_fast_gelu is the quick gelu, not the exact one; npu_gelu has approximate none and tanh",
      "npu_swiglu (silu) in a model whose hidden_act is gelu, or without its limit and alpha (gpt-oss)",
    ],
    advice: ["Choose the operator by hidden_act (hidden_activation in Gemma)."],
  },
  "cause/gate-up": {
    title: "gate and up exchanged",
    message: "the activation is applied to up instead of gate",
    usual: [
      "the merged weight is [up, gate]: npu_swiglu applies silu to the first half",
      "gate and up interleaved in the checkpoint (gpt-oss) and split in halves",
    ],
    advice: ["Merge as [gate, up], each rank its own halves."],
  },
  "cause/router": {
    title: "router",
    message: "the experts are chosen or weighed otherwise: {estimate}",
    usual: [
      "renorm of npu_moe_gating_top_k against norm_topk_prob: weights that are not normalised",
      "norm_type (0 softmax, 1 sigmoid), routed_scaling_factor, the correction bias",
      "another k, groups, or experts in another order after expert parallelism",
    ],
    advice: [
      "Compare the router tensors first: if they agree, the choice or the weights behind them are at fault.",
      "Compare with the native router and without expert parallelism or load balancing (EPLB).",
    ],
  },
  "cause/soft-cap": {
    title: "soft cap",
    message: "the soft cap is missing",
    usual: [
      "an attention operator without soft cap: attn_logit_softcapping of Gemma 2 is dropped",
      "final_logit_softcapping not applied to the logits",
    ],
    advice: [
      "Use the engine's native attention for these layers; apply c·tanh(z/c) to the logits.",
    ],
  },
} as const satisfies Readonly<Record<string, CauseText>>;
