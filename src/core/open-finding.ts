/** Findings that leave something undecided. */

import type { Finding } from "./findings.ts";

/** Whether a finding says that something could be neither kept nor broken. */
export function isOpen({ rule, level }: Finding): boolean {
  return (
    level === "warning" &&
    (rule === "layer/undecided" ||
      rule === "quality/undecided" ||
      rule === "layer/routed" ||
      rule.startsWith("limit/"))
  );
}
