/** Causes that a comparison names, in Chinese. */

import type { CauseText } from "../cause-text.ts";

export const COMPARE_ZH = {
  "cause/configuration": {
    title: "配置不同",
    message: "{differences}",
    usual: [
      "权重转换时丢失或改名了 config.json 的某个键（rope_theta、rope_scaling、eps）",
      "checkpoint 没有写明的键，推理引擎使用了自己的默认值",
      "两侧加载的 checkpoint 不同，或其中一侧是量化版",
    ],
    advice: [
      "让推理引擎读取报告所指的键；在 vLLM 中可先用 --hf-overrides '{\"KEY\": VALUE}' 验证。",
      "然后重新比较：剩下的就是另一个误差。",
    ],
  },
  "cause/non-finite": {
    title: "非有限值",
    message: "{rows} 行中有 {affected} 行出现 {nan} 个 NaN 和 {infinite} 个无穷大",
    usual: [
      "float16 溢出：Q·Kᵀ 或 MLP 超过 65504",
      "掩码使整行都是 −Inf，或出现 −Inf − (−Inf)",
      "读取了未写入的内存：padding、不属于任何请求的 KV 块",
    ],
    advice: [
      "让该模块以 bfloat16 或 float32 计算；注意力算子选择高精度模式（npu_fused_infer_attention_score 的 inner_precise，ATB 的 KERNELTYPE_HIGH_PRECISION）。",
      "设置 ASCEND_LAUNCH_BLOCKING=1 再运行：若 NaN 消失，说明存在多流竞争。",
    ],
  },
  "cause/skipped": {
    title: "模块没有执行",
    message: "输出全为零，而基准不是",
    usual: [
      "融合算子取代了该模块，被采集的输出缓冲区始终为空",
      "权重转换或加载时漏掉了某一层或某个专家",
      "张量并行缺少 all-reduce，或残差没有相加",
    ],
    advice: [
      "确认实际执行的是哪个算子：关闭图模式（--enforce-eager）和融合 pass 后再比较。",
      "检查加载器报告的缺失权重。",
    ],
  },
  "cause/unwritten": {
    title: "部分内存块没有写入",
    message: "{rows} 行中有 {affected} 行、共 {elements} 个相邻元素为零或保留着旧值",
    usual: [
      "算子的尾块：形状不是 16 或块大小的整数倍",
      "脏内存：torch.empty 分配的输出只被部分写入，或复用了 workspace",
      "actual_seq_lengths 或分页 KV cache 的 block table 长度有误",
    ],
    advice: [
      "改用 16 和 128 的整数倍长度：若误差消失，问题在尾块处理。",
      "把输出的 torch.empty 换成 torch.zeros；设置 ASCEND_LAUNCH_BLOCKING=1 排除竞争。",
    ],
  },
  "cause/saturation": {
    title: "数值被截断",
    message: "{columns} 个通道中有 {elements} 个元素停在 ±{largest}，而基准更大",
    usual: [
      "设备的饱和模式：溢出得到 65504 而不是无穷大",
      "巨大激活值超出 float16，或超出过小的 int8 量化 scale",
      "融合激活算子带有模型没有的截断（swiglu limit）",
    ],
    advice: [
      "设置 INF_NAN_MODE_ENABLE=1（Atlas A2 及更新产品）：溢出会显示为无穷大。",
      "让该模块以 bfloat16 计算；激活量化时重新标定 scale（npu_dynamic_quant 按 token 量化）。",
    ],
  },
  "cause/sparse": {
    title: "个别元素出错",
    message: "误差的 {share%} 集中在每行的少数元素上",
    usual: [
      "dropout 没有关闭：npu_fusion_attention 的 keep_prob < 1，或模块处于 train()",
      "两个流之间，或同一算子的 vector 与 cube 单元之间存在竞争",
      "内存单元损坏：每次运行都是同一个元素出错",
    ],
    advice: [
      "把待测侧采集两次：两次之间的差异就是竞争或 dropout。",
      "调用 model.eval()，把 keep_prob 设为 1，并尝试 ASCEND_LAUNCH_BLOCKING=1。",
    ],
  },
  "cause/token": {
    title: "个别 token 出错",
    message:
      "{rows} 行中有 {affected} 行出错，其中 {copies} 行与相邻行重复；最差的是样本 {sample} 的 token {token}",
    usual: [
      "KV cache 或 block table 的槽位属于另一个 token 或请求",
      "位于 chunk、块或窗口边界的 token；没有去除的 padding",
      "专家超出容量而丢弃 token，或选择了不同的专家",
    ],
    advice: [
      "看这些 token 是否位于块大小的整数倍处或提示词末尾。",
      "改为每批一条提示词，并关闭 chunked prefill 和 prefix caching 后再比较。",
    ],
  },
  "cause/shift": {
    title: "行错位",
    message: "每一行都是其前 {lag} 行的内容（余弦 {cosine:4}，与自身为 {own:4}）",
    usual: [
      "位置、槽位或标签偏移了一位",
      "只有一侧去除了左侧 padding",
      "融合算子在打包（TND）的批次中起始行有误",
    ],
    advice: [
      "检查 query_start_loc、actual_seq_lengths（是否为累加值）和 slot mapping。",
      "用一条没有 padding 的提示词比较。",
    ],
  },
  "cause/channel": {
    title: "少数通道出错",
    message:
      "误差的 {share%} 集中在 {width} 个通道中的 {channels} 个（首个为 {first}），其值为应有值的 {gain:3} 倍",
    usual: [
      "权重的某个分片或尾块没有加载：维度不是 16 的整数倍",
      "量化权重的离群通道或其 scale",
      "只有部分通道带有 bias",
    ],
    advice: [
      "把权重的这些行与 checkpoint 比较（npu-dump weights）。",
      "让权重保持 ND 格式（weight_nz_mode 0，torch_npu.npu.config.allow_internal_format = False）。",
    ],
  },
  "cause/permutation": {
    title: "通道顺序不同",
    message: "{found%} 的通道能在基准中找到，其中 {atHome%} 在原位（整体平移 {roll}）",
    usual: [
      "注意力头或分片的拼接顺序不同：缺少一次 transpose 或 reshape",
      "权重被转置保存，或被重复转换为 FRACTAL_NZ",
      "输出仍为交错的旋转维度，而应当前后各半",
    ],
    advice: [
      "检查算子之后的 reshape：input_layout 的 BSH、BSND、BNSD、TND 正是这里不同。",
      "把权重与 checkpoint 比较，并以张量并行度 1 再比较。",
    ],
  },
  "cause/sign": {
    title: "符号相反",
    message: "输出为应有值的 {gain:3} 倍",
    usual: ["残差被减去，或旋转角取负（sin 的符号）", "融合算子返回了相反数"],
    advice: ["检查算子公式中的符号，以及 rotate_half。"],
  },
  "cause/bits": {
    title: "有效位数变少",
    message: "数值只有 {bits} 个有效位，而该格式有 {of} 个",
    usual: [
      "途中转换为更粗的格式：bfloat16 为 8 位，float16、TF32、HF32 为 11 位",
      "类型转换采用截断而不是舍入",
      "融合算子以更粗的格式输出",
    ],
    advice: [
      "查找算子之后的类型转换，以及算子的输出数据类型。",
      "float32 计算请设置 torch.npu.matmul.allow_hf32 = False 和 torch.npu.conv.allow_hf32 = False。",
    ],
  },
  "cause/scale": {
    title: "整体缩放",
    message: "输出为应有值的 {gain:5} 倍",
    usual: [
      "某个系数缺失或被乘了两次：残差、embedding、logits 或路由的 scale",
      "反量化 scale 有误",
      "all-reduce 使 bias 或整个输出按 rank 数重复相加",
    ],
    advice: [
      "在 config.json 中查找这个数或其倒数：residual_multiplier、logits_scaling、routed_scaling_factor。",
      "以张量并行度 1 再比较。",
    ],
  },
  "cause/bias": {
    title: "多出一个固定向量",
    message: "误差的 {share%} 是每一行都相同的一个向量",
    usual: [
      "bias 缺失，或被加了两次、每个 rank 各加一次",
      "激活量化的零点没有扣除",
      "layer norm 的 beta",
    ],
    advice: [
      "把 bias 与 checkpoint 比较；config.json 的 attention_bias、mlp_bias、qkv_bias 说明哪些存在。",
      "张量并行时，行切分矩阵乘的 bias 只能由一个 rank 相加。",
    ],
  },
  "cause/channel-gain": {
    title: "各通道增益不同",
    message: "每个通道一个增益（{low:4} 到 {high:4}）可解释误差的 {share%}",
    usual: [
      "norm 权重有误：用了其他层的、混淆 1 + w 与 w（Gemma）、被舍入或没有加载",
      "量化权重的 scale 与通道不对应",
    ],
    advice: [
      "把 norm 权重与 checkpoint 比较；npu_rms_norm 乘以 w，npu_gemma_rms_norm 乘以 1 + w。",
      "检查 scale 是否被转置，或与权重的顺序不同。",
    ],
  },
  "cause/low-rank": {
    title: "误差集中于一个方向",
    message: "误差的 {share%} 集中在 {directions} 个方向上",
    usual: [
      "某个内部通道失效或出错：前一个权重的一行或一列",
      "所有 token 都关注的某个 token 或 sink 的值不同",
    ],
    advice: [
      "把该模块的权重与 checkpoint 逐行比较。",
      "npu-dump probe 会逐个检验注意力头和 sink。",
    ],
  },
  "cause/precision": {
    title: "精度较低",
    message: "误差为 {median:2}，没有结构，是噪声基底的 {times:3} 倍：像是权重量化或更粗的数值格式",
    usual: [
      "权重或激活被量化（W8A8、W4A16），而基准没有",
      "矩阵乘以 16 位累加，或部分和被舍入",
      "算子处于高性能模式",
    ],
    advice: [
      "若是有意量化，请与同样量化的基准比较。",
      "选择算子的高精度模式：inner_precise 为 0，allow_hf32 为 False。",
    ],
  },
} as const satisfies Readonly<Record<string, CauseText>>;
