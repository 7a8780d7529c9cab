/** The rules as they were applied: what each was held to, and what came of it. */

import type { AppliedRule, Finding } from "../core/findings.ts";
import { isOpen } from "../core/open-finding.ts";
import type { ComparisonResult } from "../core/result.ts";
import { isRuleId, RULES } from "../judge/rules.ts";
import { reasonText } from "./finding-text.ts";
import { formatUnit } from "./format-number.ts";
import { NO_SIDE } from "./markdown-parts.ts";
import type { Messages } from "./messages/index.ts";

export type RuleOutcome = "holds" | "broken" | "undecided" | "notApplied";

export interface RuleRow {
  readonly name: string;
  readonly limit: string;
  readonly from: string;
  readonly outcome: RuleOutcome;
  readonly text: string;
}

/** A row for each rule, in the order of the result. */
export function ruleRows(result: ComparisonResult, m: Messages): readonly RuleRow[] {
  return result.rules.map((rule) => {
    const outcome = outcomeOf(rule, result);
    const reason = rule.reason ?? "";
    return {
      name: rule.step === null ? rule.rule : `${rule.rule} (${m.step[rule.step]})`,
      limit: limitText(rule, m),
      from: rule.limitFrom === null ? NO_SIDE : m.source[rule.limitFrom],
      outcome,
      text: outcome === "notApplied" ? m.card.notApplied(reasonText(reason, m)) : m.card[outcome],
    };
  });
}

function limitText({ rule, limit, applied, decide }: AppliedRule, m: Messages): string {
  if (!applied) return NO_SIDE;
  if (limit === null) return m.card.perTensor;
  const unit = isRuleId(rule) ? RULES[rule].unit : null;
  const by = decide === null ? "" : ` (${m.quality.by[decide]})`;
  return unit === null ? NO_SIDE : formatUnit(unit, limit) + by;
}

function outcomeOf(rule: AppliedRule, result: ComparisonResult): RuleOutcome {
  if (!rule.applied) return "notApplied";
  // A rule of the tensors has one row for both step groups, one of the quality a row for each.
  const findings = result.findings.filter(
    (finding) => finding.rule === rule.rule && (rule.decide === null || finding.step === rule.step),
  );
  if (findings.some(({ level }) => level === "error")) return "broken";
  const open = result.findings.some(({ detail }) => leavesOpen(detail, rule.rule));
  return open || findings.some(isOpen) ? "undecided" : "holds";
}

/** Whether a finding names `rule` among those that its tensor leaves open. */
function leavesOpen({ open }: Finding["detail"], rule: string): boolean {
  return typeof open === "string" && open.split(", ").includes(rule);
}
