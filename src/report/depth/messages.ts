/** What the reports of one tensor in depth say, in both languages. */

import { counted } from "../../core/counted.ts";
import type { NoHeads } from "../../core/depth.ts";
import type { StepGroup } from "../../core/verdict.ts";
import type { Language } from "../messages/index.ts";

/** Arguments are texts that are already formatted and escaped. */
export interface DepthMessages {
  readonly colon: string;
  readonly labels: {
    readonly reference: string;
    readonly candidate: string;
    readonly tensor: string;
    readonly size: string;
    readonly error: string;
  };
  readonly step: Readonly<Record<StepGroup, string>>;
  size(samples: string, rows: string, width: string): readonly string[];
  error(relL2: string, maxAbs: string): readonly string[];
  readonly equal: string;
  readonly titles: {
    histogram(formats: string): string;
    readonly elements: string;
    readonly tokens: string;
    readonly channels: string;
    readonly heads: string;
  };
  readonly columns: {
    readonly sample: string;
    readonly step: string;
    readonly token: string;
    readonly text: string;
    readonly index: string;
    readonly reference: string;
    readonly candidate: string;
    readonly d: string;
    readonly relL2: string;
    readonly cosine: string;
    readonly channel: string;
    readonly head: string;
    readonly share: string;
    readonly nonFinite: string;
    readonly elements: string;
  };
  /** One side is NaN or infinite and the other is not the same. */
  readonly nonFinite: string;
  readonly noHeads: Readonly<Record<NoHeads, string>>;
  readonly tooWide: string;
  more(count: string): string;
}

export const DEPTH_MESSAGES: Readonly<Record<Language, DepthMessages>> = {
  en: {
    colon: ": ",
    labels: {
      reference: "reference",
      candidate: "candidate",
      tensor: "tensor",
      size: "size",
      error: "error",
    },
    step: { prefill: "prompts", decode: "decode steps" },
    size: (samples, rows, width) => [
      counted(samples, "sample"),
      counted(rows, "row"),
      counted(width, "channel"),
    ],
    error: (relL2, maxAbs) => [`rel. L2 ${relL2}`, `largest |d| ${maxAbs}`],
    equal: "none: every element is the same",
    titles: {
      histogram: (formats) => `|d| in ULP of ${formats} at the reference value`,
      elements: "Worst elements by |d|, d = candidate - reference",
      tokens: "Worst tokens",
      channels: "Channels with the largest share of the squared error",
      heads: "Heads by share of the squared error",
    },
    columns: {
      sample: "SAMPLE",
      step: "STEP",
      token: "TOKEN",
      text: "TEXT",
      index: "INDEX",
      reference: "REFERENCE",
      candidate: "CANDIDATE",
      d: "D",
      relL2: "REL L2",
      cosine: "COSINE",
      channel: "CHANNEL",
      head: "HEAD",
      share: "SHARE",
      nonFinite: "NAN/INF",
      elements: "ELEMENTS",
    },
    nonFinite: "NaN/inf",
    noHeads: {
      metadata: "no heads: the run metadata tell no model.heads and model.head_dim",
      name: "no heads: only queries, keys and values (q_proj, k, …) have channels of a single head",
      width: "no heads: a row is not as wide as model.heads times model.head_dim",
    },
    tooWide: "not by channel: a row is wider than 1048576 elements",
    more: (count) => `${count} more in --json`,
  },
  zh: {
    colon: "：",
    labels: {
      reference: "基准",
      candidate: "待测",
      tensor: "张量",
      size: "规模",
      error: "误差",
    },
    step: { prefill: "prompt", decode: "解码步" },
    size: (samples, rows, width) => [`${samples} 个样本`, `${rows} 行`, `${width} 个通道`],
    error: (relL2, maxAbs) => [`相对 L2 ${relL2}`, `最大 |d| ${maxAbs}`],
    equal: "无：所有元素相同",
    titles: {
      histogram: (formats) => `|d|，单位为 ${formats} 在基准值处的 ULP`,
      elements: "|d| 最大的元素，d = 待测 - 基准",
      tokens: "误差最大的 token",
      channels: "平方误差占比最大的通道",
      heads: "各注意力头的平方误差占比",
    },
    columns: {
      sample: "样本",
      step: "步",
      token: "TOKEN",
      text: "文本",
      index: "下标",
      reference: "基准",
      candidate: "待测",
      d: "D",
      relL2: "相对 L2",
      cosine: "余弦",
      channel: "通道",
      head: "头",
      share: "占比",
      nonFinite: "NAN/INF",
      elements: "元素数",
    },
    nonFinite: "NaN/inf",
    noHeads: {
      metadata: "不分头：运行元数据没有 model.heads 与 model.head_dim",
      name: "不分头：只有 query、key、value（q_proj、k 等）的通道属于单个头",
      width: "不分头：每行宽度不等于 model.heads 乘以 model.head_dim",
    },
    tooWide: "不分通道：每行多于 1048576 个元素",
    more: (count) => `另有 ${count} 项，见 --json`,
  },
};
