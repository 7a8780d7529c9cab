/** What the package exports, by name: additions only. Each of it says what it is. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { VERSION } from "../src/core/version.ts";
import * as core from "../src/core.ts";
import * as api from "../src/index.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What needs no Node.js. */
const CORE = [
  "NpuDiffError",
  "diagnose",
  "explain",
  "isNpuDiffError",
  "judge",
  "readStored",
  "renderCheckGithub",
  "renderCheckHtml",
  "renderCheckJson",
  "renderCheckJunit",
  "renderCheckMarkdown",
  "renderCheckSarif",
  "renderCheckText",
  "renderCsv",
  "renderGithub",
  "renderHtml",
  "renderJson",
  "renderJunit",
  "renderMarkdown",
  "renderSarif",
  "renderText",
];

const OF_DUMPS = [
  "checkPairs",
  "compareDumps",
  "compareTaskResults",
  "openDump",
  "readTensor",
  "repairDump",
];

test("the functions and classes that the package exports", () => {
  expect(Object.keys(core).toSorted()).toEqual(CORE);
  expect(Object.keys(api).toSorted()).toEqual([...CORE, ...OF_DUMPS].toSorted());
});

describe("types", () => {
  const entry = `${ROOT}src/index.ts`;
  const config = ts.readConfigFile(`${ROOT}tsconfig.json`, (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const program = ts.createProgram([entry], options);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
  const symbols = (module === undefined ? [] : checker.getExportsOfModule(module)).map(
    (symbol) => ({
      name: symbol.name,
      meant: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
    }),
  );
  const isDocumented = (symbol: ts.Symbol): boolean =>
    symbol.getDocumentationComment(checker).length > 0;

  test("the names of all of them", async () => {
    const values = new Set(Object.keys(api));
    const names = symbols.map(({ name }) => name).filter((name) => !values.has(name));
    await expect(`${names.toSorted().join("\n")}\n`).toMatchFileSnapshot("public-types.txt");
  });

  test("everything that is exported says what it is", () => {
    expect(symbols.length).toBeGreaterThan(100);
    expect(symbols.filter(({ meant }) => !isDocumented(meant)).map(({ name }) => name)).toEqual([]);
  });

  test("and so does every function what it throws and takes", () => {
    const functions = symbols.filter(({ meant }) => meant.flags & ts.SymbolFlags.Function);
    expect(functions.map(({ name }) => name).toSorted()).toEqual(
      [...CORE, ...OF_DUMPS].filter((name) => name !== "NpuDiffError").toSorted(),
    );
    const throwing = functions
      .filter(({ meant }) => meant.getJsDocTags(checker).some(({ name }) => name === "throws"))
      .map(({ name }) => name);
    // A renderer and a look at a result cannot fail.
    expect(throwing.toSorted()).toEqual([...OF_DUMPS, "explain", "judge", "readStored"].toSorted());
  });
});

test("the version is that of the package", () => {
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as {
    readonly version: string;
  };
  expect(VERSION).toBe(version);
});
