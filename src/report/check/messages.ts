/** Everything that the reports of a check say, in both languages. */

import type { BaselineState, CheckVerdict } from "../../core/check-result.ts";
import { counted } from "../../core/counted.ts";
import type { Language } from "../messages/index.ts";

/** Arguments are texts that are already formatted and escaped. */
export interface CheckMessages {
  readonly title: string;
  /** Of a pair that could not be compared. */
  readonly error: string;
  readonly help: string;
  readonly baseline: string;
  readonly baselineState: Readonly<Record<BaselineState["state"], string>>;
  readonly columns: {
    readonly pair: string;
    readonly tensors: string;
    readonly overFloor: string;
    readonly perplexity: string;
    readonly kl: string;
    readonly top1: string;
    readonly verdict: string;
  };
  /** How many pairs there are, before what they came to. */
  readonly total: (count: number) => string;
  readonly counts: Readonly<Record<CheckVerdict, (count: number) => string>>;
  readonly comma: string;
}

export const CHECK_MESSAGES: Readonly<Record<Language, CheckMessages>> = {
  en: {
    title: "Pairs",
    error: "ERROR",
    help: "help: ",
    baseline: "baseline",
    baselineState: {
      compared: "compared",
      written: "written: review and commit it",
      "not-written": "not written: a pair could not be compared",
      missing: "not there yet: npu-diff check -u writes it",
    },
    columns: {
      pair: "PAIR",
      tensors: "TENSORS",
      overFloor: "x FLOOR",
      perplexity: "PPL",
      kl: "KL",
      top1: "TOP-1",
      verdict: "VERDICT",
    },
    total: (of) => `${counted(of, "pair")}: `,
    counts: {
      error: (count) => `${count} could not be compared`,
      fail: (count) => `${count} failed`,
      inconclusive: (count) => `${count} inconclusive`,
      pass: (count) => `${count} passed`,
    },
    comma: ", ",
  },
  zh: {
    title: "比较组",
    error: "错误",
    help: "处理：",
    baseline: "基线",
    baselineState: {
      compared: "已比较",
      written: "已写入，请检查后提交",
      "not-written": "未写入：有比较组无法比较",
      missing: "尚不存在：用 npu-diff check -u 写入",
    },
    columns: {
      pair: "比较组",
      tensors: "张量",
      overFloor: "基底倍数",
      perplexity: "困惑度",
      kl: "KL",
      top1: "Top-1 一致",
      verdict: "结论",
    },
    total: (of) => `${of} 组：`,
    counts: {
      error: (count) => `${count} 组无法比较`,
      fail: (count) => `${count} 组不通过`,
      inconclusive: (count) => `${count} 组无法判定`,
      pass: (count) => `${count} 组通过`,
    },
    comma: "，",
  },
};
