/** Causes that a comparison names, in English. */

import type { CauseText } from "../cause-text.ts";

export const COMPARE_EN = {
  "cause/configuration": {
    title: "another configuration",
    message: "{differences}",
    usual: [
      "the converter dropped or renamed a key of config.json (rope_theta, rope_scaling, eps)",
      "the engine has a default of its own for a key that the checkpoint does not state",
      "the two sides load different checkpoints, or one of them a quantised one",
    ],
    advice: [
      "Make the engine read the key that the report names; in vLLM try --hf-overrides '{\"KEY\": VALUE}' first.",
      "Compare again: what remains afterwards is another error.",
    ],
  },
  "cause/non-finite": {
    title: "no finite numbers",
    message:
      "{nan} NaN and {infinite} infinite {infinite?value|values} in {affected} of {rows} {rows?row|rows}",
    usual: [
      "an overflow of float16: Q·Kᵀ or the MLP beyond 65504",
      "a mask of −Inf over a row without any allowed key, or −Inf − (−Inf)",
      "memory that was read before it was written: padding, a KV block of nobody",
    ],
    advice: [
      "Run the module in bfloat16 or float32; for attention choose the operator's high precision (inner_precise of npu_fused_infer_attention_score, KERNELTYPE_HIGH_PRECISION in ATB).",
      "Run with ASCEND_LAUNCH_BLOCKING=1: if the NaN is gone, two streams race.",
    ],
  },
  "cause/skipped": {
    title: "did not run",
    message: "the output is zero throughout, where the reference is not",
    usual: [
      "a fused operator took its place and the output buffer that is dumped stays empty",
      "a layer or an expert was left out while converting or loading the weights",
      "the missing all-reduce or the residual sum of a tensor-parallel rank",
    ],
    advice: [
      "Look which operator runs there: compare without graph mode (--enforce-eager) and without fusion passes.",
      "Check the list of weights that the loader did not find.",
    ],
  },
  "cause/unwritten": {
    title: "a block was never written",
    message:
      "{elements} neighbouring {elements?element|elements} of {affected} of {rows} {rows?row|rows} {elements?holds|hold} zeros, or what stood there before",
    usual: [
      "the last tile of an operator: a shape that is no multiple of 16 or of the block size",
      "stale memory: an output of torch.empty that the kernel covers in part, a reused workspace",
      "a wrong length in actual_seq_lengths or in the block table of the paged KV cache",
    ],
    advice: [
      "Try lengths that are multiples of 16 and 128: if the error goes, the tail of a tile is at fault.",
      "Replace torch.empty by torch.zeros for the output; set ASCEND_LAUNCH_BLOCKING=1 to rule a race out.",
    ],
  },
  "cause/saturation": {
    title: "clamped",
    message:
      "{elements} {elements?element|elements} in {columns} {columns?channel|channels} {elements?stops|stop} at a size of {largest}, where the reference is larger",
    usual: [
      "the saturation mode of the device: overflow gives 65504 instead of infinity",
      "massive activations beyond the range of float16, or of an int8 scale set too small",
      "a clamp in a fused activation (a swiglu limit) that the model does not have",
    ],
    advice: [
      "Set INF_NAN_MODE_ENABLE=1 (Atlas A2 and newer): an overflow then shows as infinity.",
      "Run the module in bfloat16; with quantised activations measure the scales again (npu_dynamic_quant by token).",
    ],
  },
  "cause/sparse": {
    title: "single elements",
    message: "{share%} of the error is in a few elements of a row",
    usual: [
      "dropout that is still on: keep_prob < 1 of npu_fusion_attention, a module in train()",
      "a race between two streams, or between the vector and the cube unit of one kernel",
      "a broken memory cell: the same element is wrong in every run",
    ],
    advice: [
      "Capture the candidate twice: what differs between the two runs is a race or dropout.",
      "Call model.eval(), set keep_prob to 1, and try ASCEND_LAUNCH_BLOCKING=1.",
    ],
  },
  "cause/token": {
    title: "single tokens",
    message:
      "{affected} of {rows} {rows?row|rows} {affected?is|are} wrong, {copies} of them {copies?a copy|copies} of a neighbour; the worst is token {token} of sample {sample}",
    usual: [
      "a slot of the KV cache or of the block table that belongs to another token or request",
      "a token at the edge of a chunk, a block or a window; padding that was not cut",
      "an expert that dropped tokens beyond its capacity, or another choice of experts",
    ],
    advice: [
      "Look whether the tokens lie at multiples of the block size or at the ends of the prompts.",
      "Compare with one prompt a batch and without chunked prefill or prefix caching.",
    ],
  },
  "cause/shift": {
    title: "rows shifted",
    message:
      "each row holds what belongs {lag} {lag?row|rows} before it (cosine {cosine:4}, with its own {own:4})",
    usual: [
      "positions, slots or labels that are off by one",
      "padding on the left that one side strips and the other does not",
      "a fused operator that starts at the wrong row of a packed (TND) batch",
    ],
    advice: [
      "Check query_start_loc, actual_seq_lengths (are they cumulative?) and the slot mapping.",
      "Compare with one unpadded prompt.",
    ],
  },
  "cause/channel": {
    title: "a few channels",
    message:
      "{share%} of the error is in {channels} of {width} {width?channel|channels} (the first is {first}); {channels?it is|they are} {gain:3} times what {channels?it|they} should be",
    usual: [
      "a weight whose shard, tile or tail was not loaded: a dimension that is no multiple of 16",
      "outlier channels of a quantised weight, or their scale",
      "a bias that only some channels have",
    ],
    advice: [
      "Compare these rows of the weight with the checkpoint (npu-dump weights).",
      "Keep the weight in the ND layout (weight_nz_mode 0, torch_npu.npu.config.allow_internal_format = False).",
    ],
  },
  "cause/permutation": {
    title: "channels in another order",
    message:
      "{found%} of the channels are those of the reference, {atHome%} of them in their place (roll {roll})",
    usual: [
      "heads or shards put together in another order: a transpose or reshape too few",
      "a weight that was stored transposed, or converted to FRACTAL_NZ twice",
      "rotary dimensions left interleaved in an output that should be in halves",
    ],
    advice: [
      "Look at the reshape behind the operator: input_layout BSH, BSND, BNSD and TND differ in just that.",
      "Compare the weight with the checkpoint, and with tensor parallelism of 1.",
    ],
  },
  "cause/sign": {
    title: "the other sign",
    message: "the output is {gain:3} times what it should be",
    usual: [
      "a residual that is subtracted, or a rotation by the negative angle (sin's sign)",
      "a fused operator that returns the negated value",
    ],
    advice: ["Look at the sign in the formula of the operator, and at rotate_half."],
  },
  "cause/bits": {
    title: "rounded to fewer bits",
    message: "the values have {bits} significant {bits?bit|bits} where the format holds {of}",
    usual: [
      "a cast to a coarser format on the way: bfloat16 holds 8 bits, float16, TF32 and HF32 11",
      "truncation instead of rounding in a cast",
      "a fused operator that hands its output over in a coarser format",
    ],
    advice: [
      "Look for casts behind the operator, and for its output dtype.",
      "For float32 set torch.npu.matmul.allow_hf32 = False and torch.npu.conv.allow_hf32 = False.",
    ],
  },
  "cause/scale": {
    title: "scaled",
    message: "the output is {gain:5} times what it should be",
    usual: [
      "a multiplier that is missing or applied twice: residual, embedding, logits or router scale",
      "a dequantisation scale that is off",
      "an all-reduce that adds a bias, or the whole output, once a rank",
    ],
    advice: [
      "Look for this number, or its inverse, in config.json: residual_multiplier, logits_scaling, routed_scaling_factor.",
      "Compare with tensor parallelism of 1.",
    ],
  },
  "cause/bias": {
    title: "one vector added",
    message: "{share%} of the error is one vector that every row has",
    usual: [
      "a bias that is missing, or added twice or once a rank",
      "a zero point of quantised activations that is not taken off",
      "the beta of a layer norm",
    ],
    advice: [
      "Compare the biases with the checkpoint; attention_bias, mlp_bias and qkv_bias in config.json say which exist.",
      "With tensor parallelism only one rank may add the bias of a row-parallel product.",
    ],
  },
  "cause/channel-gain": {
    title: "a gain in each channel",
    message: "a gain a channel, {low:4} to {high:4}, explains {share%} of the error",
    usual: [
      "the norm's weight: another layer's, 1 + w or w (Gemma), rounded, or never loaded",
      "scales of a quantised weight that belong to other channels",
    ],
    advice: [
      "Compare the norm's weight with the checkpoint; npu_rms_norm multiplies by w, npu_gemma_rms_norm by 1 + w.",
      "Look whether the scales are transposed or in another order than the weight.",
    ],
  },
  "cause/low-rank": {
    title: "one direction",
    message: "{share%} of the error points in {directions} {directions?direction|directions}",
    usual: [
      "one inner channel is dead or wrong: a row or column of the weight before it",
      "one token or sink that all others attend to has another value",
    ],
    advice: [
      "Compare the weights of this block with the checkpoint, row by row.",
      "npu-dump probe tests the heads and the sink one by one.",
    ],
  },
  "cause/precision": {
    title: "less precise",
    message:
      "an error of {median:2} without structure, {times:3} times the floor's: as of quantised weights or a coarser format",
    usual: [
      "quantised weights or activations (W8A8, W4A16) against a reference that is not quantised",
      "a product that accumulates in 16 bits, or partial sums that are rounded",
      "a high-performance mode of the operator",
    ],
    advice: [
      "If it is quantised on purpose, compare with a reference of the same quantised weights.",
      "Choose the operator's high precision mode: inner_precise 0, allow_hf32 False.",
    ],
  },
} as const satisfies Readonly<Record<string, CauseText>>;
