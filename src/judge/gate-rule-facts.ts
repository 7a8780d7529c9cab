/** Facts of the rules of the gate: what a config changed, and what a baseline says. */

import { facts } from "./rule-fact.ts";

export const GATE_RULE_FACTS = {
  "config/switched-off": facts(
    "warning",
    null,
    null,
    'rules[rule] = "off" in the config',
    "rule",
    "at",
    "tensors",
  ),
  "config/lowered": facts(
    "warning",
    null,
    null,
    'rules[rule] = "warning" in the config, of a rule that is an error',
    "rule",
    "at",
    "tensors",
  ),
  "baseline/regression": facts(
    "error",
    null,
    "absolute",
    "figure beyond baseline ± (relative · |baseline| + absolute), on the worse side",
    "metric",
    "baseline",
  ),
  "baseline/gone": facts("error", null, null, "figure ∈ baseline and ∉ result", "metric"),
  "baseline/new": facts("warning", null, null, "figure ∉ baseline and ∈ result", "metric"),
  "baseline/improved": facts(
    "info",
    null,
    "count",
    "figure beyond baseline ± (relative · |baseline| + absolute), on the better side",
    "metric",
  ),
  "baseline/excused": facts(
    "warning",
    null,
    "count",
    'allowance.against = "baseline", and rule ∈ broken(baseline) with a value no better than the allowance',
    "at",
  ),
  "baseline/absent": facts("info", null, null, "the baseline holds no figures of the pair", "at"),
} as const;
