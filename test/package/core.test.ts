/** `npu-diff/core` as another runtime gets it: bundled for a browser, and run where nothing of Node.js is. */

import { isBuiltin } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { rolldown } from "rolldown";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { diagnose, explain, judge, renderJson } from "../../src/core.ts";
import { FORMATS, render } from "../../src/report/render.ts";
import { PLAIN } from "../../src/report/style.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAIRS = join(ROOT, "fixtures", "pairs");

interface Bundle {
  readonly code: string;
  /** Modules that are no part of it. */
  readonly outside: readonly string[];
}

/** An entry of the built package as one script. */
async function bundle(entry: string): Promise<Bundle> {
  const outside = new Set<string>();
  const bundled = await rolldown({
    input: entry,
    cwd: ROOT,
    platform: "browser",
    logLevel: "silent",
    external: (id) => {
      if (isBuiltin(id)) outside.add(id);
      return isBuiltin(id);
    },
  });
  const { output } = await bundled.generate({ format: "iife", name: "npuDiff" });
  await bundled.close();
  const chunks = output.filter((part) => part.type === "chunk");
  for (const { imports, dynamicImports } of chunks) {
    for (const id of [...imports, ...dynamicImports]) outside.add(id);
  }
  return { code: chunks.map(({ code }) => code).join("\n"), outside: [...outside] };
}

describe("the core", () => {
  let core: Bundle;
  let result: ComparisonResult;

  beforeAll(async () => {
    core = await bundle("npu-diff/core");
    result = await compareDumps({
      reference: join(PAIRS, "clean", "reference.arrow"),
      candidate: join(PAIRS, "residual-skip", "candidate.arrow"),
      floors: [join(PAIRS, "clean", "floor.arrow")],
      details: true,
    });
  });

  /** What an expression gives where there is the language alone, and `btoa`, which every browser has. */
  function inBrowser(expression: string): unknown {
    const context = createContext({ btoa, stored: renderJson(result) });
    runInContext(core.code, context);
    const prelude = 'const { kind, result } = npuDiff.readStored(stored, "result.json");';
    return JSON.parse(
      runInContext(`${prelude} JSON.stringify(${expression})`, context) as string,
    ) as unknown;
  }

  test("imports nothing that a browser lacks", () => {
    expect(core.outside).toEqual([]);
    expect(core.code.length).toBeGreaterThan(100_000);
  });

  test("has the language alone to run in", () => {
    const names = ["process", "require", "Buffer", "global", "fetch", "document"];
    expect(inBrowser(`[${names.map((name) => `typeof ${name}`).join()}, kind]`)).toEqual([
      ...names.map(() => "undefined"),
      "comparison",
    ]);
  });

  test.each(FORMATS)("renders a stored result as here: %s", (format) => {
    const name = { text: "Text", json: "Json", md: "Markdown", html: "Html" } as const;
    const others = { junit: "Junit", sarif: "Sarif", github: "Github", csv: "Csv" } as const;
    const shown = inBrowser(`npuDiff.render${{ ...name, ...others }[format]}(result)`) as string;
    const options = {
      lang: "en",
      command: null,
      exitCode: null,
      style: PLAIN,
      ascii: false,
      columns: 80,
    } as const;
    expect(shown).toBe(render(result, format, options));
    expect(shown.length).toBeGreaterThan(100);
  });

  test("judges, diagnoses and explains as here", () => {
    const options = { limits: { maxKl: 0.1 } };
    expect(inBrowser(`npuDiff.judge(result, ${JSON.stringify(options)})`)).toEqual(
      JSON.parse(JSON.stringify(judge(result, options))),
    );
    expect(inBrowser('npuDiff.diagnose(result, { lang: "zh" })')).toEqual(
      diagnose(result, { lang: "zh" }),
    );
    expect(inBrowser('npuDiff.explain("dtype/bf16")')).toEqual(explain("dtype/bf16"));
  });
});

test("the whole package needs Node.js, which this test would see", async () => {
  const { outside } = await bundle("npu-diff");
  expect(outside).toEqual(expect.arrayContaining(["node:fs", "node:worker_threads"]));
});
