/** Makes findings. */

import type { Finding, LimitSource } from "../core/findings.ts";
import type { StepGroup } from "../core/verdict.ts";
import { RULES, type RuleId } from "./rules.ts";

/** What a finding is about, beside its rule. */
export interface FindingParts {
  readonly level?: Finding["level"];
  readonly tensor?: string;
  readonly step?: StepGroup;
  readonly sample?: number | null;
  readonly value?: number | null;
  readonly limit?: number | null;
  readonly limitFrom?: LimitSource;
  readonly detail?: Finding["detail"];
}

/** A finding of `rule`, at the rule's own level unless another is given. */
export function finding(rule: RuleId, parts: FindingParts): Finding {
  return {
    rule,
    level: parts.level ?? RULES[rule].level,
    tensor: parts.tensor ?? null,
    step: parts.step ?? null,
    sample: parts.sample ?? null,
    role: null,
    value: parts.value ?? null,
    limit: parts.limit ?? null,
    limitFrom: parts.limitFrom ?? null,
    detail: parts.detail ?? {},
  };
}

/** Whether `value` is inside an upper limit. NaN never is. */
export function isWithin(value: number, limit: number): boolean {
  return value <= limit;
}
