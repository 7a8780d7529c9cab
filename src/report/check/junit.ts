/** A check as JUnit XML: the suites of each pair, under its name. */

import type { CheckResult, PairOutcome } from "../../core/check-result.ts";
import { suitesOf } from "../junit.ts";
import { renderTestSuites, type TestSuite } from "../junit-xml.ts";
import { CHECK_MESSAGES } from "./messages.ts";

/** A check as JUnit XML, ending with a newline. A pair that could not be compared is one test with an error. */
export function renderCheckJunit({ pairs }: CheckResult): string {
  return renderTestSuites("npu-diff check", pairs.flatMap(suitesOfPair));
}

function suitesOfPair({ name, result, error }: PairOutcome): readonly TestSuite[] {
  if (result !== null && error === null) {
    return suitesOf(result).map((suite) => ({ ...suite, name: `${name}: ${suite.name}` }));
  }
  const body = [
    ...(error?.facts ?? []).map(({ label, text }) => `${label}: ${text}`),
    `${CHECK_MESSAGES.en.help}${error?.help ?? ""}`,
  ];
  const type = error?.code ?? "internal";
  const outcome = { kind: "error", type, message: error?.what ?? type, body } as const;
  return [
    {
      name: `${name}: verdict`,
      cases: [{ classname: "verdict", name: "verdict", outcome }],
    },
  ];
}
