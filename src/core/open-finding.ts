/** Findings that leave something undecided. */

import type { Finding } from "./findings.ts";

/**
 * Whether a finding says that something could be neither kept nor broken. Of a
 * rule that a config calls a warning nothing hangs on it.
 */
export function isOpen({ rule, level, detail }: Finding): boolean {
  return (
    level === "warning" &&
    detail["setAt"] === undefined &&
    (rule === "layer/undecided" ||
      rule === "quality/undecided" ||
      rule === "layer/routed" ||
      rule.startsWith("limit/"))
  );
}
