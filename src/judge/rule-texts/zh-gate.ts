/** The rules of the gate in Chinese. */

import type { RuleText } from "./rule-text.ts";

export const GATE_RULE_TEXTS_ZH = {
  "config/switched-off": {
    message: "{rule} 对 {tensors} 不适用：已由 {at} 关闭",
    why: "该规则本会发现的问题不在结果中。每份报告都会说明这一点，避免在无人察觉时通过。",
    causes: ["配置文件把该规则设为 off"],
    tune: "从配置文件中删除该行，或在 overrides 中限定到具体张量。",
  },
  "config/lowered": {
    message: "{rule} 对 {tensors} 仅作警告：由 {at} 设定",
    why: "该规则发现的问题仍列在结果中，但不会导致不通过。",
    causes: ["配置文件把该规则设为 warning"],
    tune: "从配置文件中删除该行，或在 overrides 中限定到具体张量。",
  },
  "baseline/regression": {
    message: "{metric} 为 {value}：基线为 {baseline}，允许到 {limit}",
    why: "指标可以在绝对限值之内逐月变差而无人察觉。基线记录该组已经达到的水平。",
    causes: [
      "接受基线之后，推理引擎、算子或驱动发生了变化",
      "运行结果不确定，而允许范围小于其波动",
      "用其他设置重新采集了 dump",
    ],
    tune: "找出变化的原因。若符合预期，用 npu-diff check -u 接受新的指标；若指标本身有波动，在配置文件中放宽 allowance。",
  },
  "baseline/gone": {
    message: "{metric}：基线中有，本次运行没有",
    why: "测量范围比以前小，门禁就变窄了，而且不易察觉。",
    causes: ["采集范围不同", "不再提供噪声基底或强制基准", "推理引擎融合掉了某个模块"],
    tune: "重新采集，或用 npu-diff check -u 接受较小的范围。",
  },
  "baseline/new": {
    message: "{metric}：不在基线中",
    why: "基线中没有的指标，无法与之比较变差与否。绝对限值照常适用。",
    causes: ["采集范围比接受基线时更大"],
    tune: "用 npu-diff check --update=new 加入基线。",
  },
  "baseline/improved": {
    message: "{value} 项指标优于基线并超出允许范围，例如 {metric}",
    why: "基线若比实际水平差，指标回落时就不会被发现。",
    causes: ["某个故障已修复", "算子更精确了"],
    tune: "用 npu-diff check -u 收紧基线。",
  },
  "baseline/excused": {
    message: "{value} 项问题不比 {at} 更差，按警告处理",
    why: 'allowance.against 为 "baseline" 时，已知的不通过只要不变差，就不会再次使门禁失败。',
    causes: ["不通过的指标已被接受为基线"],
    tune: '修复问题；或把 allowance.against 设为 "limits"，由绝对限值判定。',
  },
  "baseline/absent": {
    message: "{at} 中没有该组的指标：仅按绝对限值判定",
    why: "没有基线时，指标可以一直变差到绝对限值。",
    causes: ["新增的比较组", "从未写入基线"],
    tune: "用 npu-diff check -u 接受当前指标，并提交基线文件。",
  },
} as const satisfies Record<string, RuleText>;
