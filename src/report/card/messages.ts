/** What the model card says of the method, the environment and the number format, in both languages. */

import { counted, isOne } from "../../core/counted.ts";
import type { ComparisonResult } from "../../core/result.ts";
import type { Language } from "../messages/index.ts";

/** Arguments are texts that are already formatted; the caller escapes the whole line. */
export interface CardMessages {
  readonly more: (count: string) => string;
  /** Of a fold: what is in it, and how many of its rows fail where some do. */
  readonly rows: (title: string, count: string, failing?: number) => string;
  /** The title of those that neither fail nor stay open. */
  readonly otherLimits: string;
  readonly method: {
    readonly title: string;
    readonly fed: (samples: string, tokens: string) => string;
    readonly sameIds: (sha256: string) => string;
    readonly unknownIds: string;
    readonly decode: string;
    readonly replayed: string;
    readonly compared: (tensors: string) => string;
    readonly bits: (tensors: string) => string;
    readonly decides: Readonly<Record<ComparisonResult["evidence"], string>>;
    readonly floors: (files: string) => string;
    readonly forced: (files: string) => string;
    readonly reduced: (tensors: string) => string;
    readonly quality: (rules: string) => string;
    readonly asked: (rules: string) => string;
    readonly notAsked: string;
    readonly stopped: string;
    readonly unmeasured: (parts: string) => string;
    readonly parts: Readonly<
      Record<"generation" | "determinism" | "performance" | "decode", string>
    >;
    readonly scope: string;
  };
  readonly environment: {
    readonly title: string;
    readonly model: string;
    readonly item: string;
    readonly value: string;
    readonly yes: string;
    readonly no: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly recorded: string;
  };
  readonly format: {
    readonly title: (format: string) => string;
    readonly property: string;
    readonly value: string;
    readonly noise: (layers: string) => string;
    readonly noLayers: string;
    readonly tensor: string;
    readonly expected: string;
    readonly allowed: string;
    readonly measured: string;
    readonly notCompared: string;
    readonly bothRound: (dtype: string) => string;
  };
  readonly repeat: string;
}

const EN: CardMessages = {
  more: (count) => `${count} more`,
  rows: (title, count, failing = 0) =>
    `${title} (${counted(count, "row")}${failing === 0 ? "" : `, ${failing} fail`})`,
  otherLimits: "All other limits",
  method: {
    title: "Method",
    fed: (samples, tokens) =>
      `Both sides were fed ${counted(samples, "prompt")}, ${counted(tokens, "token")}.`,
    sameIds: (sha256) => `The token ids are the same on both sides (SHA-256 ${sha256}…).`,
    unknownIds: "The token ids are not in both dumps: that both sides read the same is not proven.",
    decode: "After the prompts both sides decoded step by step, forced to the same tokens.",
    replayed:
      "In every layer the candidate was fed the reference's residual stream, so that each layer stands for itself.",
    compared: (tensors) =>
      `${counted(tensors, "tensor was", "tensors were")} compared element by element, with sums in float64. A tensor's error is the relative L2 error of each token, ‖candidate − reference‖ / ‖reference‖, as the geometric mean over tokens.`,
    bits: (tensors) => `${counted(tensors, "tensor was", "tensors were")} compared bit by bit.`,
    decides: {
      forced:
        "What decides: the error that each module makes by itself, on the input that it had, against the noise floor's own errors.",
      floor:
        "What decides: each tensor's error over the noise floor, which is the reference engine in the candidate's precision.",
      prior:
        "What decides: no noise floor was given, so each tensor's error is held to a prior for its number format, role and depth. It is looser than a noise floor: small bugs may stay below it.",
      exact: "What decides: every bit must be equal.",
    },
    floors: (files) => `Noise floors: ${files}.`,
    forced: (files) => `Forced references: ${files}.`,
    reduced: (tensors) =>
      `Of ${counted(tensors, "tensor")} a side holds only statistics or a part: ${isOne(tensors) ? "it was" : "they were"} compared by those.`,
    quality: (rules) => `Of the rules for the logits these applied: ${rules}.`,
    asked: (rules) => `Limits that the user set: ${rules}.`,
    notAsked: "The user set no limits.",
    stopped: "Measuring stopped at the first failure: what comes after it was not looked at.",
    unmeasured: (parts) => `Not measured, so nothing is said of it: ${parts}.`,
    parts: {
      generation: "generated texts",
      determinism: "repeated runs",
      performance: "performance",
      decode: "decode steps",
    },
    scope:
      "The verdict holds for these prompts, these versions and this device. It is no benchmark of what the model can do.",
  },
  environment: {
    title: "Environment",
    model: "Model",
    item: "Item",
    value: "Value",
    yes: "yes",
    no: "no",
    labels: {
      "model.id": "Model",
      "model.architecture": "Architecture",
      "model.parameters": "Parameters",
      "model.layers": "Layers",
      "model.hidden_size": "Hidden size",
      "model.intermediate_size": "Intermediate size",
      "model.heads": "Attention heads",
      "model.kv_heads": "KV heads",
      "model.head_dim": "Head dimension",
      "model.vocab_size": "Vocabulary",
      "model.max_position_embeddings": "Largest position",
      "model.rope_theta": "RoPE theta",
      "model.tie_word_embeddings": "Tied embeddings",
      "model.weights_dtype": "Weights stored in",
      "model.weights_sha256": "Weights SHA-256",
      "device.type": "Device type",
      "device.name": "Device",
      "device.soc": "SoC",
      "device.count": "Devices",
      "device.memory_bytes": "Device memory",
      "device.driver": "Driver",
      "device.cann": "CANN",
      dtype: "Precision",
      "engine.name": "Engine",
      "engine.version": "Engine version",
      "engine.attention": "Attention",
      "engine.graph": "Graph mode",
      "parallel.world_size": "Ranks",
      "parallel.tp": "Tensor parallel",
      "parallel.pp": "Pipeline parallel",
      "parallel.ep": "Expert parallel",
      "batch.size": "Batch size",
      seed: "Seed",
      "capture.mode": "Capture",
      "tool.name": "Captured with",
      "tool.version": "Its version",
      file: "File",
    },
    recorded: "As the dumps recorded it; — where a dump says nothing.",
  },
  format: {
    title: (format) => `Number format of the candidate: ${format}`,
    property: "Property",
    value: "Value",
    noise: (layers) =>
      `Noise that the format alone brings, with ${counted(layers, "layer")}: relative L2 error of correct engines against an exact reference, geometric mean over tokens, the worst in npu-diff's calibration. Measured is this comparison.`,
    noLayers: "The dumps do not say how many layers there are: the expected noise cannot be told.",
    tensor: "Tensor",
    expected: "Expected",
    allowed: "layer/prior allows",
    measured: "Measured",
    notCompared: "not in both dumps",
    bothRound: (dtype) =>
      `The reference ran in ${dtype}, which is no finer: the noise of both sides adds up in what was measured.`,
  },
  repeat: "How to repeat",
};

const ZH: CardMessages = {
  more: (count) => `另有 ${count} 项`,
  rows: (title, count, failing = 0) =>
    `${title}（${count} 行${failing === 0 ? "" : `，${failing} 行不通过`}）`,
  otherLimits: "其余阈值",
  method: {
    title: "对比方法",
    fed: (samples, tokens) => `两侧输入 ${samples} 条 prompt，共 ${tokens} 个 token。`,
    sameIds: (sha256) => `两侧 token ID 完全相同（SHA-256 ${sha256}…）。`,
    unknownIds: "两侧未同时保存 token ID：无法证明两侧输入相同。",
    decode: "prefill 之后两侧逐步解码，强制使用相同的 token。",
    replayed: "待测侧每层的输入均为基准的残差流，因此各层误差互不累积。",
    compared: (tensors) =>
      `逐元素比较 ${tensors} 个张量，以 float64 求和。张量误差为逐 token 相对 L2 误差 ‖待测 − 基准‖ / ‖基准‖ 的几何平均。`,
    bits: (tensors) => `逐比特比较 ${tensors} 个张量。`,
    decides: {
      forced: "判定依据：各模块在其实际输入上自身产生的误差，与噪声基底的自身误差相比。",
      floor: "判定依据：各张量误差与噪声基底之比；噪声基底为基准引擎以待测精度运行所得。",
      prior:
        "判定依据：未提供噪声基底，各张量误差与按数值格式、模块类型和深度给出的先验上限相比。先验比噪声基底宽松，较小的缺陷可能低于该上限。",
      exact: "判定依据：所有比特必须相同。",
    },
    floors: (files) => `噪声基底：${files}。`,
    forced: (files) => `强制基准：${files}。`,
    reduced: (tensors) => `另有 ${tensors} 个张量至少一侧仅有统计量或部分数据，按其比较。`,
    quality: (rules) => `适用的 logits 规则：${rules}。`,
    asked: (rules) => `用户设定的阈值：${rules}。`,
    notAsked: "用户未设定阈值。",
    stopped: "遇到首个不通过即停止，其后的内容未检查。",
    unmeasured: (parts) => `未测量，因此不作结论：${parts}。`,
    parts: {
      generation: "生成文本",
      determinism: "重复运行",
      performance: "性能",
      decode: "解码步",
    },
    scope: "结论仅适用于上述 prompt、软件版本和设备，不是对模型能力的评测。",
  },
  environment: {
    title: "环境与版本",
    model: "模型",
    item: "项目",
    value: "值",
    yes: "是",
    no: "否",
    labels: {
      "model.id": "模型",
      "model.architecture": "架构",
      "model.parameters": "参数量",
      "model.layers": "层数",
      "model.hidden_size": "隐藏层维度",
      "model.intermediate_size": "中间层维度",
      "model.heads": "注意力头数",
      "model.kv_heads": "KV 头数",
      "model.head_dim": "头维度",
      "model.vocab_size": "词表大小",
      "model.max_position_embeddings": "最大位置",
      "model.rope_theta": "RoPE theta",
      "model.tie_word_embeddings": "共享词嵌入",
      "model.weights_dtype": "权重存储精度",
      "model.weights_sha256": "权重 SHA-256",
      "device.type": "设备类型",
      "device.name": "设备",
      "device.soc": "SoC",
      "device.count": "设备数量",
      "device.memory_bytes": "设备内存",
      "device.driver": "驱动",
      "device.cann": "CANN",
      dtype: "精度",
      "engine.name": "推理框架",
      "engine.version": "框架版本",
      "engine.attention": "注意力实现",
      "engine.graph": "图模式",
      "parallel.world_size": "Rank 数",
      "parallel.tp": "张量并行",
      "parallel.pp": "流水线并行",
      "parallel.ep": "专家并行",
      "batch.size": "批大小",
      seed: "随机种子",
      "capture.mode": "采集方式",
      "tool.name": "采集工具",
      "tool.version": "工具版本",
      file: "文件",
    },
    recorded: "以上均取自 dump 的记录；未记录处为 —。",
  },
  format: {
    title: (format) => `待测数值格式：${format}`,
    property: "指标",
    value: "理论值",
    noise: (layers) =>
      `${layers} 层模型仅由该格式带来的噪声：正确引擎相对精确基准的相对 L2 误差（逐 token 几何平均），取 npu-diff 标定中的最差值；实测值为本次对比。`,
    noLayers: "dump 未记录层数，无法给出预期噪声。",
    tensor: "张量",
    expected: "预期",
    allowed: "layer/prior 允许",
    measured: "实测",
    notCompared: "两侧未同时提供",
    bothRound: (dtype) => `基准以 ${dtype} 运行，精度不高于待测：实测值包含两侧的噪声。`,
  },
  repeat: "复现方法",
};

export const CARD_MESSAGES: Readonly<Record<Language, CardMessages>> = { en: EN, zh: ZH };
