/** The rules of the gate in English. */

import type { RuleText } from "./rule-text.ts";

export const GATE_RULE_TEXTS_EN = {
  "config/switched-off": {
    message: "{rule} is not applied to {tensors}: switched off by {at}",
    why: "What a rule would have found is not in the result. Every report says so, so that nothing passes unseen.",
    causes: ["somebody set the rule to off in the config"],
    tune: "Remove the line from the config, or narrow it to tensors under overrides.",
  },
  "config/lowered": {
    message: "{rule} is a warning only for {tensors}: set by {at}",
    why: "What the rule finds stands in the result, and fails nothing.",
    causes: ["somebody set the rule to warning in the config"],
    tune: "Remove the line from the config, or narrow it to tensors under overrides.",
  },
  "baseline/regression": {
    message: "{metric} is {value}: the baseline is {baseline}, its allowance ends at {limit}",
    why: "A figure can get worse for months inside an absolute limit. The baseline holds what the pair has reached.",
    causes: [
      "a change of the engine, of a kernel or of the driver since the baseline was accepted",
      "a run that is not deterministic, with an allowance narrower than its scatter",
      "dumps made anew with other settings",
    ],
    tune: "Find what changed. If it is meant, accept the new figures with npu-diff check -u; if the figure scatters, widen allowance in the config.",
  },
  "baseline/gone": {
    message: "{metric}: the baseline holds it, this run does not give it",
    why: "A gate that measures less than it did has become narrower, and nobody would see it.",
    causes: [
      "a capture with another selection",
      "a floor or a forced reference that is no longer given",
      "a module that the engine has fused away",
    ],
    tune: "Capture it again, or accept the smaller set with npu-diff check -u.",
  },
  "baseline/new": {
    message: "{metric}: not in the baseline",
    why: "What the baseline does not hold cannot get worse than it. The absolute limits hold all the same.",
    causes: ["a capture of more than when the baseline was accepted"],
    tune: "Add it with npu-diff check --update=new.",
  },
  "baseline/improved": {
    message:
      "{value} {value?figure is|figures are} better than the baseline beyond its allowance, such as {metric}",
    why: "A baseline that is worse than the pair lets it fall back unseen.",
    causes: ["a fault that was mended", "a more exact kernel"],
    tune: "Tighten the baseline with npu-diff check -u.",
  },
  "baseline/excused": {
    message:
      "{value} {value?finding is|findings are} no worse than in {at} and {value?counts as a warning|count as warnings}",
    why: 'With allowance.against = "baseline" a known failure does not fail the gate again as long as it does not get worse.',
    causes: ["a failure that was accepted into the baseline"],
    tune: 'Mend it; or set allowance.against to "limits", so that the absolute limits decide.',
  },
  "baseline/absent": {
    message: "{at} holds nothing of this pair: only the absolute limits were applied",
    why: "Without a baseline a figure may get worse up to the absolute limits.",
    causes: ["a pair that is new", "a baseline that was never written"],
    tune: "Accept the figures with npu-diff check -u, and commit the baseline.",
  },
} as const satisfies Record<string, RuleText>;
