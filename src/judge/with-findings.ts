/** A result whose findings are others than those that it was made with. */

import type { AppliedRule, Finding } from "../core/findings.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { Verdict } from "../core/verdict.ts";
import { verdictOf } from "../core/verdict-of.ts";

/**
 * `result` with `findings` in the place of its own, and every verdict that follows
 * from them. Where the error begins is not looked for again: that takes the dumps. What
 * was stopped before its end never passes.
 */
export function withFindings(
  result: ComparisonResult,
  findings: readonly Finding[],
  rules: readonly AppliedRule[] = result.rules,
): ComparisonResult {
  const [before, after] = [verdictsOfTensors(result.findings), verdictsOfTensors(findings)];
  const verdict = verdictOf(findings);
  return {
    ...result,
    verdict: result.stopped && verdict === "pass" ? "inconclusive" : verdict,
    findings,
    rules,
    tensors: result.tensors.map((tensor) => {
      const key = `${tensor.step}:${tensor.name}`;
      const found = after.get(key) ?? "pass";
      // A finding of the whole run may name a tensor, and its verdict is another then.
      return found === (before.get(key) ?? "pass") ? tensor : { ...tensor, verdict: found };
    }),
    groups: result.groups.map((group, index) => ({
      ...group,
      verdict: verdictOf(
        findings.filter(({ step }) => step === group.step || (step === null && index === 0)),
      ),
    })),
  };
}

function verdictsOfTensors(findings: readonly Finding[]): ReadonlyMap<string, Verdict> {
  const byTensor = new Map<string, Finding[]>();
  for (const one of findings) {
    const key = `${one.step ?? ""}:${one.tensor ?? ""}`;
    const found = byTensor.get(key);
    if (found === undefined) byTensor.set(key, [one]);
    else found.push(one);
  }
  return new Map([...byTensor].map(([key, found]) => [key, verdictOf(found)]));
}
