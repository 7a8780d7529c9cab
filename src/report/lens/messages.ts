/** Everything that the reports of the logit lens say, in both languages. */

import { counted } from "../../core/counted.ts";
import type { Language } from "../messages/index.ts";

/** Arguments are texts that are already formatted and escaped. */
export interface LensMessages {
  readonly title: string;
  /** Label of the curve in a terminal. */
  readonly curve: string;
  readonly columns: {
    readonly layer: string;
    readonly klMean: string;
    readonly klGm: string;
    readonly overFloor: string;
    readonly top1: string;
  };
  /** Where predictions part: the layer, KL over the floor's, the share of equal first tokens. */
  readonly parts: (place: string, ratio: string, share: string) => string;
  readonly together: (share: string) => string;
  readonly withoutFloor: (kl: string, share: string) => string;
  readonly positions: (shown: string, all: string) => string;
  /** What the lens looks through: the weight of the head, and that of the final norm. */
  readonly through: (head: string, norm: string) => string;
  readonly notAvailable: (reason: string) => string;
  readonly reasons: Readonly<Record<string, string>>;
  readonly rows: (title: string, count: string) => string;
}

const en: LensMessages = {
  title: "Logit lens: what each layer predicts",
  curve: "KL by layer",
  columns: {
    layer: "layer",
    klMean: "KL, mean (nats)",
    klGm: "KL, geometric mean",
    overFloor: "over floor",
    top1: "top-1 agreement",
  },
  parts: (place, ratio, share) =>
    `the prediction parts at ${place}: KL ${ratio} times the floor's, and beyond 1.5 times from there on; top-1 agreement ${share}`,
  together: (share) =>
    `the prediction after the last layer does not part: KL is within 1.5 times the floor's, top-1 agreement ${share}`,
  withoutFloor: (kl, share) =>
    `after the last layer KL is ${kl} nats (geometric mean), top-1 agreement ${share}; without a floor no layer is named`,
  positions: (shown, all) => `${shown} of ${counted(all, "position")}`,
  through: (head, norm) => `through ${norm} and ${head}`,
  notAvailable: (reason) => `no logit lens: ${reason}`,
  reasons: {
    "switched-off": "--lens-tokens 0",
    isolated: "every layer was given the reference's stream",
    stopped: "measuring stopped at the first failure",
    "no-layers": "no layer's output is stored on both sides",
    "no-norm": "the reference stores no norm to hold the final norm's formula to",
    "no-last-layer": "the last layer's output is not stored, to which the final norm is applied",
    "no-epsilon": "no config.json beside the weights tells the epsilon of the final norm",
    "no-norm-weight": "the weights hold no final norm, or several that could be it",
    "unknown-norm": "no known formula of the final norm gives the norm that the reference stores",
  },
  rows: (title, count) => `${title} (${counted(count, "row")})`,
};

const zh: LensMessages = {
  title: "Logit lens：每层的预测",
  curve: "逐层 KL",
  columns: {
    layer: "层",
    klMean: "KL 均值（nats）",
    klGm: "KL 几何平均",
    overFloor: "相对噪声基底",
    top1: "top-1 一致率",
  },
  parts: (place, ratio, share) =>
    `预测从${place}开始分叉：此后 KL 一直超过噪声基底的 1.5 倍（该处为 ${ratio} 倍），该处 top-1 一致率 ${share}`,
  together: (share) =>
    `最后一层之后的预测没有分叉：KL 不超过噪声基底的 1.5 倍，top-1 一致率 ${share}`,
  withoutFloor: (kl, share) =>
    `最后一层之后 KL 为 ${kl} nats（几何平均），top-1 一致率 ${share}；没有噪声基底，不指认任何层`,
  positions: (shown, all) => `${all} 个位置中的 ${shown} 个`,
  through: (head, norm) => `经 ${norm} 与 ${head}`,
  notAvailable: (reason) => `没有 logit lens：${reason}`,
  reasons: {
    "switched-off": "--lens-tokens 0",
    isolated: "每层的输入都是基准侧的残差流",
    stopped: "测量在第一个失败处停止",
    "no-layers": "没有任何一层的输出在两侧都保存",
    "no-norm": "基准侧没有保存 norm，无法核对最终归一化的公式",
    "no-last-layer": "没有保存最后一层的输出，而最终归一化作用于它",
    "no-epsilon": "权重旁没有 config.json 给出最终归一化的 epsilon",
    "no-norm-weight": "权重中没有最终归一化，或有多个候选",
    "unknown-norm": "已知的归一化公式都得不到基准侧所存的 norm",
  },
  rows: (title, count) => `${title}（${count} 行）`,
};

export const LENS_MESSAGES: Readonly<Record<Language, LensMessages>> = { en, zh };
