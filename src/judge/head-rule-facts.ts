/** Facts of the rules of logits that are computed through the weights of `--lm-head`. */

import { facts } from "./rule-fact.ts";

export const HEAD_RULE_FACTS = {
  "input/lm-head": facts(
    "info",
    null,
    "count",
    "logits ∉ reference or logits ∉ candidate; logits = cap(scale · (W · norm + b)) on both sides",
    "file",
    "weight",
    "dtype",
    "padding",
  ),
  "input/lm-head-side": facts("warning", null, null, "logits ∉ one side", "file", "weight", "side"),
  "input/lm-head-floor": facts(
    "warning",
    null,
    null,
    "the candidate's logits are computed, norm ∉ floor",
    "file",
  ),
  "input/lm-head-weights": facts(
    "warning",
    null,
    null,
    "model.weights_sha256 ≠ SHA-256 of the weights, or one that was not computed",
    "file",
    "expected",
    "found",
  ),
  "input/lm-head-unchecked": facts(
    "warning",
    null,
    null,
    "logits ∉ reference, model.weights_sha256 ∉ both sides",
    "file",
    "weight",
  ),
} as const;
