/** The result of a comparison as a SARIF 2.1.0 log, for code scanning. */

import { escapeSarif, escapeText } from "../core/escape.ts";
import type { Finding, RuleLevel } from "../core/findings.ts";
import type { InputSummary } from "../core/inputs.ts";
import { isOpen } from "../core/open-finding.ts";
import type { ComparisonResult } from "../core/result.ts";
import { isRuleId, RULES } from "../judge/rules.ts";
import { findingMessage } from "./finding-text.ts";
import { machineJson } from "./json.ts";
import { verdictLines } from "./verdict-lines.ts";

const SCHEMA =
  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/** Its place among the artifacts. */
const CANDIDATE = 1;

const LEVELS = { error: "error", warning: "warning", info: "note" } as const satisfies Record<
  RuleLevel,
  string
>;

export interface SarifOptions {
  /** Of npu-diff. */
  readonly version: string;
  /** That the process will end with. */
  readonly exitCode: number;
}

/**
 * One run with a result for each finding, ending with a newline; none in a pass.
 * What is inherited is a note. What is open is a warning, although SARIF has the kind
 * `open` for it: that has no level, and readers show what has none as if nothing was found.
 */
export function renderSarif(result: ComparisonResult, options: SarifOptions): string {
  const { inputs, findings } = result;
  const ids = [...new Set(findings.map(({ rule }) => rule))];
  const artifacts = [
    artifactOf(inputs.reference, "reference"),
    artifactOf(inputs.candidate, "candidate"),
    ...inputs.floors.map((input, i) => artifactOf(input, `floor ${i + 1}`)),
    ...inputs.forced.map((input, i) => artifactOf(input, `forced reference ${i + 1}`)),
  ];
  const { headline } = verdictLines(result, "en");
  const log = {
    $schema: SCHEMA,
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "npu-diff",
            version: options.version,
            semanticVersion: options.version,
            rules: ids.map(ruleOf),
          },
        },
        invocations: [
          {
            executionSuccessful: true,
            exitCode: options.exitCode,
            exitCodeDescription: escapeText(`${result.verdict}: ${headline}`, 1000),
          },
        ],
        artifacts,
        results: findings.map((finding) => resultOf(finding, ids, inputs.candidate)),
        columnKind: "utf16CodeUnits",
        properties: {
          verdict: result.verdict,
          evidence: result.evidence,
          preset: result.preset,
          origin: result.origin === null ? null : escapeText(result.origin.tensor, 1000),
        },
      },
    ],
  };
  return machineJson(log);
}

function ruleOf(id: string): object {
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
      text: escapeSarif(en.message.replace(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase())),
    },
    fullDescription: { text: escapeSarif(en.why) },
    help: { text: escapeSarif(help.join("\n")) },
    defaultConfiguration: { level: LEVELS[level] },
    properties: { formula, ...(metric === null ? {} : { metric }) },
  };
}

function resultOf(finding: Finding, ids: readonly string[], candidate: InputSummary): object {
  const { rule, tensor, step, sample, role, value, limit, limitFrom } = finding;
  const place = tensor === null ? "" : `${escapeText(tensor)} `;
  return {
    ruleId: isRuleId(rule) ? rule : escapeText(rule),
    ruleIndex: ids.indexOf(rule),
    level: role === "inherited" ? "note" : LEVELS[finding.level],
    message: { text: escapeSarif(place + findingMessage(finding, "en")) },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: uriOf(candidate), index: CANDIDATE } },
        ...(tensor === null ? {} : { logicalLocations: [moduleOf(tensor)] }),
      },
    ],
    // A finding stays the same from run to run while its figures change.
    partialFingerprints: {
      "ruleAndModule/v1": [rule, step ?? "", escapeText(tensor ?? "", 1000)].join(" "),
    },
    properties: { step, sample, role, value, limit, limitFrom, isOpen: isOpen(finding) },
  };
}

function moduleOf(tensor: string): object {
  const fullyQualifiedName = escapeText(tensor, 1000);
  return {
    name: fullyQualifiedName.slice(fullyQualifiedName.lastIndexOf(".") + 1),
    fullyQualifiedName,
    kind: "module",
  };
}

/** Files of two sides may have one name: what they are tells them apart. */
function artifactOf(input: InputSummary, what: string): object {
  return { location: { uri: uriOf(input) }, length: input.bytes, description: { text: what } };
}

/** The file's name as a relative reference; lone surrogates have no form in one. */
function uriOf({ file }: InputSummary): string {
  return encodeURIComponent(file.replace(/\p{Surrogate}/gu, "\ufffd"));
}
