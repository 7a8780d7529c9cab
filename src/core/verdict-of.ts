import type { Finding } from "./findings.ts";
import { isOpen } from "./open-finding.ts";
import type { Verdict } from "./verdict.ts";

/** What findings come to: any error is a failure, and what is open no pass. */
export function verdictOf(findings: readonly Finding[]): Verdict {
  if (findings.some(({ level }) => level === "error")) return "fail";
  return findings.some(isOpen) ? "inconclusive" : "pass";
}
