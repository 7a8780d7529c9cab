/** The rules about one tensor's error, its own and that of a plain pair, in Chinese. */

import type { LAYER_RULE_FACTS } from "../layer-rule-facts.ts";
import type { RuleText } from "./rule-text.ts";

export const LAYER_RULE_TEXTS_ZH: Readonly<Record<keyof typeof LAYER_RULE_FACTS, RuleText>> = {
  "own/finite": {
    message: "有 {value} 个位置与该模块应有的输出类型不同：仅一侧为 NaN、无穷或全零行",
    why: "强制基准以待测侧自己的输入计算，因此输入中已有的 NaN 两侧都会出现；剩下的不一致就产生于该模块。",
    causes: ["模块内部溢出", "全为 −Inf 的掩码使某一行没有可用位置", "读取了尚未写入的内存"],
    tune: "没有上限可以放宽此规则。",
  },
  "own/embed": {
    message: "token {token} 与词表对应行相差 {value} u，上限 {limit} u",
    why: "嵌入只是查表，舍入一次；若后有系数且噪声基底也如此，最多三次。误差更大说明词表不同、取错了行，或一侧少乘了系数。",
    causes: ["嵌入权重不同或被量化", "一侧缺少 embedding multiplier", "新增词表导致 token id 偏移"],
    tune: "没有上限可以放宽此规则。",
  },
  "own/energy": {
    message: "自身误差为基底的 {value} 倍，上限 {limit} 倍",
    why: "该模块的输入取自待测侧，并以基准精度重新计算。两者之差超出基底自身误差的部分就产生于此，没有继承的成分。",
    causes: [
      "公式不同：eps、RoPE 基数、注意力缩放、激活函数、掩码",
      "权重错误、未更新或被量化",
      "累加精度低于基底",
    ],
    tune: "用 npu-dump probe 对该模块逐一检验假设。",
  },
  "own/sample": {
    message: "样本 {sample} 的自身误差为基底的 {value} 倍（已计入长度修正），上限 {limit} 倍",
    why: "众多样本中只有一个出错时会被平均掉，因此误差最大的样本单独判定，其上限已考虑该样本的行数。",
    causes: ["组 batch 的问题：padding、位置编号或序列长度错乱", "该长度触发了另一个算子"],
    tune: "单独比较该样本，看它与其他样本有何不同。",
  },
  "own/token": {
    message: "有一个 token 的自身误差为基底最差 1 % 的 {value} 倍，上限 {limit} 倍",
    why: "单独一行出错（token 重复、缓存槽位过期）不影响均值。",
    causes: ["键值缓存槽位过期或重复", "未写入的分块", "把 padding 行当作 token"],
    tune: "具体 token 见 JSON 结果中的 own.maxAt。",
  },
  "own/element": {
    message: "有一个元素的误差为基底行误差中位数的 {value} 倍，上限 {limit} 倍",
    why: "少数元素出错会淹没在整行范数中；与基底对照，最大的一个元素仍然可见。",
    causes: ["被其他算子改写的内存", "元素被截断到最大值", "向量指令中未写入的通道"],
    tune: "npu-diff explain cause/sparse 说明这类元素通常的来源。",
  },
  "own/slope": {
    message: "存在恒定增益，为基底误差的 {value} 倍，上限 {limit} 倍",
    why: "舍入没有偏好的方向；与输出成正比的误差就是一个系数。",
    causes: ["缩放或残差系数不同", "量化 scale 有偏差", "归一化的 eps 或权重不同"],
    tune: "npu-dump probe 可估计该系数。",
  },
  "own/channel": {
    message: "有一个通道占误差的份额为基底的 {value} 倍，上限 {limit} 倍",
    why: "舍入误差在各通道上的分布与基底一致；集中在少数通道的误差来自这些通道的权重。",
    causes: [
      "某一列权重错误、错位或未加载",
      "某一量化分组的 scale 错误",
      "由另一算子计算的输出分块",
    ],
    tune: "npu-diff explain cause/channel 说明排查位置。",
  },
  "own/offset": {
    message: "有一个通道偏移了常数，为基底在该通道误差的 {value} 倍，上限 {limit} 倍",
    why: "舍入误差在各 token 上相互抵消；留下来的常数就是偏置。",
    causes: ["缺少偏置或重复相加", "丢失了量化权重的零点"],
    tune: "npu-diff explain cause/bias 说明排查位置。",
  },
  "own/gain": {
    message: "有一个通道的增益不同，为基底在该通道误差的 {value} 倍，上限 {limit} 倍",
    why: "逐 token 跟随通道自身数值变化的误差，是该通道的系数错误。",
    causes: ["归一化权重未更新，或读取时错位", "逐通道量化 scale 有偏差"],
    tune: "npu-diff explain cause/channel-gain 说明排查位置。",
  },
  "own/fixed": {
    message: "自身误差 {value} u，上限 {limit} u",
    why: "没有基底的自身误差时，以 SmolLM2-135M 和七个微型模型的合法算子在 16 位格式下所能达到的误差为上限，单位为该格式的舍入误差。",
    causes: ["确有问题，参见 own/energy", "该模块的正常误差高于设定上限时所用的模型"],
    tune: "用 npu-dump reference 生成基准集，由基底判定。",
  },
  "layer/floor-ratio": {
    message: "误差为噪声基底的 {value} 倍，上限 {limit} 倍",
    why: "噪声基底是基准引擎在同样的 token 上仅因数值格式而产生的误差。无论误差的绝对大小，正确的引擎通常在基底的 0.95 到 1.2 倍之间；部分和舍入到 bf16 时不超过 1.7 倍。",
    causes: [
      "计算公式不同：eps、RoPE base、注意力缩放、激活函数、掩码",
      "权重错误、陈旧或被量化",
      "累加精度低于噪声基底",
    ],
    tune: "--max-floor-ratio 可调整上限。再给一个用其他注意力实现生成的 --floor，可放宽合法算子之间存在差异的位置。",
  },
  "layer/floor-ratio-p99": {
    message: "误差最大的 1 % token 达到噪声基底的 {value} 倍，上限 {limit} 倍",
    why: "少数 token 的误差会被整体均值淹没，用 99 分位数与噪声基底相比才看得出来。",
    causes: ["只影响部分位置的掩码、滑动窗口或 KV cache 问题", "序列末尾的分块处理不同"],
    tune: "误差最大的 token 见 JSON 结果中的 tokenRelL2.maxAt。",
  },
  "layer/floor-token": {
    message: "有一个 token 的误差达到噪声基底的 {value} 倍，上限 {limit} 倍",
    why: "单独一行出错（token 重复、KV cache 槽位陈旧）既不改变均值，也不改变 99 分位数。",
    causes: ["KV cache 槽位陈旧或重复", "有分块未写入", "把 padding 行当作了 token"],
    tune: "样本与 token 的位置见 JSON 结果中的 floor.floorTokenRatioAt。",
  },
  "layer/floor-sample": {
    message: "样本 {sample} 的误差为噪声基底的 {value} 倍（已计入长度修正），上限 {limit} 倍",
    why: "众多样本中只有一个出错时会被平均掉，因此误差最大的样本单独判定，其上限已考虑该样本的行数。",
    causes: ["组 batch 的问题：padding、位置编号或序列长度错乱", "该长度触发了另一个算子"],
    tune: "单独比较该样本，定位误差的起点。",
  },
  "layer/prior": {
    message: "误差 {value}，先验上限 {limit}",
    why: "没有噪声基底时，用先验上限判定：它来自一个小模型在相同格式下正常运行时误差随层数的增长，比噪声基底粗糙，也不是在您的模型上测得的。",
    causes: ["确有问题，参见 layer/floor-ratio", "该架构的正常误差增长快于先验"],
    tune: "用 --floor 提供噪声基底：由基准引擎以待测侧的精度运行得到。",
  },
  "layer/prior-token": {
    message: "有一个 token 的误差为 {value}，先验上限 {limit}",
    why: "单独一行出错不影响均值。没有噪声基底时，其上限为先验值。",
    causes: ["KV cache 槽位陈旧或重复", "先验未覆盖的超大激活值"],
    tune: "用 --floor 提供噪声基底；token 的位置见 tokenRelL2.maxAt。",
  },
  "layer/prior-sample": {
    message: "样本 {sample} 的误差为 {value}，先验上限 {limit}",
    why: "众多样本中只有一个出错时会被平均掉，因此误差最大的样本单独判定。没有噪声基底时，其上限为先验值。",
    causes: ["组 batch 的问题：padding、位置编号或序列长度错乱", "该长度触发了另一个算子"],
    tune: "用 --floor 提供噪声基底，并单独比较该样本。",
  },
  "layer/infinite": {
    message: "有 {value} 行在基准中全为零，在待测中却不为零",
    why: "相对于全零的行，任何误差都是无穷大，没有阈值可言。",
    causes: ["基准屏蔽了待测侧仍在计算的位置", "读取了未初始化的内存"],
    tune: "没有阈值可以放宽此规则。请检查该行的掩码与 padding。",
  },
  "layer/propagated": {
    message: "超出 {rule}，共 {value} 个张量；但每个模块以自身输入计算均正确",
    why: "专家之间的近似平局或混沌的 token 会把合法的舍入放大到任意大小。每个模块都以自身输入单独计算，且误差在基底自身误差之内，因此没有模块出错；影响与否由模型的输出质量判定。",
    causes: ["路由在近似平局处翻转", "激活值极大、或注意力没有明确指向的 token"],
    tune: "无需放宽：这只是警告。输出质量指标会显示模型的回答是否改变。",
  },
  "layer/routed": {
    message: "个别 token 的误差为 {rule} 上限的 {value} 倍，专家选择的改变即可解释",
    why: "处于近似平局的 token 在任何合法舍入之后都可能被路由到其他专家，其误差可与自身一样大。对专家的输出及其后的一切张量，普通成对比较无法用阈值区分这样的单个 token 与故障：正确的引擎可达上限的 45 倍。这不算通过。",
    causes: [
      "近似平局处合法地选择了其他专家",
      "个别 token 出错：过期的行、丢失的 token、错误的位置",
    ],
    tune: "提供强制基准（npu-dump reference），让每个模块以自身输入判定；或提供更多基底。没有阈值可以放宽。",
  },
  "layer/undecided": {
    message: "无法判定：{reason}",
    why: "没有任何规则能够判定的张量不能算通过。统计量只能给出误差的下界：它们能证明张量有错，不能证明张量正确。发现项的 detail 字段 open 列出尚未判定的规则。",
    causes: [
      "没有一行存在成对的有限值",
      "张量以精简形式保存，已知部分未违反任何规则",
      "logits 以精简形式保存，而没有规则使用它：解码步骤、隔离重放、少于 6 个提示词，或 --preset exact",
    ],
    tune: "两侧都完整保存该张量：--mode full，或用 --mode 'layers.7.*=full' 只保存其中一部分。",
  },
};
