/** The rules of computed logits in Chinese. */

import type { HEAD_RULE_FACTS } from "../head-rule-facts.ts";
import type { RuleText } from "./rule-text.ts";

export const HEAD_RULE_TEXTS_ZH: Readonly<Record<keyof typeof HEAD_RULE_FACTS, RuleText>> = {
  "input/lm-head": {
    message:
      "两侧的 logits 由 norm 经 {file} 的 {weight}（{dtype}）计算得到：{value} 个 token，略去 {padding} 行填充",
    why: "不含 logits 的 dump 小很多倍，而 lm_head 只是一次已知的矩阵乘。两侧以 float32 经过同一份权重，因此各引擎自身 lm_head 以及所存 logits 的舍入不计入指标：差异都来自 lm_head 之前。权重中超出 model.vocab_size 的行是填充，不参与计算。",
    causes: ["两侧采集时都没有 logits，且给出了 --lm-head"],
    tune: "无需处理。如需比较引擎自身的 logits，请在两侧都采集。",
  },
  "input/lm-head-side": {
    message: "仅{side}的 logits 经 {file} 的 {weight} 计算，另一侧使用其自身的 logits",
    why: "一侧所存的 logits 是其引擎的实际输出，只有它能说明该引擎的 lm_head 是否正确，因此直接用于比较，不重新计算。它带有引擎自身的舍入，计算得到的没有；困惑度与 KL 包含这一差异。",
    causes: ["两侧的采集范围不同"],
    tune: "请在两侧都采集 logits，或都不采集。",
  },
  "input/lm-head-floor": {
    message: "{file} 不含 norm：不能作为计算所得 logits 的噪声基底",
    why: "噪声基底自身 lm_head 的舍入会放宽限值，而计算得到的 logits 没有这种舍入。",
    causes: ["噪声基底的采集范围不同"],
    tune: "采集噪声基底时也请保存 norm。",
  },
  "input/lm-head-weights": {
    message: "{file} 的 weights_sha256 为 {found}，dump 中记录为 {expected}",
    why: "经过另一个模型的 lm_head 得到的 logits 没有意义。文件经过转换或重新分片时，权重相同而 SHA-256 不同。",
    causes: ["权重来自模型的另一个版本", "权重相同但文件不同，或只含 lm_head"],
    tune: "请使用基准侧运行时的同一份文件。",
  },
  "input/lm-head-unchecked": {
    message: "无法确认 {file} 的 {weight} 是该模型的 lm_head",
    why: "只要形状相符，任何模型的 lm_head 都能算出 logits。若基准侧在 norm 之外还存有 logits，或 dump 记录了权重的 SHA-256，会以此核对；这里两者都没有。困惑度与 KL 仅就给定的 lm_head 而言成立。",
    causes: ["基准侧采集时没有 logits，且采集工具不记录 weights_sha256"],
    tune: "请在基准侧采集一条提示的 logits，或自行确认文件属于该模型。",
  },
};
