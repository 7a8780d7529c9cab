import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { type CheckResult, worstOf } from "../../src/core/check-result.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderCheckGithub } from "../../src/report/check/github.ts";
import { renderCheckJson, renderCheckSchema } from "../../src/report/check/json.ts";
import { renderCheckJunit } from "../../src/report/check/junit.ts";
import { renderCheckMarkdown } from "../../src/report/check/markdown.ts";
import { renderCheckSarif } from "../../src/report/check/sarif.ts";
import { renderCheckText } from "../../src/report/check/text.ts";
import { renderResultSchema } from "../../src/report/json.ts";
import { PLAIN } from "../../src/report/style.ts";
import { commandsIn, readReports } from "../support/read-reports.ts";
import { scratch } from "../support/scratch.ts";
import { LARGE, RESULTS } from "./results.ts";

const { folder } = scratch();

const PAIRS: CheckResult["pairs"] = [
  ...Object.entries<ComparisonResult>(RESULTS).map(([name, result]) => ({
    name,
    verdict: result.verdict,
    result,
    error: null,
  })),
  {
    name: "gone",
    verdict: "error",
    result: null,
    error: {
      code: "file-not-found",
      what: "a \u001b[31m.arrow does not exist",
      facts: [{ label: "file", text: "a\n.arrow" }],
      help: "check the path",
    },
  },
];

const CHECK: CheckResult = {
  schemaVersion: 1,
  verdict: worstOf(PAIRS.map(({ verdict }) => verdict)),
  config: "npu-diff.jsonc",
  baseline: { file: "npu-diff.baseline.json", state: "compared" },
  pairs: PAIRS,
};

/** As the command line gives it; of the pairs of a stored result nothing is known. */
const commandOf = (pair: string | null): string | null =>
  pair === null ? "npu-diff check" : `npu-diff check ${pair}`;

test("the committed schema is the generated one", async () => {
  await expect(renderCheckSchema()).toMatchFileSnapshot("../../schema/check.schema.json");
});

test("the schema accepts the report, whose results are those of a comparison", () => {
  const ajv = new Ajv2020();
  // That a result is what this schema says is tested with the report of a comparison.
  const { $id } = JSON.parse(renderResultSchema()) as { readonly $id: string };
  ajv.addSchema({ $id, type: "object", required: ["$schema", "verdict"] });
  const validate = ajv.compile(JSON.parse(renderCheckSchema()) as object);
  const document = JSON.parse(renderCheckJson(CHECK)) as object;
  expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
  expect(validate({ ...document, verdict: "ok" })).toBe(false);
});

describe.each(["en", "zh"] as const)("%s", (lang) => {
  const some: CheckResult = {
    ...CHECK,
    pairs: PAIRS.filter(({ name }) =>
      ["pass", "fail-by-layer", "inconclusive", "hostile", "gone"].includes(name),
    ),
  };

  test.each([80, 60])("text of %d columns", async (columns) => {
    const text = renderCheckText(some, { lang, style: PLAIN, ascii: columns === 60, columns });
    await expect(text).toMatchFileSnapshot(`snapshots/check.${lang}-${String(columns)}.txt`);
    expect(text).not.toMatch(/[\u001b\u202e]/);
  });

  test("Markdown", async () => {
    await expect(renderCheckMarkdown(some, { lang, commandOf })).toMatchFileSnapshot(
      `snapshots/check.${lang}.md`,
    );
  });
});

test("the worst verdict counts: error, fail, inconclusive, pass; of nothing an error", () => {
  expect(worstOf(["pass", "inconclusive", "fail", "error"])).toBe("error");
  expect(worstOf(["pass", "inconclusive", "fail"])).toBe("fail");
  expect(worstOf(["inconclusive", "pass"])).toBe("inconclusive");
  expect(worstOf(["pass"])).toBe("pass");
  expect(worstOf([])).toBe("error");
});

test("JUnit XML holds the suites of every pair, and an error for what could not be compared", () => {
  const read = readReports(join(folder, "reports"), { "check.xml": renderCheckJunit(CHECK) });
  const { rejected, cases = [] } = read["check.xml"] ?? {};
  expect(rejected).toEqual([]);
  for (const { name, verdict } of PAIRS) {
    const word = { pass: [], fail: ["failure"], inconclusive: ["error"], error: ["error"] }[
      verdict
    ];
    const found = cases.filter(({ suite }) => suite === `${name}: verdict`);
    expect(found.map(({ result }) => result)).toEqual([word]);
  }
  expect(cases.at(-1)).toMatchObject({ type: "file-not-found", result: ["error"] });
});

test("workflow commands tell the sum, then what does not pass, ten at most", () => {
  const commands = commandsIn(renderCheckGithub(CHECK, { lang: "en" }));
  expect(commands).toHaveLength(10);
  expect(commands[0]).toBe("error title=npu-diff check%3A ERROR");
  expect(commands[1]).toMatch(/^error title=npu-diff fail.by.layer%3A FAIL$/);
  const one = { ...CHECK, pairs: PAIRS.slice(-1) };
  const text = renderCheckGithub(one, { lang: "en" });
  expect(commandsIn(text)[1]).toBe("error title=npu-diff gone%3A ERROR");
  expect(text).not.toMatch(/[^\P{C}\n]/u);
});

test("the bytes of a SARIF log", async () => {
  const pairs = PAIRS.filter(({ name }) => ["pass", "inconclusive", "gone"].includes(name));
  const text = renderCheckSarif({ ...CHECK, pairs }, { version: "1.2.3", exitCode: 2 });
  await expect(text).toMatchFileSnapshot("snapshots/check.sarif");
});

describe("SARIF", () => {
  interface Log {
    readonly runs: readonly {
      readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
      readonly invocations: readonly { readonly executionSuccessful: boolean }[];
      readonly artifacts: readonly {
        readonly location: { readonly uri: string };
        readonly description: { readonly text: string };
      }[];
      readonly results: readonly {
        readonly ruleId: string;
        readonly ruleIndex: number;
        readonly level: string;
        readonly message: { readonly text: string };
        readonly locations: readonly {
          readonly physicalLocation: { readonly artifactLocation: { readonly index: number } };
          readonly logicalLocations: readonly { readonly fullyQualifiedName: string }[];
        }[];
        readonly partialFingerprints: Readonly<Record<string, string>>;
        readonly properties: { readonly pair: string; readonly role?: string | null };
      }[];
      readonly properties: { readonly omitted?: number };
    }[];
  }

  const options = { version: "1.2.3", exitCode: 2 };
  const run = (check: CheckResult): Log["runs"][number] => {
    const [only, ...more] = (JSON.parse(renderCheckSarif(check, options)) as Log).runs;
    if (only === undefined || more.length > 0) throw new Error("not one run");
    return only;
  };

  test("is valid, one run of all pairs under one table of rules, each result with its pair and file", () => {
    const text = renderCheckSarif(CHECK, options);
    const read = readReports(join(folder, "sarif"), { "check.sarif": text });
    expect(read["check.sarif"]?.rejected).toEqual([]);
    expect(commandsIn(text)).toEqual([]);
    expect(text).not.toMatch(/[^\P{C}\n]|[\u2028\u2029]/u);

    const { tool, artifacts, results, invocations } = run(CHECK);
    const rules = tool.driver.rules.map(({ id }) => id);
    expect(new Set(rules).size).toBe(rules.length);
    expect(invocations[0]?.executionSuccessful).toBe(false);
    for (const one of results) {
      const { pair } = one.properties;
      const [location] = one.locations;
      expect(rules[one.ruleIndex]).toBe(one.ruleId);
      expect(location?.logicalLocations[0]?.fullyQualifiedName).toBe(pair);
      expect(one.message.text.startsWith(`${pair}: `)).toBe(true);
      const artifact = artifacts[location?.physicalLocation.artifactLocation.index ?? -1];
      expect(artifact?.description.text).toBe(pair === "gone" ? "config" : `candidate of ${pair}`);
    }
    for (const { name, verdict, result } of PAIRS) {
      const own = results.filter(({ properties }) => properties.pair === name);
      expect(own.map(({ ruleId }) => ruleId)).toEqual(
        result === null ? ["file-not-found"] : result.findings.map(({ rule }) => rule),
      );
      const isBad = verdict === "fail" || verdict === "error";
      expect(own.some(({ level }) => level === "error")).toBe(isBad);
    }
  });

  test("one finding of two pairs has two fingerprints", () => {
    const [pair] = PAIRS.filter(({ name }) => name === "fail by layer");
    if (pair === undefined) throw new Error("no pair");
    const { results } = run({ ...CHECK, pairs: [pair, { ...pair, name: "other" }] });
    const prints = results.map((one) => one.partialFingerprints["ruleAndModule/v1"]);
    expect(new Set(prints).size).toBe(2 * new Set(prints.slice(0, results.length / 2)).size);
  });

  test("beyond the 25,000 results that GitHub takes, what is inherited is left out, and counted", () => {
    const inherited = LARGE.findings.filter(({ role }) => role === "inherited");
    const pairs = Array.from({ length: 40 }, (_, i) => ({
      ...{ name: `p${String(i)}`, verdict: "fail" as const, result: LARGE, error: null },
    }));
    expect(40 * LARGE.findings.length).toBeGreaterThan(25_000);
    const { results, properties } = run({ ...CHECK, pairs });
    expect(results).toHaveLength(40 * (LARGE.findings.length - inherited.length));
    expect(properties.omitted).toBe(40 * inherited.length);
    expect(results.some(({ properties: { role } }) => role === "origin")).toBe(true);
  });
});
