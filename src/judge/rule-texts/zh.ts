/** The rule table in Chinese. */

import type { RuleId } from "../rules.ts";
import type { RuleText } from "./rule-text.ts";

export const RULE_TEXTS_ZH: Readonly<Record<RuleId, RuleText>> = {
  "structure/missing": {
    message: "在{side}侧缺失 {value} 处",
    why: "计划采集却没有写入的张量，说明模块没有执行或采集中断，都不能算通过。",
    causes: [
      "推理引擎融合或跳过了该模块，hook 未被触发",
      "该样本的运行提前结束",
      "两侧引擎对模块的命名不同",
    ],
    tune: "两侧使用相同的采集范围，或用 --skip 排除该张量。",
  },
  "structure/shape": {
    message: "形状不一致：基准 {reference}，待测 {candidate}",
    why: "不做任何猜测性的广播或转置：形状不同的张量之间没有可度量的误差。",
    causes: [
      "一侧没有去除 padding",
      "一侧保存的是张量并行的分片",
      "一侧把注意力头单独存为一个维度",
    ],
    tune: "两侧保存同一个张量：无 padding、包含全部 rank、布局一致。",
  },
  "structure/not-captured": {
    message: "在{side}侧有 {value} 处未采集",
    why: "这些张量本来就不在采集范围内，缺少它们不说明任何问题；报告会写明实际比较了多少。",
    causes: ["两侧的采集范围不同"],
    tune: "两侧使用相同的采集范围即可比较更多张量。",
  },

  "finite/mismatched": {
    message: "有 {value} 处仅一侧为 NaN 或无穷大",
    why: "一侧是有限数、另一侧是 NaN 或无穷大，误差就是无界的，出现一处即不通过。",
    causes: [
      "float16 溢出（最大有限值为 65504）",
      "整行都被 −Inf 掩码屏蔽",
      "读取了未初始化的内存",
    ],
    tune: "没有阈值可以放宽此规则。首个位置见 JSON 结果中的 nonFinite.firstAt。",
  },
  "finite/saturation": {
    message: "有 {value} 个元素饱和在该数据类型的最大有限值 {maxFinite}",
    why: "部分设备会截断到最大有限值而不是溢出为无穷大：结果看似正常，其实是错的。",
    causes: ["激活值超出 float16 的表示范围", "设备运行时开启了饱和模式"],
    tune: "让该模块以 bfloat16 或 float32 计算，或关闭饱和模式。",
  },

  "own/finite": {
    message: "有 {value} 个位置与该模块应有的输出类型不同：仅一侧为 NaN 或无穷",
    why: "强制基准以待测侧自己的输入计算，因此输入中已有的 NaN 两侧都会出现；剩下的不一致就产生于该模块。",
    causes: ["模块内部溢出", "全为 −Inf 的掩码使某一行没有可用位置", "读取了尚未写入的内存"],
    tune: "没有上限可以放宽此规则。",
  },
  "own/embed": {
    message: "token {token} 与词表对应行相差 {value} u，上限 {limit} u",
    why: "嵌入只是查表，最多一次舍入。误差更大说明词表不同、取错了行，或一侧少乘了系数。",
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
    why: "没有基底的自身误差时，以一个小模型的合法算子在 16 位格式下所能达到的误差为上限，单位为该格式的舍入误差。",
    causes: ["确有问题，参见 own/energy", "该模块的正常误差高于设定上限时所用的模型"],
    tune: "用 npu-dump reference 生成基准集，由基底判定。",
  },
  "layer/floor-ratio": {
    message: "误差为噪声基底的 {value} 倍，上限 {limit} 倍",
    why: "噪声基底是基准引擎在同样的 token 上仅因数值格式而产生的误差。无论误差的绝对大小，正确的引擎都在基底的 0.95 到 1.2 倍之间。",
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

  "exact/bits": {
    message: "有 {value} 个元素的比特不同",
    why: "--preset exact 要求逐比特一致，适用于同一个确定性引擎的两次运行。",
    causes: ["求和顺序不同：线程数、batch 大小、原子操作", "同一形状选择了不同的算子"],
    tune: "若要判定精度而不是一致性，请使用 --preset auto。",
  },
  "exact/dtype": {
    message: "数据类型不一致：基准 {reference}，待测 {candidate}",
    why: "--preset exact 要求逐比特一致，数据类型不同则无从比较。",
    causes: ["两侧以不同的精度运行或保存"],
    tune: "若要比较不同精度，请使用 --preset auto。",
  },

  "limit/rel-l2": {
    message: "相对 L2 误差 {value}，上限 {limit}",
    why: "用户设定的阈值，适用于每个参与比较的张量。",
    causes: ["问题排查参见 layer/floor-ratio；一个超大激活值就可能主导该指标"],
    tune: "--max-rel-l2",
  },
  "limit/cosine": {
    message: "余弦相似度 {value}，下限 {limit}",
    why: "用户设定的阈值，适用于每个参与比较的张量。",
    causes: ["问题排查参见 layer/floor-ratio"],
    tune: "--min-cosine",
  },
  "limit/max-abs": {
    message: "最大绝对误差 {value}，上限 {limit}",
    why: "用户设定的阈值，适用于每个参与比较的张量。",
    causes: ["超大激活值：在 bfloat16 下，正确的引擎在此处也会相差数百"],
    tune: "--max-abs",
  },
  "limit/mse": {
    message: "均方误差 {value}，上限 {limit}",
    why: "用户设定的阈值，适用于每个参与比较的张量。",
    causes: ["超大激活值：少数元素就可能主导该指标"],
    tune: "--max-mse",
  },
  "limit/ppl-increase": {
    message: "困惑度变化 {value}，上限 {limit}",
    why: "用户设定的阈值：同样的文本，待测侧的困惑度最多允许上升多少，也就是模型卡上的结论。",
    causes: ["逐层规则指出的问题", "量化", "token 太少，不足以判定"],
    tune: "--max-ppl-increase 调整上限；增加 token 可缩小置信区间；--decide point 按点估计判定。",
  },
  "limit/kl": {
    message: "KL 散度均值 {value} nats，上限 {limit}",
    why: "用户设定的阈值：待测侧的下一 token 分布偏离基准的程度。",
    causes: ["单个混沌 token 就可能主导均值：请对照 JSON 结果中的 median 与 gm"],
    tune: "--max-kl 调整上限；--decide point 按点估计判定。logits 以精简形式保存时，只有下界超过上限才能判定为违反。",
  },
  "limit/top1": {
    message: "Top-1 一致率 {value}，下限 {limit}",
    why: "用户设定的阈值：两侧首选 token 相同的位置所占比例。",
    causes: ["logits 几乎相等，更换任何算子都会翻转", "确有问题"],
    tune: "--min-top1 调整下限；--decide point 按点估计判定。",
  },
  "limit/first-token": {
    message: "首 token 一致率 {value}，下限 {limit}",
    why: "用户设定的阈值：贪心解码的首个 token 一致的 prompt 所占比例。",
    causes: ["logits 几乎相等", "decode 或采样确有问题"],
    tune: "--min-first-token 调整下限；--decide point 按点估计判定。",
  },

  "quality/undefined": {
    message: "{metric} 不是有限数",
    why: "结果为 NaN 或无穷大的指标不能算通过。",
    causes: ["logits 中有 NaN 或无穷大", "待测侧给正确 token 的概率为零"],
    tune: "没有阈值可以放宽此规则。请查看 JSON 结果中 logits 的 nonFinite。",
  },
  "quality/nll": {
    message: "每 token 损失上升 {deltaNll} nats，为标准误的 {value} 倍，上限 {limit} 倍",
    why: "损失的上升既超出偶然，又大到值得关注。",
    causes: ["逐层规则指出的问题", "量化"],
    tune: "上限由方法给定。增加文本可缩小标准误。",
  },
  "quality/kl-ratio": {
    message: "KL 散度为噪声基底的 {value} 倍，上限 {limit} 倍",
    why: "待测侧的概率分布偏离基准的程度超出了数值格式所能解释的范围。",
    causes: ["逐层规则指出的问题", "量化"],
    tune: "再给一个 --floor 可扩大可解释的范围。",
  },
  "quality/flips": {
    message: "首选 token 翻转 {value} 次，上限 {limit} 次",
    why: "由基准 logits 的差距与噪声基底的误差可以算出偶然翻转的次数，实际次数超出了它。",
    causes: ["逐层规则指出的问题", "量化"],
    tune: "上限由方法给定：期望次数加其平方根的三倍。",
  },
  "quality/real-flips": {
    message: "有 {value} 次翻转发生在噪声无法达到的差距上，上限 {limit} 次",
    why: "领先幅度超过 logits 噪声四倍的 token 发生翻转，不属于几乎相等的情形。",
    causes: ["逐层规则指出的问题", "整行出错：KV cache、位置编号、掩码"],
    tune: "上限由方法给定，详见 JSON 结果中的 flips。",
  },

  "input/config": {
    message: "{key} 不一致：基准 {reference}，待测 {candidate}",
    why: "只要有一个常数不同，两个模型计算的就不是同一件事，精度再高也没有意义。",
    causes: [
      "转换工具丢失或改名了 config.json 的某个键",
      "推理引擎不读取该键，用了自己的默认值",
      "config.json 被修改",
    ],
    tune: "两侧使用相同的配置，或修正读取配置的代码，然后重新比较。",
  },
  "input/floor-config": {
    message: "{key} 不一致：基准 {reference}，噪声基底 {file} 为 {floor}",
    why: "噪声基底表示数值格式带来的误差；模型不同，误差就不止于此。",
    causes: ["基底来自旧的权重版本", "config.json 被修改"],
    tune: "用基准的模型文件重新生成基底。",
  },
  "input/same-id": {
    message: "基准与待测的运行 ID 相同：{id}",
    why: "ID 相同的两个 dump 是同一次运行的副本，比较它们不能说明待测侧的任何问题。",
    causes: ["同一个文件给了两次，或是复制件"],
    tune: "请检查两个路径。",
  },
  "input/isolated": {
    message: "{file} 以基准的残差流为输入：每个张量各自独立",
    why: "隔离重放中没有误差传播，不通过的模块都是自身有误。其 logits 由基准的残差流得出，因此不测量整个模型的输出质量。",
    causes: ["待测 dump 由 npu-dump replay 对基准 dump 重放得到"],
    tune: "如需评估整个模型的质量，请另行比较待测侧自己的运行。",
  },
  "input/dtype": {
    message: "运行精度不同：基准 {reference}，待测 {candidate}",
    why: "数据类型不同并非问题，阈值已考虑在内。",
    causes: ["两侧以不同的精度运行"],
    tune: "无需处理。",
  },
  "input/model": {
    message: "{key} 不一致：基准 {reference}，待测 {candidate}",
    why: "配置或权重不同几乎可以解释任何误差。",
    causes: ["权重版本不同", "经过转换或量化的副本", "config.json 被修改"],
    tune: "两侧使用相同的模型文件。",
  },
  "input/floor-dropped": {
    message: "{file} 就是待测侧本身，不再作为噪声基底",
    why: "以待测侧自身为基底，比值恒为 1。",
    causes: ["把待测 dump 当作 --floor 传入"],
    tune: "请提供基准引擎以待测侧的精度运行得到的 dump。",
  },
  "input/floor-scaled": {
    message: "{file}（{floor}）已按 {value} 倍换算到待测侧的 {candidate}",
    why: "其他精度的基底按舍入单位之比换算后只是近似成立。",
    causes: ["噪声基底与待测侧的运行精度不同"],
    tune: "请以待测侧的精度运行噪声基底。",
  },
  "input/floor-fallback": {
    message: "{value} 个张量未由全部噪声基底判定：{reason}",
    why: "噪声基底缺少张量的部分行，或自身远超先验上限时，由其余噪声基底或先验判定。",
    causes: ["噪声基底没有采集该张量", "噪声基底在该处本身有误"],
    tune: "以待测侧的采集范围采集噪声基底。",
  },
  "input/set-stranger": {
    message: "{file} 位于基准集目录中但不属于该基准集，未被使用",
    why: "噪声基底会容许误差。仅仅放在目录里的 dump（例如另一个待测 dump）不能因此成为噪声基底。",
    causes: ["待测 dump 被存放在基准集目录中"],
    tune: "请移到别处；如果它确是噪声基底，请用 --floor 给出。",
  },
  "input/forced-absent": {
    message: "给出的强制基准中没有 {file} 的；用此命令生成：{command}",
    why: "自身误差需要待测侧的强制基准，与噪声基底之比还需要噪声基底的强制基准。",
    causes: [
      "基准集是为另一个待测 dump 生成的",
      "待测侧的残差流无法重放：只采集了一部分，或只有统计量",
      "只对部分 dump 在基准引擎上做了重放",
    ],
    tune: "npu-dump reference 会把它加入基准集；npu-dump replay 可生成一个，再通过 --forced 传入。",
  },
  "input/forced-dtype": {
    message: "{file} 以 {forced} 运行，比基准的 {reference} 粗",
    why: "强制基准舍入掉的部分会被算作待测侧的自身误差。",
    causes: ["重放时使用了待测侧的精度"],
    tune: "请以基准的精度重放。",
  },
  "input/own-unknown": {
    message: "自身误差不完整：{reason}",
    why: "没有测得的自身误差既不能证明该模块正确，也不能证明它有错。它只供显示，不参与判定。",
    causes: ["重放时的采集范围不同", "待测侧的残差流中有 NaN 或无穷大"],
    tune: "以待测侧的采集范围采集重放。",
  },
  "input/repaired": {
    message: "{file} 由 repair 恢复：数据块不完整的张量视为缺失",
    why: "恢复后的 dump 只包含写入中断时已经完整的部分。",
    causes: ["采集进程被终止，或磁盘空间不足"],
    tune: "如需完整比较，请重新采集。",
  },
  "input/text-differs": {
    message: "两侧的 {name} 在 {value} 个样本中不同，token id 一致",
    why: "只比较 token ID，其他文本仅供参考。",
    causes: ["tokenizer 版本或对话模板不同"],
    tune: "无需处理。",
  },
  "input/unverified": {
    message: "两侧均未保存 token id：无法确认输入一致",
    why: "输入不同的两次运行，比较没有意义。",
    causes: ["自行编写的采集程序没有保存 input_ids"],
    tune: "请保存 input_ids；没有 token id 的模块请保存 input.0。",
  },
  "input/repeats": {
    message: "{file} 含 {value} 次重复运行，只比较第一次",
    why: "没有比较的内容不能当作已比较。",
    causes: ["该 dump 来自确定性测试"],
    tune: "请比较只含一次运行的 dump。",
  },
};
