/** The result of a comparison as JUnit XML: a test for each tensor, and for each rule about the whole run. */

import type { AppliedRule, Finding } from "../core/findings.ts";
import { isOpen } from "../core/open-finding.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { findingMessage, reasonText } from "./finding-text.ts";
import { type Outcome, renderTestSuites, type TestCase, type TestSuite } from "./junit-xml.ts";
import { MESSAGES } from "./messages/index.ts";
import { isNotice, noticeLines } from "./notices.ts";
import { verdictLines } from "./verdict-lines.ts";

// A machine reads it: its words are the same in every language of the user.
const LANG = "en";
const M = MESSAGES[LANG];

/** Rules that the tensors' own tests speak of. */
const OF_TENSORS =
  /^(?:(?:finite|own|layer|exact)\/|limit\/(?:rel-l2|cosine|max-abs|mse)$|structure\/shape$)/;

/**
 * JUnit XML, ending with a newline: a test for each tensor, and for each rule about the
 * whole run. A test fails where a rule is broken, and is an error where nothing could be compared
 * or decided; what no rule was held to is skipped, with the reason. The document has a
 * failure exactly where the verdict is one, or an error, and none of both in a pass.
 */
export function renderJunit(result: ComparisonResult): string {
  return renderTestSuites("npu-diff compare", suitesOf(result));
}

/** The suites of {@link renderJunit}; some may hold no test. */
export function suitesOf(result: ComparisonResult): readonly TestSuite[] {
  const tensors = new Set(result.tensors.map(({ name, step }) => key(name, step)));
  const places = grouped(result.findings, ({ tensor, step }) =>
    tensor === null ? "" : key(tensor, step ?? "prefill"),
  );
  const ofRun = [...places].flatMap(([place, findings]) => (tensors.has(place) ? [] : findings));
  const ruleCases = casesOfRules(result, ofRun);
  return [
    { name: "verdict", cases: [verdictCase(result)] },
    {
      name: "structure",
      cases: ruleCases.filter(({ classname }) => classname === "structure"),
    },
    ...(["prefill", "decode"] as const).map((step) => ({
      name: step,
      cases: result.tensors
        .filter((tensor) => tensor.step === step)
        .map((tensor) => tensorCase(tensor, places.get(key(tensor.name, step)) ?? [])),
    })),
    {
      name: "quality",
      cases: ruleCases.filter(({ classname }) => classname !== "structure"),
    },
    { name: "not judged", cases: notJudged(result) },
  ];
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(keyOf(one));
    if (group === undefined) groups.set(keyOf(one), [one]);
    else group.push(one);
  }
  return groups;
}

function key(tensor: string, step: Finding["step"]): string {
  return `${step ?? ""} ${tensor}`;
}

function verdictCase(result: ComparisonResult): TestCase {
  const { headline, evidence, next } = verdictLines(result, LANG);
  const body = [...evidence, ...(next === null ? [] : [`${M.labels.next}${M.colon}${next}`])];
  const notices = noticeLines(result, LANG).map(
    ({ finding, text }) => `${finding.level}[${finding.rule}]: ${text}`,
  );
  const decisive = result.findings.filter((one) => one.level === "error" || isOpen(one));
  const main = decisive.find(({ role }) => role === "origin") ?? decisive[0];
  const type = main?.rule ?? "verdict";
  const outcome: Outcome = {
    pass: { kind: "passed" as const },
    fail: { kind: "failure" as const, type, message: headline, body },
    inconclusive: { kind: "error" as const, type, message: undecided(headline), body },
  }[result.verdict];
  const output = outcome.kind === "passed" ? [headline, ...body, ...notices] : notices;
  return { classname: "verdict", name: "verdict", outcome, output };
}

function undecided(what: string): string {
  return `inconclusive: ${what}`;
}

/** A test for each rule that was held to the run as a whole, and for whatever else was found about it. */
function casesOfRules(result: ComparisonResult, ofRun: readonly Finding[]): readonly TestCase[] {
  const applied = result.rules.filter(({ rule, applied }) => applied && !OF_TENSORS.test(rule));
  const belongs = (finding: Finding, { rule, step }: AppliedRule): boolean =>
    finding.rule === rule && (step === null || finding.step === step);
  const rest = ofRun.filter(
    (one) =>
      (one.level === "error" || !isNotice(one)) && !applied.some((rule) => belongs(one, rule)),
  );
  return [
    ...applied.map((one) =>
      ruleCase(
        one.rule,
        one.step,
        result.findings.filter((finding) => belongs(finding, one)),
      ),
    ),
    ...[...grouped(rest, ({ rule, step }) => key(rule, step)).values()].map((same) =>
      ruleCase(same[0]?.rule ?? "", same[0]?.step ?? null, same),
    ),
  ];
}

function ruleCase(rule: string, step: Finding["step"], findings: readonly Finding[]): TestCase {
  const [group = ""] = rule.split("/");
  return {
    classname: group,
    name: step === "decode" ? `${rule} (${step})` : rule,
    ...outcomeOf(findings),
  };
}

function tensorCase(tensor: TensorResult, findings: readonly Finding[]): TestCase {
  const { name, layer, step, verdict, role } = tensor;
  const classname = layer === null ? step : `${step}.layers.${layer}`;
  const { outcome, output } = outcomeOf(findings);
  if (verdict !== "pass" && outcome.kind === "passed") {
    const message = M.tensorVerdict[verdict];
    const kind = verdict === "fail" ? "failure" : "error";
    return { classname, name, outcome: { kind, type: verdict, message }, output };
  }
  if (outcome.kind === "passed" || role === null) return { classname, name, outcome, output };
  const message = `${M.role[role]}: ${outcome.message}`;
  return { classname, name, outcome: { ...outcome, message }, output };
}

/** What findings about one thing come to. */
function outcomeOf(findings: readonly Finding[]): Required<Pick<TestCase, "outcome" | "output">> {
  const broken = findings.filter(({ level }) => level === "error");
  const open = findings.filter(isOpen);
  const output = findings.filter((one) => !broken.includes(one) && !open.includes(one)).map(line);
  const [main] = broken.length > 0 ? broken : open;
  if (main === undefined) return { outcome: { kind: "passed" }, output };
  const message = findingMessage(main, LANG);
  return {
    outcome: {
      // Two tensors of which one is absent, or of another shape, were not compared.
      kind: broken.length > 0 && !main.rule.startsWith("structure/") ? "failure" : "error",
      type: main.rule,
      message: broken.length > 0 ? message : undecided(message),
      body: [...broken, ...open].map(line),
    },
    output,
  };
}

function line(finding: Finding): string {
  const { tensor, rule } = finding;
  return `${rule}: ${tensor === null ? "" : `${tensor} `}${findingMessage(finding, LANG)}`;
}

/** Rules that were not applied, and what one side did not mean to store. */
function notJudged({ rules, notCaptured }: ComparisonResult): readonly TestCase[] {
  const skipped = (name: string, type: string, message: string): TestCase => ({
    classname: "not-judged",
    name,
    outcome: { kind: "skipped", type, message },
  });
  return [
    ...rules
      .filter(({ applied }) => !applied)
      .map(({ rule, step, reason }) => {
        const word = reason ?? "not-applied";
        const name = step === "decode" ? `${rule} (${step})` : rule;
        return skipped(name, word, reasonText(word, M));
      }),
    ...(["reference", "candidate"] as const).flatMap((side) => {
      const names = new Set(notCaptured[side].map((place) => place.replace(/@[^@]*$/, "")));
      return [...names].map((name) =>
        skipped(name, "structure/not-captured", `${M.labels.notCaptured}${M.colon}${side}`),
      );
    }),
  ];
}
