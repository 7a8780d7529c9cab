/** Findings in words, by the templates of the rule table. */

import { escapeText } from "../core/escape.ts";
import type { Finding } from "../core/findings.ts";
import { chooseForms } from "../core/template.ts";
import { isRuleId, RULES, type RuleUnit } from "../judge/rules.ts";
import { formatAgainst, formatPlain, formatUnit } from "./format-number.ts";
import { type Language, MESSAGES, type Messages } from "./messages/index.ts";

/** What stands where a finding lacks a fact that its template names. */
const ABSENT = "-";

/** What was found, as a phrase without the name of the tensor. */
export function findingMessage(finding: Finding, lang: Language): string {
  if (!isRuleId(finding.rule)) return escapeText(finding.rule);
  const rule = RULES[finding.rule];
  const numbers = valueAndLimit(finding, rule.unit);
  const fill = (_match: string, space: string, name: string): string => {
    const text = textOf(name);
    // «至少 0.9» after Chinese needs no space.
    return (name === "value" && /^[\u3400-\u9fff]/.test(text) ? "" : space) + text;
  };
  const textOf = (name: string): string => {
    if (name === "value") return bounded(numbers.value, finding, lang);
    if (name === "limit") return numbers.limit;
    if (name === "sample") return finding.sample === null ? ABSENT : String(finding.sample);
    return detailText(name, finding.detail[name], lang);
  };
  return chooseForms(rule[lang].message, textOf).replaceAll(/( ?)\{(\w+)\}/g, fill);
}

/** Value and limit in the unit of the finding's rule, with the digits that tell them apart. */
export function valueAndLimit(
  finding: Finding,
  unit: RuleUnit | null,
): { readonly value: string; readonly limit: string } {
  const { value, limit } = finding;
  if (unit === null) return { value: ABSENT, limit: ABSENT };
  if (value !== null && limit !== null) {
    const [shownValue, shownLimit] = formatAgainst(unit, value, limit);
    return { value: shownValue, limit: shownLimit };
  }
  return {
    value: value === null ? ABSENT : formatUnit(unit, value),
    limit: limit === null ? ABSENT : formatUnit(unit, limit),
  };
}

/** A value that only bounds the true one says so. */
function bounded(value: string, { detail }: Finding, lang: Language): string {
  const bound = detail["bound"];
  return bound === "lower" || bound === "upper" ? MESSAGES[lang].bound[bound](value) : value;
}

function detailText(name: string, value: string | number | undefined, lang: Language): string {
  if (value === undefined) return ABSENT;
  if (typeof value === "number") return formatPlain(value);
  const messages = MESSAGES[lang];
  if (name === "side" && isSide(value)) return messages.labels[value];
  if (name === "reason") return reasonText(value, messages);
  return escapeText(value, 120);
}

/** A stable word for a reason, in words; one that nobody knows stays as it is. */
export function reasonText(reason: string, { reasons }: Messages): string {
  return reasons[reason] ?? escapeText(reason);
}

function isSide(value: string): value is "reference" | "candidate" | "floor" {
  return value === "reference" || value === "candidate" || value === "floor";
}
