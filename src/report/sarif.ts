/** The result of a comparison as a SARIF 2.1.0 log, for code scanning. */

import { escapeSarif, escapeText } from "../core/escape.ts";
import type { Finding, RuleLevel } from "../core/findings.ts";
import type { InputSummary } from "../core/inputs.ts";
import { isOpen } from "../core/open-finding.ts";
import type { ComparisonResult } from "../core/result.ts";
import { inPlural } from "../core/template.ts";
import { VERSION } from "../core/version.ts";
import { isRuleId, RULES } from "../judge/rules.ts";
import { findingMessage } from "./finding-text.ts";
import { machineJson } from "./json.ts";
import { verdictLines } from "./verdict-lines.ts";

const SCHEMA =
  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/** Its place among the artifacts of a comparison. */
export const CANDIDATE = 1;

/** Characters of a name or a sentence. */
const LONGEST = 1000;

const LEVELS = { error: "error", warning: "warning", info: "note" } as const satisfies Record<
  RuleLevel,
  string
>;

/** What a SARIF log is told beside the result. */
export interface SarifOptions {
  /** Of npu-diff. */
  readonly version: string;
  /** That the process will end with; null where no process ends with this log. */
  readonly exitCode: number | null;
}

/**
 * A SARIF 2.1.0 log: one run with a result for each finding, ending with a newline; none in a pass.
 * What is inherited is a note. What is open is a warning, although SARIF has the kind
 * `open` for it: that has no level, and readers show what has none as if nothing was found.
 */
export function renderSarif(result: ComparisonResult, options: Partial<SarifOptions> = {}): string {
  const { inputs, findings } = result;
  const { headline } = verdictLines(result, "en");
  const ids = [...new Set(findings.map(({ rule }) => rule))];
  const place = { candidate: inputs.candidate, index: CANDIDATE, pair: null };
  return sarifLog(
    {
      executionSuccessful: true,
      said: `${result.verdict}: ${headline}`,
      rules: ids.map(ruleOf),
      artifacts: artifactsOf(result, null),
      results: findings.map((finding) => resultOf(finding, ids.indexOf(finding.rule), place)),
      properties: {
        verdict: result.verdict,
        evidence: result.evidence,
        preset: result.preset,
        origin: result.origin === null ? null : escapeText(result.origin.tensor, LONGEST),
      },
    },
    options,
  );
}

/** What makes up the one run of a log. */
export interface SarifRun {
  /** False where something could not be compared. */
  readonly executionSuccessful: boolean;
  /** What the exit code means. */
  readonly said: string;
  readonly rules: readonly object[];
  readonly artifacts: readonly object[];
  readonly results: readonly object[];
  readonly properties: object;
}

/** `run` as a document, ending with a newline. */
export function sarifLog(
  run: SarifRun,
  { version = VERSION, exitCode = null }: Partial<SarifOptions>,
): string {
  const { executionSuccessful, said, rules, artifacts, results, properties } = run;
  const driver = { name: "npu-diff", version, semanticVersion: version, rules };
  return machineJson({
    $schema: SCHEMA,
    version: "2.1.0",
    runs: [
      {
        tool: { driver },
        invocations: [
          {
            executionSuccessful,
            ...(exitCode === null
              ? {}
              : { exitCode, exitCodeDescription: escapeText(said, LONGEST) }),
          },
        ],
        artifacts,
        results,
        columnKind: "utf16CodeUnits",
        properties,
      },
    ],
  });
}

export function ruleOf(id: string): object {
  if (!isRuleId(id)) return { id: escapeText(id) };
  const { level, formula, metric, en } = RULES[id];
  const help = [
    en.why,
    ...en.causes.map((cause) => `- ${cause}`),
    en.tune,
    `npu-diff explain ${id}`,
  ];
  return {
    id,
    // «{value} times the noise floor»: what is filled in stands as a word.
    shortDescription: {
      text: escapeSarif(
        inPlural(en.message).replace(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase()),
      ),
    },
    fullDescription: { text: escapeSarif(en.why) },
    help: { text: escapeSarif(help.join("\n")) },
    defaultConfiguration: { level: LEVELS[level] },
    properties: { formula, ...(metric === null ? {} : { metric }) },
  };
}

/** Where a finding stands. */
export interface SarifPlace {
  readonly candidate: InputSummary;
  /** The candidate's among the artifacts. */
  readonly index: number;
  /** The pair of a check, escaped; null where there is but one. */
  readonly pair: string | null;
}

export function resultOf(
  finding: Finding,
  ruleIndex: number,
  { candidate, index, pair }: SarifPlace,
): object {
  const { rule, tensor, step, sample, role, value, limit, limitFrom } = finding;
  const subject =
    (pair === null ? "" : `${pair}: `) + (tensor === null ? "" : `${escapeText(tensor)} `);
  const logicalLocations = [
    ...(pair === null ? [] : [pairLocation(pair)]),
    ...(tensor === null ? [] : [moduleOf(tensor)]),
  ];
  return {
    ruleId: isRuleId(rule) ? rule : escapeText(rule),
    ruleIndex,
    level: role === "inherited" ? "note" : LEVELS[finding.level],
    message: { text: escapeSarif(subject + findingMessage(finding, "en")) },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: uriOf(candidate.file), index } },
        ...(logicalLocations.length === 0 ? {} : { logicalLocations }),
      },
    ],
    // A finding stays the same from run to run while its figures change.
    partialFingerprints: {
      "ruleAndModule/v1": [
        ...(pair === null ? [] : [pair]),
        rule,
        step ?? "",
        escapeText(tensor ?? "", LONGEST),
      ].join(" "),
    },
    properties: {
      ...(pair === null ? {} : { pair }),
      ...{ step, sample, role, value, limit, limitFrom, isOpen: isOpen(finding) },
    },
  };
}

/** A pair of a check as a place of its own. */
export function pairLocation(pair: string): object {
  return { name: pair, fullyQualifiedName: pair, kind: "namespace" };
}

function moduleOf(tensor: string): object {
  const fullyQualifiedName = escapeText(tensor, LONGEST);
  return {
    name: fullyQualifiedName.slice(fullyQualifiedName.lastIndexOf(".") + 1),
    fullyQualifiedName,
    kind: "module",
  };
}

/**
 * The files of a comparison, of which the candidate is the second. Files of two sides may
 * have one name: what they are tells them apart.
 */
export function artifactsOf({ inputs }: ComparisonResult, pair: string | null): readonly object[] {
  const artifact = ({ file, bytes }: InputSummary, what: string): object =>
    artifactOf(file, pair === null ? what : `${what} of ${pair}`, bytes);
  return [
    artifact(inputs.reference, "reference"),
    artifact(inputs.candidate, "candidate"),
    ...inputs.floors.map((input, i) => artifact(input, `floor ${i + 1}`)),
    ...inputs.forced.map((input, i) => artifact(input, `forced reference ${i + 1}`)),
  ];
}

/** @param length bytes; left out where they are not known */
export function artifactOf(file: string, what: string, length?: number): object {
  return {
    location: { uri: uriOf(file) },
    ...(length === undefined ? {} : { length }),
    description: { text: what },
  };
}

/** The file's name as a relative reference; lone surrogates have no form in one. */
export function uriOf(file: string): string {
  return encodeURIComponent(file.replace(/\p{Surrogate}/gu, "\ufffd"));
}
