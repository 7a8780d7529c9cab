/** What `npu-diff` says to CI systems: report files, annotations and the job summary. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { commandsIn, readReports } from "../support/read-reports.ts";
import { scratch } from "../support/scratch.ts";
import { jsonLines } from "../support/task-files.ts";
import { addNoise, toyTensors, writeToyRun } from "../support/toy-run.ts";

const { folder } = scratch();
const cwd = folder;
const COMPARE = ["compare", "ref.arrow", "bad.arrow", "--preset", "bf16"];
const EVAL = ["eval", "right.jsonl", "wrong.jsonl"];

beforeAll(() => {
  for (const name of ["ref", "bad"]) {
    const tensors = toyTensors();
    if (name === "bad") {
      addNoise(tensors, 2e-7, 1);
      for (const tensor of tensors.filter((one) => one.name === "layers.2.mlp")) {
        tensor.values = tensor.values.map((value) => -value);
      }
    }
    writeToyRun(join(folder, `${name}.arrow`), tensors, { id: name });
  }
  for (const name of ["right", "wrong"]) {
    const lines = Array.from({ length: 200 }, (_, id) => ({
      ...{ id: String(id), task: id < 100 ? "one" : "two" },
      correct: name === "right" || id % 2 === 0,
    }));
    writeFileSync(join(folder, `${name}.jsonl`), jsonLines(lines));
  }
});

function contents(name: string): string {
  return readFileSync(join(folder, name), "utf8");
}

test("one call writes every report, by extension or by name", async () => {
  const outputs = ["a.xml", "a.sarif", "junit=b", "sarif=c", "github=d"].flatMap((one) => [
    "-o",
    one,
  ]);
  const { code } = await cli([...COMPARE, ...outputs], { cwd });
  expect(code).toBe(1);
  expect(contents("b")).toBe(contents("a.xml"));
  expect(contents("c")).toBe(contents("a.sarif"));
  const read = readReports(join(folder, "read"), {
    "a.xml": contents("a.xml"),
    "a.sarif": contents("a.sarif"),
  });
  expect(read["a.xml"]?.rejected).toEqual([]);
  expect(read["a.xml"]?.cases[0]?.result).toEqual(["failure"]);
  expect(read["a.sarif"]?.rejected).toEqual([]);
  const log = JSON.parse(contents("a.sarif")) as {
    readonly runs: readonly { readonly invocations: readonly { readonly exitCode: number }[] }[];
  };
  expect(log.runs[0]?.invocations[0]?.exitCode).toBe(1);
  expect(commandsIn(contents("d"))[0]).toBe("error title=npu-diff%3A FAIL");
});

test.each(["junit", "sarif", "github"])("--format %s is what -o writes", async (format) => {
  const { stdout } = await cli([...COMPARE, "--format", format, "-o", `${format}=f`], { cwd });
  expect(stdout).toBe(contents("f"));
});

test("eval has JUnit and workflow commands, and no SARIF", async () => {
  const { code, stdout } = await cli([...EVAL, "--format", "junit", "-o", "e.xml"], { cwd });
  expect(code).toBe(1);
  expect(stdout).toBe(contents("e.xml"));
  const read = readReports(join(folder, "tasks"), { "e.xml": stdout })["e.xml"];
  expect(read?.rejected).toEqual([]);
  expect(read?.cases.map(({ name, result, type }) => [name, result[0], type])).toEqual([
    ["verdict", "failure", "task/drop"],
    ["one, correct", "failure", "task/drop"],
    ["two, correct", "failure", "task/drop"],
  ]);
  const commands = commandsIn((await cli([...EVAL, "--format", "github"], { cwd })).stdout);
  expect(commands).toEqual([
    "error title=npu-diff eval%3A FAIL",
    "error title=npu-diff eval%3A task/drop",
    "error title=npu-diff eval%3A task/drop",
  ]);
  for (const args of [
    ["--format", "sarif"],
    ["-o", "e.sarif"],
    ["-o", "sarif=e"],
  ]) {
    const refused = await cli([...EVAL, ...args], { cwd });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/^error\[usage\]/);
    expect(refused.stdout).toBe("");
  }
});

describe.each([
  ["compare", COMPARE, "npu-diff%3A FAIL"],
  ["eval", EVAL, "npu-diff eval%3A FAIL"],
] as const)("in GitHub Actions, %s", (name, args, title) => {
  const summary = join(folder, `summary-${name}.md`);
  const env = { GITHUB_ACTIONS: "true", GITHUB_STEP_SUMMARY: summary };

  test("annotates on standard error and adds the Markdown report to the summary", async () => {
    const json = [...args, "--json", "-o", `${name}.md`];
    const { code, stdout, stderr } = await cli(json, { cwd, env });
    expect(code).toBe(1);
    expect(() => JSON.parse(stdout) as unknown).not.toThrow();
    expect(commandsIn(stdout)).toEqual([]);
    expect(commandsIn(stderr)[0]).toBe(`error title=${title}`);
    expect(readFileSync(summary, "utf8")).toBe(`\n${contents(`${name}.md`)}`);
    await cli(json, { cwd, env });
    expect(readFileSync(summary, "utf8")).toBe(`\n${contents(`${name}.md`)}`.repeat(2));
  });

  test("says commands once where they are the report", async () => {
    const { stdout, stderr } = await cli([...args, "--format", "github"], { cwd, env });
    expect(commandsIn(stdout)[0]).toBe(`error title=${title}`);
    expect(commandsIn(stderr)).toEqual([]);
  });

  test("does neither with --no-github, nor elsewhere", async () => {
    const other = join(folder, `other-${name}.md`);
    for (const [flags, actions] of [
      [["--no-github"], "true"],
      [[], "false"],
    ] as const) {
      const env = { GITHUB_ACTIONS: actions, GITHUB_STEP_SUMMARY: other };
      const { stderr } = await cli([...args, ...flags], { cwd, env });
      expect(commandsIn(stderr)).toEqual([]);
    }
    expect(existsSync(other)).toBe(false);
  });

  test("a summary that is full, or cannot be written, does not change the verdict", async () => {
    const full = join(folder, `full-${name}.md`);
    writeFileSync(full, "x".repeat(1024 * 1024));
    const crowded = await cli(args, { cwd, env: { ...env, GITHUB_STEP_SUMMARY: full } });
    expect([crowded.code, readFileSync(full).length]).toEqual([1, 1024 * 1024]);
    const nowhere = join(folder, "none", "summary.md");
    const lost = await cli(args, { cwd, env: { ...env, GITHUB_STEP_SUMMARY: nowhere } });
    expect(lost.code).toBe(1);
    expect(commandsIn(lost.stderr).at(-1)).toMatch(/^warning title=npu-diff%3A the job summary/);
  });
});

test("in GitHub Actions an error is annotated as well", async () => {
  const { code, stderr } = await cli(["compare", "ref.arrow", "none.arrow"], {
    cwd,
    env: { GITHUB_ACTIONS: "true" },
  });
  expect(code).toBe(2);
  expect(commandsIn(stderr)).toEqual(["error title=npu-diff%3A error[file-not-found]"]);
});
