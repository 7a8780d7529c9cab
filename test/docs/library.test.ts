/** The examples of docs/library.md compile against the package's types, run, and print what the page says. */

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { beforeAll, expect, test } from "vitest";
import * as api from "../../src/index.ts";
import { scratch } from "../support/scratch.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGE = readFileSync(join(ROOT, "docs", "library.md"), "utf8");

interface Example {
  readonly title: string;
  readonly code: string;
  readonly prints: string;
}

const EXAMPLES = [
  ...PAGE.matchAll(/^## ([^\n]+)\n(?:(?!^## )[^])*?^```ts\n([^]*?)^```\n\n```text\n([^]*?)^```$/gm),
].map(([, title = "", code = "", prints = ""]): Example => ({ title, code, prints }));

const { folder } = scratch();

beforeAll(() => {
  const pairs = join(ROOT, "fixtures", "pairs");
  const files = {
    "cpu.arrow": "clean/reference.arrow",
    "floor.arrow": "clean/floor.arrow",
    "npu.arrow": "residual-skip/candidate.arrow",
  };
  for (const [name, from] of Object.entries(files)) {
    copyFileSync(join(pairs, from), join(folder, name));
  }
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  // As an installation lays it out.
  const modules = { "npu-diff": ROOT, "@types/node": join(ROOT, "node_modules", "@types", "node") };
  for (const [name, target] of Object.entries(modules)) {
    const path = join(folder, "node_modules", name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path, "dir");
  }
  for (const [index, { code }] of EXAMPLES.entries()) {
    writeFileSync(join(folder, `example${index}.ts`), code);
  }
});

test("every example of the page is one of these", () => {
  expect(EXAMPLES.length).toBe(PAGE.split("\n```ts\n").length - 1);
  expect(EXAMPLES.length).toBeGreaterThan(5);
});

test("every function that the package exports is on the page", () => {
  const missing = Object.keys(api).filter(
    (name) => !PAGE.includes(`\`${name}`) && !PAGE.includes(`${name}(`),
  );
  expect(missing).toEqual([]);
});

test("the examples compile, with nothing but the package's own types", () => {
  const program = ts.createProgram(
    EXAMPLES.map((_, index) => join(folder, `example${index}.ts`)),
    {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      preserveSymlinks: false,
      types: ["node"],
      typeRoots: [join(folder, "node_modules", "@types")],
    },
  );
  const host = {
    getCurrentDirectory: () => folder,
    getCanonicalFileName: (name: string) => name,
    getNewLine: () => "\n",
  };
  expect(ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host)).toBe("");
  expect(program.emit().emitSkipped).toBe(false);
});

test("and print what the page says", () => {
  for (const [index, { title, prints }] of EXAMPLES.entries()) {
    const args = [join(folder, `example${index}.js`)];
    const printed = execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
    expect(printed, title).toBe(prints);
  }
  const written = readdirSync(folder).filter(
    (name) => name.startsWith("report.") || name === "card.md",
  );
  expect(written.length).toBe(5);
});
