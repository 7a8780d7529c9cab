/** The rule table in Chinese. */

import type { RuleId } from "../rules.ts";
import type { RuleText } from "./rule-text.ts";
import { GATE_RULE_TEXTS_ZH } from "./zh-gate.ts";
import { HEAD_RULE_TEXTS_ZH } from "./zh-head.ts";
import { LAYER_RULE_TEXTS_ZH } from "./zh-layers.ts";

export const RULE_TEXTS_ZH: Readonly<Record<RuleId, RuleText>> = {
  "structure/missing": {
    message: "在{side}侧缺失 {value} 处",
    why: "计划采集却没有写入的张量，说明模块没有执行或采集中断，都不能算通过。",
    causes: [
      "推理引擎融合或跳过了该模块，hook 未被触发",
      "该样本的运行提前结束",
      "两侧引擎对模块的命名不同",
      "该侧以整数存储此张量，整数不与浮点数比较",
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

  ...LAYER_RULE_TEXTS_ZH,

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
  "quality/keywords": {
    message:
      "{keywords} 个关键词中有 {value} 个出现在基准的续写中而待测侧没有，首个在 prompt {sample}",
    why: "采集时指定了续写必须包含的关键词（expect）。基准的输出表明模型能够做到；关键词按原样查找，区分大小写，双方均取 Unicode 合成形式（NFC）。",
    causes: [
      "两侧在几乎相等处分叉，之后走向不同：分叉处的差距会说明这一点",
      "确有故障，并已反映在输出文本中",
      "待测侧的续写更短",
    ],
    tune: "请查看两侧文本。如果是正常的几乎相等所致，请改用不依赖它的关键词，或生成更少的 token。",
  },
  "quality/determinism": {
    message: "{side}：{value} 的 prompt 在每次重复中续写一致，阈值 {limit}",
    why: "同样的 prompt、同样的批次、贪心解码，结果却与自身不同，这样的运行无法与任何结果比较：下一次又会不同。dump 说明了输入方式时，只统计输入方式相同的重复；没有说明时统计全部重复。基准不是被测对象，仅给出警告。",
    causes: [
      "求和顺序每次不同：原子加，或设备间通信",
      "模型未处于推理模式，仍有 dropout 等随机数",
      "读取了尚未写入的内存，或流之间存在竞争",
    ],
    tune: "请启用确定性计算（torch.use_deterministic_algorithms、HCCL_DETERMINISTIC）后重新采集。--min-determinism 调整阈值。",
  },
  "quality/batch-variance": {
    message: "{side}：{samples} 条 prompt 中有 {value} 条在其他批次中续写不同",
    why: "批次大小或顺序不同，所用的算子就不同，求和顺序也随之不同。两个 token 几乎相等时，正确的引擎也会因此不同；这不算不通过，也不是运行间差异。",
    causes: ["算子按批次大小选择", "填充影响了结果：掩码或位置有误"],
    tune: "请查看首个差异处的差距：如果并非几乎相等，请检查填充与掩码。",
  },
  "quality/undecided": {
    message: "仅凭续写无法判定：{reason}",
    why: "续写一致不能证明任何张量正确，续写不同也可能只是在几乎相等处分叉：没有任何规则可用的指标，就不能算通过。",
    causes: [
      "服务端只返回文本",
      "有一侧采集时没有 --generate，或没有 tokenizer",
      "token 由采样得到，而非贪心解码",
      "重复运行中途停止",
    ],
    tune: "请指定关键词（expect）；两侧都保存 generated_ids 时可设置 --min-first-token；或两侧都采集 logits。",
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
  "input/coarse-reference": {
    message: "基准侧以 {reference} 运行，比待测侧的 {candidate} 更粗：限值按 {reference} 计算",
    why: "此时两侧的差异主要是基准侧自身的舍入。若按待测侧格式设限，会把它归咎于待测侧；按基准侧格式设限，则无法判断待测侧是否更精确。",
    causes: ["两个 dump 的顺序给反了", "基准侧保存时的位数少于计算时的位数"],
    tune: "请把精度更高的一侧放在前面，或用 --preset 指定所指的格式。",
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
    message: "{side} {file} 由 repair 恢复：数据块不完整的张量视为缺失",
    why: "恢复后的 dump 只包含写入中断时已经完整的部分。",
    causes: ["采集进程被终止，或磁盘空间不足"],
    tune: "如需完整比较，请重新采集。",
  },
  "input/not-read": {
    message: "{side} {file}：有 {value} 项未读取：{names}",
    why: "dump 无法容纳的内容不参与比较，结论也不涵盖它们。",
    causes: ["张量之外还有文本、Python 对象、复数或其他文件"],
    tune: "需要比较的内容请存为 float64、float32、float16、bfloat16、整数或 bool。npu-diff inspect 会列出未读取的内容及原因。",
  },
  "input/assumed": {
    message: "{side} {file}：文件有 {value} 处未作说明，已按假设读取：{names}",
    why: "有些格式不含比较所需的全部信息：NumPy 对 float8_e4m3fn 与其他八位格式采用同一种存储标记，bfloat16 则只能存为 float32；msprobe 的 dump 可能缺少张量文件；llama.cpp 的基准文件不说明哪个 token 被替换为起始 token。此时采用的假设可能有误。",
    causes: [
      "用 ml_dtypes 的数组保存 .npy 或 .npz",
      "msprobe dump 的张量文件缺失，以其统计量代替",
      "llama.cpp 的基准文件，或 transformers 的调试树",
    ],
    tune: "请存为 float16 或 bfloat16，或使用写明 dtype 的格式，例如 safetensors。",
  },
  "input/integers": {
    message: "两侧共有 {value} 个整数张量未作比较：{names}",
    why: "误差只针对浮点数衡量。与其并存的整数（位置、掩码、专家编号等）没有对应的规则，无论是否相等都不作判断；只有 token id 会逐一核对。",
    causes: ["文件中还保存了模块的输入"],
    tune: "如有需要，请另行比较。",
  },
  "input/text-differs": {
    message: "两侧的 {name} 在 {value} 个样本中不同，token id 一致",
    why: "只比较 token ID，其他文本仅供参考。",
    causes: ["tokenizer 版本或对话模板不同"],
    tune: "无需处理。",
  },
  "input/renamed": {
    message: "{side}侧的 {from} 按 {to} 比较，共 {value} 个：{reason}",
    why: "其他工具的文件和其他引擎对同一张量有各自的名称。按哪些名称比较，是结论含义的一部分。",
    causes: ["其他工具的文件，或引擎把多个投影合并成一个"],
    tune: "用 --map FILE 指定名称，其优先于一切自动推断。",
  },
  "input/other-module": {
    message:
      "{side}侧的 {module} 与另一侧的 {name} 不是同一模块的输出：两者未作比较，共 {value} 个",
    why: "多数模型中，加入残差流的是该子层自身的输出；在 Gemma、OLMo 2、GLM 4 等模型中则是其后的归一化层的输出。文件若含有该归一化层即可判断，只含子层则无从判断。若嵌入之后还有缩放、位置编码或归一化（MiniCPM、Granite、GPT-2、BLOOM），进入第一层的残差流也不是嵌入层的输出。两者是不同的张量，不能当作同一个比较。",
    causes: [
      "一侧的 hook 挂在子层之后的归一化层上，另一侧只挂在子层上",
      "模型对嵌入作了缩放或加上位置编码，而一侧的 hook 只挂在嵌入层上",
      "同一文件中有两个张量都可能是这个名称",
    ],
    tune: "在两侧采集相同的模块，或用 --map FILE 指定名称的含义。",
  },
  "input/ambiguous-name": {
    message: "待测侧的 {candidate} 可能对应基准侧的 {reference}：未比较",
    why: "与错误的张量比较不能说明任何问题，因此有多种可能的名称不作配对。",
    causes: ["文件保存了同一模块的多个输出"],
    tune: "用 --map FILE 指定对应关系。",
  },
  "input/similar-name": {
    message:
      "待测侧的 {from} 没有对应张量，与 {to} 相似（余弦 {cosine}，共 {value} 个）：若确为同一张量，请把 {line} 写入 --map 的 candidate 之下",
    why: "数值相似的张量不会自动配对：因为一致才选中的配对会掩盖误差。",
    causes: ["其他工具对同一张量的命名不同"],
    tune: "若两者是同一张量，把这一行写入 --map 所用的文件。",
  },
  "input/unverified": {
    message: "{reason}：无法确认输入一致",
    why: "输入不同的两次运行，比较没有意义。",
    causes: ["其他工具的文件，或自行编写的采集程序，没有保存 input_ids"],
    tune: "请在两侧都保存 input_ids；没有 token id 的模块请保存 input.0。",
  },
  "input/prompts-only": {
    message: "有一侧未保存 token id：仅由 prompt 文本确认输入一致",
    why: "同一文本经不同 tokenizer 或对话模板得到的 id 不同，就是不同的输入。此时不比较任何张量，只比较续写。",
    causes: ["对话接口不返回 token id"],
    tune: "请在两侧都保存 input_ids：--tokens-from。",
  },
  "input/repeats": {
    message: "{side} {file} 含 {value} 次重复运行，另一侧只与第一次比较",
    why: "各次重复只在彼此之间比较：quality.determinism 说明该运行与自身的一致程度。",
    causes: ["该 dump 来自确定性测试：--repeats"],
    tune: "无需处理。",
  },
  ...HEAD_RULE_TEXTS_ZH,
  "input/performance-conditions": {
    message: "两侧性能的测量条件不同：{condition} 在基准侧为 {reference}，在待测侧为 {candidate}",
    why: "速度取决于 batch、token 数以及测量工具。条件不同时，比值也反映条件的差别。",
    causes: ["npu-dump bench 或 vllm bench serve 的选项不同", "引擎不同"],
    tune: "请用相同选项测量两侧。它不影响结论。",
  },
  "input/performance-failures": {
    message: "{file}：测量性能时有 {value} 个请求失败",
    why: "失败的请求不计入延迟和吞吐量，因此拒绝请求的服务可能显得很快。",
    causes: ["并发请求过多，内存不足", "服务端超时"],
    tune: "请查看服务端日志，并降低并发后重新测量。",
  },

  ...GATE_RULE_TEXTS_ZH,
  "task/drop": {
    message: "精度下降超过 --max-drop 的允许值",
    why: "移植后的计算可以略有不同，但用户看到的是答案。配对差异的整个 95 % 区间都超出上限，不能用偶然解释。",
    causes: [
      "待测侧计算有误：请比较两侧的 dump",
      "对话模板、示例数或答案长度不同",
      "一侧采样，另一侧贪心",
    ],
    tune: "请查看变错的题目。--max-drop 设定上限，--decide point 只用数值比较。",
  },
  "task/undecided": {
    message: "题目不足以判定精度下降是否超过 --max-drop 的允许值",
    why: "上限落在差异的 95 % 区间之内：超出与不超出同样可能。没有证明不等于通过。",
    causes: ["题目太少", "双向翻转的题目很多，例如采样的答案"],
    tune: "请评测更多题目，报告会给出大约的数量。多个任务之一可以未定：它们合并判定。",
  },
};
