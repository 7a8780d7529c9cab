/** A check as one SARIF log: the findings of all pairs in one run, under one table of rules. */

import type { CheckResult, PairError, PairOutcome } from "../../core/check-result.ts";
import { escapeSarif, escapeText } from "../../core/escape.ts";
import type { Finding } from "../../core/findings.ts";
import {
  artifactOf,
  artifactsOf,
  CANDIDATE,
  pairLocation,
  resultOf,
  ruleOf,
  type SarifOptions,
  sarifLog,
  uriOf,
} from "../sarif.ts";
import { totals } from "./rows.ts";

/** GitHub refuses a run that has more results. */
const MOST_RESULTS = 25_000;

/** Its place among the artifacts: what could not be compared has no other file that is sure to be there. */
const CONFIG = 0;

/**
 * A result for each finding of each pair, named after its pair, and one of level `error`
 * for a pair that could not be compared; ends with a newline. Beyond 25,000 results what is
 * inherited is left out first, and the property `omitted` says how many are.
 */
export function renderCheckSarif(check: CheckResult, options: Partial<SarifOptions> = {}): string {
  const artifacts: object[] = [artifactOf(check.config, "config")];
  const ids: string[] = [];
  const rules: object[] = [];
  const indexOf = (id: string, rule: () => object): number => {
    const known = ids.indexOf(id);
    if (known !== -1) return known;
    rules.push(rule());
    return ids.push(id) - 1;
  };
  const kept = bounded(check.pairs);
  const results = check.pairs.flatMap(({ name, result, error }, i) => {
    const pair = escapeText(name, 200);
    if (result === null || error !== null) {
      const code = error?.code ?? "internal";
      return [
        errorResult(
          error,
          pair,
          check.config,
          indexOf(code, () => errorRule(code)),
        ),
      ];
    }
    const index = artifacts.length + CANDIDATE;
    artifacts.push(...artifactsOf(result, pair));
    const place = { candidate: result.inputs.candidate, index, pair };
    return (kept[i] ?? []).map((finding) => {
      const { rule } = finding;
      return resultOf(
        finding,
        indexOf(rule, () => ruleOf(rule)),
        place,
      );
    });
  });
  const found = check.pairs.reduce((sum, pair) => sum + findingsOf(pair).length, 0);
  const omitted = found - kept.reduce((sum, findings) => sum + findings.length, 0);
  return sarifLog(
    {
      executionSuccessful: check.verdict !== "error",
      said: `${check.verdict}: ${totals(check, "en")}`,
      rules,
      artifacts,
      results,
      properties: {
        verdict: check.verdict,
        ...(omitted === 0 ? {} : { omitted }),
        pairs: check.pairs.map(({ name, verdict, result }) => ({
          name: escapeText(name, 200),
          verdict,
          evidence: result?.evidence ?? null,
          preset: result?.preset ?? null,
          origin: result?.origin == null ? null : escapeText(result.origin.tensor, 1000),
        })),
      },
    },
    options,
  );
}

function findingsOf({ result, error }: PairOutcome): readonly Finding[] {
  return error === null ? (result?.findings ?? []) : [];
}

/** The findings of each pair that have room, an error for each other pair counted in. */
function bounded(pairs: readonly PairOutcome[]): readonly (readonly Finding[])[] {
  const all = pairs.map(findingsOf);
  const room = MOST_RESULTS - pairs.filter(({ error }) => error !== null).length;
  const count = (lists: readonly (readonly Finding[])[]): number =>
    lists.reduce((sum, list) => sum + list.length, 0);
  if (count(all) <= room) return all;
  const own = all.map((findings) => findings.filter(({ role }) => role !== "inherited"));
  let left = room;
  return own.map((findings) => {
    const shown = findings.slice(0, Math.max(0, left));
    left -= shown.length;
    return shown;
  });
}

/** A pair that was not compared must not read as one in which nothing was found. */
function errorRule(code: string): object {
  return {
    id: code,
    shortDescription: { text: `Could not be compared: ${code}` },
    fullDescription: {
      text: "The pair could not be compared: nothing is said of its precision, which is no pass.",
    },
    help: { text: "Mend what the message names, then run npu-diff check again." },
    defaultConfiguration: { level: "error" },
  };
}

function errorResult(
  error: PairError | null,
  pair: string,
  config: string,
  ruleIndex: number,
): object {
  const code = error?.code ?? "internal";
  const lines = [
    `${pair}: ${error?.what ?? code}`,
    ...(error?.facts ?? []).map(({ label, text }) => `${label}: ${text}`),
    ...(error === null ? [] : [`help: ${error.help}`]),
  ].map((line) => escapeText(line, 400));
  return {
    ruleId: code,
    ruleIndex,
    level: "error",
    message: { text: escapeSarif(lines.join("\n")) },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: uriOf(config), index: CONFIG } },
        logicalLocations: [pairLocation(pair)],
      },
    ],
    partialFingerprints: { "ruleAndModule/v1": `${pair} ${code}` },
    properties: { pair },
  };
}
