/** JUnit XML, in the form that Jenkins, GitLab and others read alike. */

import { escapeXml } from "../core/escape.ts";

/**
 * What became of a test. `error` is what could not be decided or compared: of the
 * words that JUnit has, readers take `skipped` for no objection and `failure` for
 * a broken expectation.
 */
export type Outcome =
  | { readonly kind: "passed" }
  | {
      readonly kind: "failure" | "error" | "skipped";
      /** Id of a rule, or a stable word. */
      readonly type: string;
      readonly message: string;
      /** Lines of further text. */
      readonly body?: readonly string[];
    };

export interface TestCase {
  /** Path of what it is part of, with dots. */
  readonly classname: string;
  readonly name: string;
  readonly outcome: Outcome;
  /** Lines of what is known beside the outcome. */
  readonly output?: readonly string[];
}

export interface TestSuite {
  readonly name: string;
  readonly cases: readonly TestCase[];
}

/**
 * The suites that hold cases as a document, ending with a newline. There are no times:
 * the same result gives the same bytes.
 */
export function renderTestSuites(name: string, suites: readonly TestSuite[]): string {
  const all = suites.flatMap(({ cases }) => cases);
  const lines = suites
    .filter(({ cases }) => cases.length > 0)
    .flatMap((suite) => [
      `  <testsuite ${attributes({ name: suite.name, ...counts(suite.cases), skipped: count(suite.cases, "skipped") })}>`,
      ...suite.cases.flatMap(caseLines),
      "  </testsuite>",
    ]);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name, ...counts(all) })}>`,
    ...lines,
    "</testsuites>",
    "",
  ].join("\n");
}

function caseLines({ classname, name, outcome, output = [] }: TestCase): readonly string[] {
  const inner = [
    ...(outcome.kind === "passed"
      ? []
      : element(
          outcome.kind,
          { type: outcome.type, message: outcome.message },
          outcome.body ?? [],
        )),
    ...(output.length === 0 ? [] : element("system-out", {}, output)),
  ];
  const opening = `    <testcase ${attributes({ classname, name })}`;
  return inner.length === 0 ? [`${opening}/>`] : [`${opening}>`, ...inner, "    </testcase>"];
}

/** Text stands as it is read: without the indent of its element. */
function element(
  name: string,
  values: Readonly<Record<string, string>>,
  text: readonly string[],
): readonly string[] {
  const opening = `      <${[name, attributes(values)].filter((part) => part !== "").join(" ")}`;
  return text.length === 0
    ? [`${opening}/>`]
    : `${opening}>${text.map((line) => escapeXml(line)).join("\n")}</${name}>`.split("\n");
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${escapeXml(value)}"`)
    .join(" ");
}

function counts(cases: readonly TestCase[]): Readonly<Record<string, string>> {
  return {
    tests: String(cases.length),
    failures: count(cases, "failure"),
    errors: count(cases, "error"),
  };
}

function count(cases: readonly TestCase[], kind: Outcome["kind"]): string {
  return String(cases.filter(({ outcome }) => outcome.kind === kind).length);
}
