/** What the reader should know about performance figures; none of it decides anything. */

import type { Finding } from "../core/findings.ts";
import type { PerformanceResult } from "../core/performance.ts";
import { finding } from "./findings.ts";

/** Conditions that differ between the sides, and requests that failed. */
export function performanceFindings(performance: PerformanceResult | null): readonly Finding[] {
  if (performance === null) return [];
  const sides = [performance.reference, performance.candidate].filter((side) => side !== null);
  return [
    ...performance.differences.map(({ condition, reference, candidate }) =>
      finding("input/performance-conditions", {
        detail: { condition, reference: String(reference), candidate: String(candidate) },
      }),
    ),
    ...sides.flatMap(({ file, failed }) =>
      failed === null || failed === 0
        ? []
        : [finding("input/performance-failures", { value: failed, detail: { file } })],
    ),
  ];
}
