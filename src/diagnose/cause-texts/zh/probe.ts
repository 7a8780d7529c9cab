/** Causes that `npu-dump probe` names, in Chinese. */

import type { CauseText } from "../cause-text.ts";

export const PROBE_ZH = {
  "cause/attention-scale": {
    title: "注意力缩放",
    message: "注意力缩放为应有值的 {estimate} 倍",
    usual: [
      "npu_fused_infer_attention_score 的 scale_value 或 npu_fusion_attention 的 scale 没有传入（默认为 1）",
      "1/√d 用了补齐后的 head 维度，或在只旋转一部分时用了整个维度（MLA）",
      "没有读取 query_pre_attn_scalar、attention_multiplier 或 YaRN 的 mscale",
    ],
    advice: ["把模块自身的 scaling 传给算子，并与配置中的键比较。"],
  },
  "cause/rotary-base": {
    title: "RoPE base",
    message: "旋转频率对应的 base 为 {estimate}",
    usual: [
      "转换时丢失 rope_theta，推理引擎使用默认值 10000",
      "没有读取 rope_scaling（YaRN、llama3、linear、dynamic）或其 factor",
      "所有层共用一份 cos_sin_cache，而局部层与全局层应当不同（Gemma 3）",
    ],
    advice: [
      "比较两侧的 rope_theta 和 rope_scaling（较新的 checkpoint 为 rope_parameters）。",
      "打印 cos_sin_cache 的首行和末行及其数据类型：bfloat16 的角度在长位置处是错的。",
    ],
  },
  "cause/position": {
    title: "位置编号",
    message: "位置偏移了 {estimate}",
    usual: [
      "位置从 1 开始，或把 padding 计算在内",
      "解码步的起始长度有误，或用了另一个请求的长度",
      "chunked prefill 或 prefix caching 没有加上偏移",
    ],
    advice: ["打印首步和之后某一步传给旋转算子的位置。"],
  },
  "cause/rotary-layout": {
    title: "旋转维度的排列",
    message: "旋转编码配对的维度不同",
    usual: [
      "模型要求 interleave 而 rotary_mode 为 half（npu_mrope、npu_rotary_mul），或相反",
      "NPU 算子忽略了 is_neox_style",
      "没有读取 partial_rotary_factor：算子旋转了整个 head",
    ],
    advice: [
      "按模型的 is_neox_style 设置 rotary_mode：half 为 NeoX，interleave 为 GPT-J。",
      "改用推理引擎的原生旋转实现：若误差消失，问题在算子。",
    ],
  },
  "cause/kv-heads": {
    title: "KV 头的对应",
    message: "query 头读取了其他的 KV 头",
    usual: [
      "应当用 repeat_interleave 却用了 repeat：KV 头被整体平铺而不是逐个重复",
      "算子的 num_key_value_heads 为 0，或被当作 num_heads",
      "KV 头在张量并行的 rank 之间分配有误",
    ],
    advice: ["传入 num_key_value_heads，不要自行重复 KV 头。", "以张量并行度 1 再比较。"],
  },
  "cause/mask": {
    title: "因果掩码",
    message: "掩码偏移了 {estimate} 个 key",
    usual: [
      "npu_fused_infer_attention_score 的 sparse_mode：2 以左上角对齐，3 以右下角对齐",
      "atten_mask 的含义相反：对该算子而言 1 表示屏蔽",
      "next_tokens 不为 0，或掩码形状不符却被静默接受",
    ],
    advice: [
      "有 cache 的 prefill 使用 sparse_mode 3 和 2048×2048 的压缩掩码。",
      "用显式的完整掩码和 sparse_mode 0 验证。",
    ],
  },
  "cause/window": {
    title: "注意力窗口",
    message: "窗口宽度为 {estimate} 个 key",
    usual: [
      "设置了 pre_tokens 却没有用 sparse_mode 4，或保持最大值：滑动层看到了全部 key",
      "应为全局的层也加了窗口：没有读取 layer_types",
      "窗口窄了或宽了一个 key",
    ],
    advice: [
      "把 sliding_window 和 layer_types 与各层传入的 pre_tokens 比较。",
      "用短于窗口的提示词验证：误差应当消失。",
    ],
  },
  "cause/head": {
    title: "注意力头缺失",
    message: "缺少第 {estimate} 个注意力头",
    usual: ["头数不能被 rank 数或算子的分块整除", "o_proj 或 query 权重的某个分片没有加载"],
    advice: ["以张量并行度 1 再比较，然后把该头的权重与 checkpoint 比较。"],
  },
  "cause/sink": {
    title: "attention sink",
    message: "注意力缺少 sink",
    usual: [
      "注意力算子不支持 sink：npu_fused_infer_attention_score 的 v2 才支持",
      "sink 没有加载，或在 rank 之间切分有误",
    ],
    advice: [
      "使用带 learnable sink 的 npu_fused_infer_attention_score_v2，或推理引擎的原生注意力。",
    ],
  },
  "cause/qk-norm": {
    title: "q/k norm",
    message: "query 和 key 没有归一化",
    usual: [
      "融合的 QKV 与旋转算子丢掉了 q_norm 和 k_norm",
      "对整个投影而不是逐头归一化，或在旋转之后归一化",
    ],
    advice: ["关闭 QKV、norm、rope 的融合 pass 后再比较。"],
  },
  "cause/norm-weight": {
    title: "norm 权重",
    message: "模块之前的 norm 权重不同",
    usual: [
      "混淆 1 + w 与 w：Gemma 的 norm 用 npu_gemma_rms_norm，其他用 npu_rms_norm",
      "用了其他层的权重：npu_add_rms_norm 融合的是下一个模块的 norm",
      "融合算子没有接收 norm 的 bias 或 eps",
    ],
    advice: [
      "把传给算子的权重和 epsilon 与 checkpoint 比较。",
      "关闭 add 与 norm 的融合后再比较。",
    ],
  },
  "cause/layer-weights": {
    title: "用了其他层的权重",
    message: "该模块用相邻层的权重计算",
    usual: [
      "层号偏移了一位：流水线并行的阶段，或被跳过的层",
      "权重预取或共享缓冲区中还是上一层的内容",
    ],
    advice: [
      "npu-dump weights 会把全部权重与 checkpoint 比较。",
      "关闭权重预取（weight_prefetch_config）。",
    ],
  },
  "cause/activation": {
    title: "激活函数",
    message: "激活函数为 {estimate}",
    usual: [
      "npu_fast_gelu 是 quick gelu 而不是精确的 gelu；npu_gelu 有 none 和 tanh 两种 approximate",
      "hidden_act 为 gelu 的模型用了 npu_swiglu（silu），或缺少 limit 和 alpha（gpt-oss）",
    ],
    advice: ["按 hidden_act（Gemma 为 hidden_activation）选择算子。"],
  },
  "cause/gate-up": {
    title: "gate 与 up 互换",
    message: "激活函数作用在 up 而不是 gate 上",
    usual: [
      "合并后的权重为 [up, gate]：npu_swiglu 对前半部分做 silu",
      "checkpoint 中 gate 与 up 交错存放（gpt-oss），却按前后两半切分",
    ],
    advice: ["按 [gate, up] 合并，每个 rank 各取自己的两半。"],
  },
  "cause/router": {
    title: "路由",
    message: "专家的选择或权重不同：{estimate}",
    usual: [
      "npu_moe_gating_top_k 的 renorm 与 norm_topk_prob 不符：权重没有归一化",
      "norm_type（0 为 softmax，1 为 sigmoid）、routed_scaling_factor 或 correction bias",
      "k 或分组不同，或专家并行之后专家顺序不同",
    ],
    advice: [
      "先比较 router 张量：若一致，问题在其后的选择或权重。",
      "改用原生路由，并关闭专家并行和负载均衡（EPLB）后再比较。",
    ],
  },
  "cause/soft-cap": {
    title: "soft cap",
    message: "缺少 soft cap",
    usual: [
      "注意力算子不支持 soft cap：Gemma 2 的 attn_logit_softcapping 被丢弃",
      "没有对 logits 应用 final_logit_softcapping",
    ],
    advice: ["这些层使用推理引擎的原生注意力；对 logits 应用 c·tanh(z/c)。"],
  },
} as const satisfies Readonly<Record<string, CauseText>>;
