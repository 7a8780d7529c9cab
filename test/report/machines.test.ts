/** JUnit XML, SARIF and workflow commands: their bytes, and what other programs read in them. */

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { fitSummary, renderGithub } from "../../src/report/github.ts";
import { renderJson } from "../../src/report/json.ts";
import { renderJunit } from "../../src/report/junit.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { renderSarif } from "../../src/report/sarif.ts";
import { commandsIn, readReports } from "../support/read-reports.ts";
import { scratch } from "../support/scratch.ts";
import { FAIL_BY_LAYER, RESULTS } from "./results.ts";

const { folder } = scratch();
const CASES = Object.entries<ComparisonResult>(RESULTS);
/** Those whose bytes are kept. */
const KEPT = CASES.filter(([name]) =>
  [
    ...["pass", "fail by layer", "fail by quality", "fail by structure"],
    ...["inconclusive", "not finite", "no floor", "large"],
  ].includes(name),
);

function sarif(result: ComparisonResult): string {
  const exitCode = { pass: 0, fail: 1, inconclusive: 3 }[result.verdict];
  return renderSarif(result, { version: "1.2.3", exitCode });
}

const file = (name: string): string => name.replaceAll(" ", "-");
const readings = readReports(
  join(folder, "reports"),
  Object.fromEntries(
    CASES.flatMap(([name, result]) => [
      [`${file(name)}.xml`, renderJunit(result)],
      [`${file(name)}.sarif`, sarif(result)],
    ]),
  ),
);

function reading(name: string): (typeof readings)[string] {
  const found = readings[name];
  if (found === undefined) throw new Error(`nobody read ${name}`);
  return found;
}

describe.each(KEPT)("the bytes of %s", (name, result) => {
  const snapshot = (suffix: string): string => `snapshots/${file(name)}.${suffix}`;

  // Of 1,200 tensors and their findings the first and the last tell the form.
  const ends = (text: string): string => {
    if (name !== "large") return text;
    const lines = text.split("\n");
    return [...lines.slice(0, 60), ...lines.slice(-60)].join("\n");
  };

  test("JUnit", async () => {
    await expect(ends(renderJunit(result))).toMatchFileSnapshot(snapshot("junit.xml"));
  });

  test("SARIF", async () => {
    await expect(ends(sarif(result))).toMatchFileSnapshot(snapshot("sarif"));
  });

  test.each(["en", "zh"] as const)("workflow commands, %s", async (lang) => {
    const text = renderGithub(result, { lang });
    await expect(text).toMatchFileSnapshot(snapshot(`${lang}.github.txt`));
  });

  test("JSON of the origin and two tensors", async () => {
    const tensors = result.tensors.filter(({ role }, i) => i < 2 || role === "origin");
    await expect(ends(renderJson({ ...result, tensors }))).toMatchFileSnapshot(snapshot("json"));
  });
});

describe.each(CASES)("%s", (name, result) => {
  const junit = reading(`${file(name)}.xml`);

  test("the schema accepts its JUnit XML, and counts are what a reader counts", () => {
    expect(junit.rejected).toEqual([]);
    expect(junit.told).toEqual(junit.counted);
  });

  test("no reader of JUnit XML takes it for another verdict", () => {
    const { failures, errors } = junit.counted;
    if (result.verdict === "pass") expect([failures, errors]).toEqual([0, 0]);
    if (result.verdict === "fail") expect(failures).toBeGreaterThan(0);
    if (result.verdict === "inconclusive") {
      expect(failures).toBe(0);
      expect(errors).toBeGreaterThan(0);
    }
  });

  test("every tensor is a test, with its verdict", () => {
    const found = junit.cases.filter(({ suite }) => suite === "prefill" || suite === "decode");
    expect(found).toHaveLength(result.tensors.length);
    result.tensors.forEach(({ name: tensor, step, verdict }, i) => {
      const one = found[i];
      expect(one?.suite).toBe(step);
      // Names of strangers are escaped.
      if (name !== "hostile") expect(one?.name).toBe(tensor);
      // What is missing in some samples may have passed in the others.
      const misses = result.findings.some(
        (finding) => finding.rule === "structure/missing" && finding.tensor === tensor,
      );
      expect(one?.result.length).toBe(verdict === "pass" && !misses ? 0 : 1);
    });
  });

  test("every rule that was not applied is skipped, with a reason", () => {
    for (const { rule } of result.rules.filter(({ applied }) => !applied)) {
      const one = junit.cases.find((found) => found.name === rule);
      expect(one?.result).toEqual(["skipped"]);
      expect(one?.message).toMatch(/\w/);
    }
    expect(junit.cases.filter((one) => one.result[0] === "skipped").length).toBe(
      result.rules.filter(({ applied }) => !applied).length +
        new Set(result.notCaptured.reference).size +
        new Set(result.notCaptured.candidate).size,
    );
  });

  test("the official schema accepts its SARIF log, which has a result for each finding", () => {
    expect(reading(`${file(name)}.sarif`).rejected).toEqual([]);
    const [run] = (JSON.parse(sarif(result)) as { runs: SarifRun[] }).runs;
    const rules = run?.tool.driver.rules ?? [];
    expect(run?.results.map(({ ruleId }) => ruleId)).toEqual(
      result.findings.map(({ rule }) => rule),
    );
    for (const { ruleId, ruleIndex } of run?.results ?? []) {
      expect(rules[ruleIndex]?.id).toBe(ruleId);
    }
    const worst = run?.results.some(({ level }) => level === "error") === true;
    expect(worst).toBe(result.verdict === "fail");
  });

  test("its workflow commands are ten at most, the verdict first", () => {
    const commands = commandsIn(renderGithub(result, { lang: "en" }));
    const level = { pass: "notice", fail: "error", inconclusive: "warning" }[result.verdict];
    const word = { pass: "PASS", fail: "FAIL", inconclusive: "INCONCLUSIVE" }[result.verdict];
    expect(commands[0]).toBe(`${level} title=npu-diff%3A ${word}`);
    expect(commands.length).toBeLessThanOrEqual(10);
  });
});

interface SarifRun {
  readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
  readonly results: readonly {
    readonly ruleId: string;
    readonly ruleIndex: number;
    readonly level: string;
  }[];
}

test("an inconclusive tensor is an error to a reader of JUnit XML, and says so", () => {
  const open = reading("statistics.xml").cases.filter(({ name }) => name === "layers.3.mlp");
  expect(open.map(({ result, type }) => [result, type])).toEqual([[["error"], "layer/undecided"]]);
  expect(open[0]?.message).toMatch(/^inconclusive: /);
});

test("what could not be compared is an error, not a failure", () => {
  const found = reading("fail-by-structure.xml").cases.filter(({ type }) =>
    type?.startsWith("structure/"),
  );
  expect(found.map(({ name, result }) => [name, result[0]])).toEqual([
    ["verdict", "failure"],
    ["structure/missing", "error"],
    ["layers.2.attn", "error"],
    ["layers.3.mlp", "error"],
    ["layers.0.router", "skipped"],
  ]);
});

test("beyond ten annotations the tenth says how many there are", () => {
  const one = FAIL_BY_LAYER.findings[0];
  const findings = one === undefined ? [] : Array.from({ length: 25 }, () => one);
  const commands = renderGithub({ ...FAIL_BY_LAYER, findings }, { lang: "en" }).trimEnd();
  expect(commands.split("\n")).toHaveLength(10);
  expect(commands).toMatch(/%0Aand 16 more$/);
});

describe("a job summary", () => {
  const text = renderMarkdown(RESULTS["fail by keywords"], { lang: "zh" });
  const size = Buffer.byteLength(text);

  test("that fits is whole", () => {
    expect(fitSummary(text, size, "zh")).toBe(text);
  });

  test("that does not ends after a whole block, and says so", () => {
    for (const room of [size - 1, Math.floor(size / 2), text.indexOf("</details>"), 1000]) {
      const cut = fitSummary(text, room, "zh");
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(room);
      const blocks = cut.trimEnd().split("\n\n");
      expect(blocks.pop()).toMatch(/report\.md/);
      // A fold that was cut is ended, so that it hides nothing that another call writes.
      expect(cut.match(/<details>/g)?.length).toBe(cut.match(/<\/details>/g)?.length);
      if (!text.startsWith(`${blocks.join("\n\n")}\n\n`)) {
        expect(blocks.pop()).toBe("</details>");
      }
      expect(text.startsWith(`${blocks.join("\n\n")}\n\n`)).toBe(true);
    }
    expect(fitSummary(text, 10, "zh")).toBe("");
    expect(fitSummary(text, -5, "zh")).toBe("");
  });
});
