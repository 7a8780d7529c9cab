/**
 * The table of rules: everything that a comparison of dumps or of task results can find, by a stable id.
 * The judge takes ids, levels and metrics from here; the reports and
 * `npu-diff explain` take the words (`rule-texts/`). Ids are frozen, additions
 * only.
 */

import type { RuleFacts } from "./rule-fact.ts";
import { RULE_FACTS } from "./rule-facts.ts";
import { RULE_TEXTS_EN } from "./rule-texts/en.ts";
import type { RuleText } from "./rule-texts/rule-text.ts";
import { RULE_TEXTS_ZH } from "./rule-texts/zh.ts";

/** Every rule id, in the order in which findings are listed. */
export const RULE_IDS = [
  "structure/missing",
  "structure/shape",
  "structure/not-captured",
  "finite/mismatched",
  "finite/saturation",
  "own/finite",
  "own/embed",
  "own/energy",
  "own/sample",
  "own/token",
  "own/element",
  "own/slope",
  "own/channel",
  "own/offset",
  "own/gain",
  "own/fixed",
  "layer/floor-ratio",
  "layer/floor-ratio-p99",
  "layer/floor-token",
  "layer/floor-sample",
  "layer/prior",
  "layer/prior-token",
  "layer/prior-sample",
  "layer/infinite",
  "layer/propagated",
  "layer/routed",
  "layer/undecided",
  "exact/bits",
  "exact/dtype",
  "limit/rel-l2",
  "limit/cosine",
  "limit/max-abs",
  "limit/mse",
  "limit/ppl-increase",
  "limit/kl",
  "limit/top1",
  "limit/first-token",
  "quality/undefined",
  "quality/nll",
  "quality/kl-ratio",
  "quality/flips",
  "quality/real-flips",
  "quality/keywords",
  "quality/determinism",
  "quality/batch-variance",
  "quality/undecided",
  "input/config",
  "input/floor-config",
  "input/same-id",
  "input/isolated",
  "input/dtype",
  "input/coarse-reference",
  "input/model",
  "input/floor-dropped",
  "input/floor-scaled",
  "input/floor-fallback",
  "input/set-stranger",
  "input/forced-absent",
  "input/forced-dtype",
  "input/own-unknown",
  "input/renamed",
  "input/other-module",
  "input/ambiguous-name",
  "input/similar-name",
  "input/repaired",
  "input/not-read",
  "input/assumed",
  "input/integers",
  "input/text-differs",
  "input/unverified",
  "input/prompts-only",
  "input/repeats",
  "input/lm-head",
  "input/lm-head-side",
  "input/lm-head-floor",
  "input/lm-head-weights",
  "input/lm-head-unchecked",
  "input/performance-conditions",
  "input/performance-failures",
  "config/switched-off",
  "config/lowered",
  "baseline/regression",
  "baseline/gone",
  "baseline/new",
  "baseline/improved",
  "baseline/excused",
  "baseline/absent",
  "task/drop",
  "task/undecided",
] as const;

export type { RuleFacts, RuleUnit } from "./rule-fact.ts";

export type RuleId = (typeof RULE_IDS)[number];

export interface Rule extends RuleFacts {
  readonly id: RuleId;
  readonly en: RuleText;
  readonly zh: RuleText;
}

/** The rule table. */
export const RULES: Readonly<Record<RuleId, Rule>> = Object.fromEntries(
  RULE_IDS.map((id): [RuleId, Rule] => [
    id,
    { ...RULE_FACTS[id], id, en: RULE_TEXTS_EN[id], zh: RULE_TEXTS_ZH[id] },
  ]),
) as Record<RuleId, Rule>;

/** Whether `id` names a rule. */
export function isRuleId(id: string): id is RuleId {
  return Object.hasOwn(RULE_FACTS, id);
}
