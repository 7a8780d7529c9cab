/** The lint that keeps imports in one direction does catch what it is meant to. */

import { ESLint } from "eslint";
import { describe, expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const eslint = new ESLint({ cwd: root });

/** Rules that one import, put into an existing file, breaks. */
async function broken(file: string, code: string): Promise<readonly (string | null)[]> {
  const [result] = await eslint.lintText(code, { filePath: `${root}${file}` });
  return (result?.messages ?? [])
    .map(({ ruleId }) => ruleId)
    .filter((rule) => rule?.startsWith("no-restricted-") === true);
}

describe("an import against the direction is an error", () => {
  test.each([
    ["src/core/dtype.ts", 'import "../dump/dump.ts";'],
    ["src/core/dtype.ts", 'import "node:fs";'],
    ["src/dump/dump.ts", 'import "../align/align.ts";'],
    ["src/align/align.ts", 'import "../measure/logits.ts";'],
    ["src/align/align.ts", 'import "apache-arrow";'],
    ["src/measure/logits.ts", 'import "../judge/limits.ts";'],
    ["src/judge/limits.ts", 'import "../compare.ts";'],
    ["src/diagnose/origin.ts", 'import "../report/text.ts";'],
    ["src/report/text.ts", 'import "../judge/judge.ts";'],
    ["src/report/text.ts", 'import "../dump/dump.ts";'],
    ["src/report/text.ts", 'import "yargs";'],
    ["src/judge/limits.ts", 'import "node:path";'],
    ["src/diagnose/origin.ts", 'import "node:os";'],
    ["src/report/text.ts", 'import "node:fs";'],
    ["src/report/html/page.ts", 'import "node:crypto";'],
    ["src/core.ts", 'import "node:fs";'],
    ["src/core.ts", 'import "./compare.ts";'],
    ["src/core.ts", 'import "./dump/open-dump.ts";'],
    ["src/core/dtype.ts", 'import "../core.ts";'],
    ["src/config/load.ts", 'import "../dump/dump.ts";'],
    ["src/config/load.ts", 'import "../report/text.ts";'],
    ["src/config/load.ts", 'import "../cli/host.ts";'],
    ["src/config/gate.ts", 'import "../check.ts";'],
    ["src/cli/run.ts", 'import "yaml";'],
  ])("%s: %s", async (file, code) => {
    expect(await broken(file, code)).toEqual(["no-restricted-imports"]);
  });

  test("one file loads the run time of the head, and by no static import", async () => {
    const dynamic = 'export const load = () => import("onnxruntime-node");';
    expect(await broken("src/compare.ts", dynamic)).toEqual(["no-restricted-syntax"]);
    expect(await broken("src/measure/lm-head/lens.ts", dynamic)).toEqual(["no-restricted-syntax"]);
    expect(await broken("src/measure/lm-head/product.ts", dynamic)).toEqual([]);
    const fixed = 'import "onnxruntime-node";';
    expect(await broken("src/measure/lm-head/product.ts", fixed)).toEqual([
      "no-restricted-imports",
    ]);
  });

  test("and so is process outside the command line", async () => {
    const code = "export const path: string = process.cwd();";
    expect(await broken("src/judge/limits.ts", code)).toEqual(["no-restricted-globals"]);
    expect(await broken("src/cli/run.ts", code)).toEqual([]);
  });

  test("and so is whatever else a browser lacks, where results are judged and shown", async () => {
    const code = 'export const bytes: Uint8Array = Buffer.from("a");';
    for (const file of ["src/core/dtype.ts", "src/judge/limits.ts", "src/report/text.ts"]) {
      expect(await broken(file, code)).toEqual(["no-restricted-globals"]);
    }
    expect(await broken("src/dump/dump.ts", code)).toEqual([]);
  });
});

test("an import along the direction is none", async () => {
  expect(await broken("src/report/stored.ts", 'import "./check/json.ts";')).toEqual([]);
  expect(await broken("src/judge/limits.ts", 'import "../core/dtype.ts";')).toEqual([]);
  expect(await broken("src/report/text.ts", 'import "../judge/rules.ts";')).toEqual([]);
});
