/** The words of the number formats, in both languages. */

import type { FormatId } from "../core/number-format.ts";

/** The words of one number format in one language. */
export interface FormatText {
  readonly title: string;
  /** What it does to a model, the most important first. */
  readonly usual: readonly string[];
}

export const FORMAT_TEXTS_EN: Readonly<Record<FormatId, FormatText>> = {
  "dtype/f64": {
    title: "float64: the reference of float32 runs",
    usual: ["Few NPUs compute in it; torch_npu may give float32 instead and only warn."],
  },
  "dtype/f32": {
    title: "float32: the reference of 16-bit runs",
    usual: [
      "Its error comes from the order of long sums, not from stores.",
      "A product may have fewer bits without a change of dtype: see dtype/hf32 and dtype/tf32. npu-dump doctor measures them.",
    ],
  },
  "dtype/hf32": {
    title: "HF32: operands of float32 products on Ascend, where it is switched on",
    usual: [
      "torch.npu.matmul.allow_hf32 (off by default), torch.npu.conv.allow_hf32 (on by default).",
      "A tensor stays float32 and is rounded only on its way into a product, so that no dump shows it by its dtype.",
    ],
  },
  "dtype/tf32": {
    title: "TF32: operands of float32 products on NVIDIA GPUs, where it is switched on",
    usual: [
      "torch.backends.cuda.matmul.allow_tf32 (off by default), torch.set_float32_matmul_precision.",
      "A reference made with it is no float32 reference.",
    ],
  },
  "dtype/bf16": {
    title: "bfloat16: the range of float32 with 8 significant bits",
    usual: [
      "Only what lies at the very end of float32 overflows; 1 + 1/256 is rounded to 1.",
      "One rounding is no bound for the logits: errors grow with depth, see the noise floor.",
    ],
  },
  "dtype/f16": {
    title: "float16: 11 significant bits, and a range that ends at 65504",
    usual: [
      "Massive activations of deep layers overflow: finite/saturation, finite/mismatched, cause/saturation.",
      "Small values lose bits below the smallest normal number.",
    ],
  },
  "dtype/f8_e4m3": {
    title: "float8 E4M3: 4 significant bits; weights and activations with scales",
    usual: [
      "Conversions that saturate give 448 where others give NaN.",
      "Without scales nearly nothing fits: the range is 2^-9 to 448.",
    ],
  },
  "dtype/f8_e5m2": {
    title: "float8 E5M2: 3 significant bits with the exponent of float16",
    usual: ["Made for gradients; as activations it costs twice the error of E4M3."],
  },
};

export const FORMAT_TEXTS_ZH: Readonly<Record<FormatId, FormatText>> = {
  "dtype/f64": {
    title: "float64：float32 运行的基线",
    usual: ["多数 NPU 不支持；torch_npu 可能改用 float32，只给出警告。"],
  },
  "dtype/f32": {
    title: "float32：16 位运行的基线",
    usual: [
      "误差来自长求和的次序，而非存储时的舍入。",
      "dtype 不变，乘法的有效位数也可能变少：见 dtype/hf32 与 dtype/tf32；npu-dump doctor 可以测出。",
    ],
  },
  "dtype/hf32": {
    title: "HF32：昇腾上开启后 float32 矩阵乘的操作数",
    usual: [
      "torch.npu.matmul.allow_hf32（默认关闭），torch.npu.conv.allow_hf32（默认开启）。",
      "张量仍是 float32，只在进入乘法时被舍入，因此从 dump 的 dtype 看不出来。",
    ],
  },
  "dtype/tf32": {
    title: "TF32：NVIDIA GPU 上开启后 float32 矩阵乘的操作数",
    usual: [
      "torch.backends.cuda.matmul.allow_tf32（默认关闭），torch.set_float32_matmul_precision。",
      "用它得到的基线不是 float32 基线。",
    ],
  },
  "dtype/bf16": {
    title: "bfloat16：float32 的范围，8 位有效数字",
    usual: [
      "只有位于 float32 最末端的值才会溢出；1 + 1/256 舍入为 1。",
      "一次舍入的误差不是 logits 误差的上界：误差随深度增长，见噪声基底。",
    ],
  },
  "dtype/f16": {
    title: "float16：11 位有效数字，范围止于 65504",
    usual: [
      "深层的极大激活会溢出：finite/saturation、finite/mismatched、cause/saturation。",
      "小于最小规格化数的值会损失有效位。",
    ],
  },
  "dtype/f8_e4m3": {
    title: "float8 E4M3：4 位有效数字，用于带缩放的权重与激活",
    usual: ["饱和转换得到 448，其他转换得到 NaN。", "不加缩放几乎装不下：范围是 2^-9 到 448。"],
  },
  "dtype/f8_e5m2": {
    title: "float8 E5M2：3 位有效数字，指数与 float16 相同",
    usual: ["为梯度设计；用作激活时误差是 E4M3 的两倍。"],
  },
};
