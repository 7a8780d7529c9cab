/** What the reader should know of logits that no engine made. */

import type { Finding } from "../core/findings.ts";
import type { HeadFacts } from "../measure/lm-head/lm-head.ts";
import { finding } from "./findings.ts";

/** Findings about the head of `--lm-head`: none of them decides anything. */
export function headFindings(facts: HeadFacts | null): readonly Finding[] {
  if (facts === null) return [];
  const {
    file,
    weight,
    dtype,
    vocabulary,
    padding,
    computed,
    floorsWithout,
    otherWeights,
    checked,
  } = facts;
  const findings: Finding[] = [];
  if (computed === "both") {
    findings.push(
      finding("input/lm-head", { value: vocabulary, detail: { file, weight, dtype, padding } }),
    );
  } else if (computed !== null) {
    findings.push(finding("input/lm-head-side", { detail: { file, weight, side: computed } }));
  }
  for (const floor of floorsWithout) {
    findings.push(finding("input/lm-head-floor", { detail: { file: floor } }));
  }
  if (otherWeights !== null) {
    const { expected, found } = otherWeights;
    findings.push(
      finding("input/lm-head-weights", {
        detail: { file, expected, found: found ?? "not computed, for its size" },
      }),
    );
  } else if (!checked) {
    findings.push(finding("input/lm-head-unchecked", { detail: { file, weight } }));
  }
  return findings;
}
