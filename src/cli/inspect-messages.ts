/** Everything that the view of a dump says, in both languages; keys of its metadata stay as they are. */

import { counted } from "../core/counted.ts";
import type { Language } from "../report/messages/index.ts";

/** Columns of the table of tensors behind the name, in their order. */
export const INSPECT_COLUMNS = [
  "layer",
  "step",
  "count",
  "dtype",
  "shape",
  "bytes",
  "min",
  "max",
  "rms",
  "nonFinite",
] as const;
export type InspectColumn = (typeof INSPECT_COLUMNS)[number];

/** Arguments are texts that are already formatted and escaped. */
export interface InspectMessages {
  readonly labels: Readonly<
    Record<"file" | "tensors" | "logits" | "format" | "notRead" | "assumed", string>
  >;
  readonly tensor: string;
  readonly titles: Readonly<Record<InspectColumn, string>>;
  readonly decode: string;
  readonly mixed: string;
  readonly repaired: string;
  readonly tensors: (tensors: string, samples: string) => string;
  readonly asStatistics: (tensors: string) => string;
  readonly asSketches: (tensors: string) => string;
  readonly logits: {
    readonly whole: (samples: string) => string;
    readonly statistics: (samples: string) => string;
    readonly reduced: (samples: string, holds: string) => string;
    readonly best: (count: string) => string;
    readonly range: (least: number, most: number) => string;
    readonly notEnough: (figures: readonly string[]) => string;
    readonly figures: Readonly<Record<"perplexity" | "top1" | "klBound" | "klAndFlips", string>>;
  };
  readonly entries: (count: string) => string;
  readonly moreInJson: (count: string | null) => string;
  readonly moreRows: (count: string) => string;
  readonly comma: string;
  readonly colon: string;
}

const EN: InspectMessages = {
  labels: {
    file: "file",
    tensors: "tensors",
    logits: "logits",
    format: "format",
    notRead: "not read",
    assumed: "assumed",
  },
  tensor: "TENSOR",
  titles: {
    layer: "LAYER",
    step: "STEP",
    count: "COUNT",
    dtype: "DTYPE",
    shape: "SHAPE",
    bytes: "BYTES",
    min: "MIN",
    max: "MAX",
    rms: "RMS",
    nonFinite: "NAN/INF",
  },
  decode: "decode",
  mixed: "mixed",
  repaired: "repaired",
  tensors: (tensors, samples) => `${tensors} in ${counted(samples, "sample")}`,
  asStatistics: (tensors) => `${tensors} of them as statistics`,
  asSketches: (tensors) => counted(tensors, "as a sketch", "as sketches"),
  logits: {
    whole: (samples) => `whole in ${counted(samples, "sample")}`,
    statistics: (samples) => `statistics in ${counted(samples, "sample")}: no figure of quality`,
    reduced: (samples, holds) => `reduced in ${counted(samples, "sample")}: ${holds}`,
    best: (count) => `the ${counted(count, "best token")}`,
    range: (least, most) => `${least} to ${most}`,
    notEnough: (figures) => `not enough for ${figures.join(", ")}`,
    figures: {
      perplexity: "perplexity",
      top1: "top-1 agreement",
      klBound: "a bound of KL",
      klAndFlips: "KL and flips",
    },
  },
  entries: (count) => counted(count, "entry", "entries"),
  moreInJson: (count) => (count === null ? "more in --json" : `${count} more in --json`),
  moreRows: (count) => `${counted(count, "more row")} in --json`,
  comma: ", ",
  colon: ": ",
};

const ZH: InspectMessages = {
  labels: {
    file: "文件",
    tensors: "张量",
    logits: "logits",
    format: "格式",
    notRead: "未读取",
    assumed: "假定",
  },
  tensor: "张量",
  titles: {
    layer: "层",
    step: "步骤",
    count: "数量",
    dtype: "DTYPE",
    shape: "形状",
    bytes: "大小",
    min: "最小",
    max: "最大",
    rms: "RMS",
    nonFinite: "NAN/INF",
  },
  decode: "解码",
  mixed: "不一",
  repaired: "已修复",
  tensors: (tensors, samples) => `${samples} 条样本中共 ${tensors} 个`,
  asStatistics: (tensors) => `其中 ${tensors} 个仅有统计量`,
  asSketches: (tensors) => `${tensors} 个为 sketch`,
  logits: {
    whole: (samples) => `${samples} 条样本完整保存`,
    statistics: (samples) => `${samples} 条样本仅有统计量：无法得出质量指标`,
    reduced: (samples, holds) => `${samples} 条样本仅保存部分：${holds}`,
    best: (count) => `前 ${count} 个 token`,
    range: (least, most) => `${least} 至 ${most}`,
    notEnough: (figures) => `不足以得出：${figures.join("、")}`,
    figures: {
      perplexity: "困惑度",
      top1: "Top-1 一致率",
      klBound: "KL 的界",
      klAndFlips: "KL 与翻转",
    },
  },
  entries: (count) => `${count} 项`,
  moreInJson: (count) => (count === null ? "其余见 --json" : `其余 ${count} 项见 --json`),
  moreRows: (count) => `其余 ${count} 行见 --json`,
  comma: "，",
  colon: "：",
};

export const INSPECT_MESSAGES: Readonly<Record<Language, InspectMessages>> = { en: EN, zh: ZH };
