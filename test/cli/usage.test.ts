/** Every way of calling `npu-diff` wrongly ends in a usage error that says what to do. */

import { describe, expect, test } from "vitest";
import { CHECK_FORMATS } from "../../src/report/check/render.ts";
import { cli, type Ended } from "../support/cli.ts";

function expectUsageError({ code, stdout, stderr }: Ended): void {
  expect(stderr).toMatch(/^error\[usage\]: .+\n( {2}\S.* {2}\S.*\n)*( {2}help: .+\n)$/);
  expect(stdout).toBe("");
  expect(code).toBe(2);
}

const PAIR = ["compare", "ref.arrow", "cand.arrow"];

describe.concurrent("refused on the command line", () => {
  test.each<[string, string[], RegExp]>([
    ["no command", [], /no command/],
    ["unknown command", ["frobnicate"], /unknown command "frobnicate"/],
    ["command that comes near", ["compar", "a", "b"], /did you mean npu-diff compare\?/],
    ["unknown option", [...PAIR, "--frobnicate"], /unknown option --frobnicate/],
    ["option that comes near", [...PAIR, "--max-rel-l3=1"], /did you mean --max-rel-l2\?/],
    ["option of another command", ["inspect", "a", "--floor", "b"], /unknown option --floor/],
    ["unknown short option", [...PAIR, "-x"], /unknown option -x/],
    ["negated option", [...PAIR, "--no-json"], /unknown option --no-json/],
    ["camel case", [...PAIR, "--maxKl", "1"], /did you mean --max-kl\?/],
    ["hostile option", [...PAIR, "--\u001b[31m"], /unknown option --\\x1b/],
    ["too few files", ["compare", "a"], /takes 2 arguments/],
    ["too many files", [...PAIR, "c"], /takes 2 arguments/],
    ["empty file name", ["compare", "", "b"], /takes 2 arguments/],
    ["a second value after --floor", [...PAIR, "--floor", "f", "g"], /takes 2 arguments/],
    ["a second value after -o", [...PAIR, "-o", "a.json", "b.json"], /takes 2 arguments/],
    ["option without a value", [...PAIR, "--max-kl"], /--max-kl needs a value/],
    ["-o without a value", [...PAIR, "-o"], /-o needs a value|--output needs a value/],
    ["option with an empty value", [...PAIR, "--floor="], /--floor is empty/],
    ["word for a number", [...PAIR, "--max-kl", "banana"], /given +"banana"/],
    ["NaN", [...PAIR, "--max-kl", "NaN"], /given +"NaN"/],
    ["infinity", [...PAIR, "--max-kl", "Infinity"], /given +"Infinity"/],
    ["overflow", [...PAIR, "--max-kl", "1e999"], /given +"1e999"/],
    ["empty number", [...PAIR, "--max-kl", ""], /--max-kl is empty/],
    ["blank number", [...PAIR, "--max-kl", " "], /given +" "/],
    ["hexadecimal", [...PAIR, "--max-kl", "0x10"], /given +"0x10"/],
    ["two numbers", [...PAIR, "--max-kl", "1,5"], /given +"1,5"/],
    ["negative limit", [...PAIR, "--max-abs", "-1"], /at least 0/],
    ["negative increase", [...PAIR, "--max-ppl-increase=-1%"], /at least 0/],
    ["share above 1", [...PAIR, "--min-top1", "1.01"], /from 0 to 1/],
    ["share above 100 %", [...PAIR, "--min-first-token", "101%"], /from 0 to 1/],
    ["cosine above 1", [...PAIR, "--min-cosine", "2"], /from -1 to 1/],
    ["a value given twice", [...PAIR, "--max-kl", "1", "--max-kl", "1"], /given 2 times/],
    ["a flag given twice", [...PAIR, "--json", "--json"], /--json was given 2 times/],
    ["a value for a flag", [...PAIR, "--json=banana"], /--json is a switch/],
    ["unknown preset", [...PAIR, "--preset", "int8"], /expected +auto, exact, f64/],
    ["unknown format", [...PAIR, "--format", "pdf"], /expected +text, json, md, html/],
    [
      "format of another command",
      ["inspect", "a", "--format", "html"],
      /expected +text, json, md\n/,
    ],
    ["a page of task results", ["eval", "a", "b", "-o", "r.html"], /ends in \.json, \.md, \.txt/],
    ["a page on a screen without a page", [...PAIR, "--open", "-o", "r.md"], /-o report\.html/],
    ["two formats", [...PAIR, "--json", "--format", "md"], /--json and --format disagree/],
    ["unknown language", [...PAIR, "--lang", "fr"], /expected +en, zh/],
    ["unknown decision", [...PAIR, "--decide", "coin"], /expected +interval, point/],
    ["unknown colour", [...PAIR, "--color", "red"], /expected +auto, always, never/],
    ["output without a kind", [...PAIR, "-o", "report"], /does not say which report/],
    ["output of an unknown kind", [...PAIR, "-o", "report.xlsx"], /does not say which report/],
    ["output of a kind of later", [...PAIR, "-o", "pdf=x.pdf"], /does not say which report/],
    ["output without a path", [...PAIR, "-o", "json="], /does not say which report/],
    ["output to standard output", [...PAIR, "-o", "-"], /--format/],
    [
      "two outputs to one path",
      [...PAIR, "-o", "r.md", "-o", "md=./r.md"],
      /another file of this call/,
    ],
    [
      "output onto the reference",
      ["compare", "r.md", "c", "-o", "r.md"],
      /another file of this call/,
    ],
    ["unknown rule", ["explain", "layer/flor-ratio"], /did you mean layer\/floor-ratio\?/],
    ["eval without a candidate", ["eval", "a.jsonl"], /takes 2 arguments, or 1 with --baseline/],
    ["eval of nothing", ["eval"], /takes 1 to 2 arguments/],
    ["eval of three files", ["eval", "a", "b", "c"], /takes 1 to 2 arguments/],
    [
      "a baseline and a reference",
      ["eval", "a", "b", "--baseline", "0.2"],
      /--baseline stands for the reference/,
    ],
    [
      "a baseline and a run of the reference",
      ["eval", "b", "--baseline", "0.2", "--reference-run", "a"],
      /--baseline stands for the reference/,
    ],
    ["a baseline above 1", ["eval", "a", "--baseline", "22"], /from 0 to 1/],
    ["a drop of NaN", ["eval", "a", "b", "--max-drop", "NaN"], /given +"NaN"/],
    ["a negative drop", ["eval", "a", "b", "--max-drop=-1%"], /from 0 to 1/],
    ["pass@0", ["eval", "a", "b", "--pass-at", "0"], /whole number/],
    ["more k than runs", ["eval", "a", "b", "--pass-at", "2"], /pass@2 needs as many runs/],
    ["a floor of task results", ["eval", "a", "b", "--floor", "c"], /unknown option --floor/],
    ["version with more", ["--version", "compare"], /./],
  ])("%s", async (_name, argv, expected) => {
    const result = await cli(argv);
    expectUsageError(result);
    expect(result.stderr).toMatch(expected);
  });
});

describe.concurrent("refused in the environment", () => {
  test.each<[string, string, RegExp]>([
    ["NPU_DIFF_MAX_KL", "banana", /NPU_DIFF_MAX_KL needs a number/],
    ["NPU_DIFF_MAX_KL", "", /NPU_DIFF_MAX_KL is empty/],
    ["NPU_DIFF_FORMAT", "pdf", /NPU_DIFF_FORMAT has no such value/],
    ["NPU_DIFF_JSON", "maybe", /NPU_DIFF_JSON is a switch/],
    ["NPU_DIFF_FLOOR", "", /NPU_DIFF_FLOOR is empty/],
    ["NPU_DIFF_OUTPUT", "x.pdf", /does not say which report/],
  ])("%s=%s", async (name, value, expected) => {
    const result = await cli(PAIR, { env: { [name]: value } });
    expectUsageError(result);
    expect(result.stderr).toMatch(expected);
  });
});

describe.concurrent("help", () => {
  test.each([
    ["compare"],
    ["check"],
    ["init"],
    ["config"],
    ["eval"],
    ["inspect"],
    ["report"],
    ["repair"],
    ["explain"],
    ["completion"],
  ])("%s --help", async (command) => {
    const { code, stdout, stderr } = await cli([command, "--help"]);
    // An example is the first thing, the exit codes are the last.
    expect(stdout).toMatch(new RegExp(`^npu-diff ${command}\\b`));
    expect(stdout.trimEnd()).toMatch(/130 {2}interrupted$/);
    expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });

  test("check --help lists the formats that it takes, and what --update takes in words", async () => {
    const { stdout } = await cli(["check", "--help"]);
    const words = stdout.replaceAll(/\s+/g, " ");
    expect(words).toContain(`Report on standard output: ${CHECK_FORMATS.join(", ")} [value]`);
    expect(words).not.toContain("csv");
    expect(words).toMatch(/--update Accept .*: all .*, or new, which only adds what it lacks --/);
    const { stdout: compare } = await cli(["compare", "--help"]);
    expect(compare).toMatch(/--update +Also put the Markdown report into FILE, .*\n.*-->\n/);
  });

  test("npu-diff --help lists every command", async () => {
    const { code, stdout } = await cli(["--help"]);
    for (const command of [
      "compare",
      "check",
      "eval",
      "inspect",
      "repair",
      "explain",
      "completion",
    ]) {
      expect(stdout).toContain(`npu-diff ${command}`);
    }
    expect(code).toBe(0);
  });

  test("--version is one line", async () => {
    const { code, stdout } = await cli(["--version"]);
    expect(stdout).toMatch(/^npu-diff \d+\.\d+\.\d+\n$/);
    expect(code).toBe(0);
  });

  test.each([
    ["bash", "/bin/bash"],
    ["zsh", "/bin/zsh"],
    ["fish", "/usr/bin/fish"],
  ])("completion for %s", async (shell, path) => {
    for (const [words, env] of [
      [["completion"], { SHELL: path }],
      [["completion", shell], { SHELL: "/bin/sh" }],
    ] as const) {
      const { code, stdout } = await cli([...words], { env });
      expect(stdout).toContain("--get-yargs-completions");
      expect(stdout.includes("#compdef")).toBe(shell === "zsh");
      expect(stdout.includes("commandline -opc")).toBe(shell === "fish");
      expect(code).toBe(0);
    }
  });

  test("a shell that has no completion is named", async () => {
    const { code, stderr } = await cli(["completion", "tcsh"]);
    expect(stderr).toContain('given     "tcsh"');
    expect(code).toBe(2);
  });

  test("completions are options of the command, and nothing where there are none", async () => {
    const some = await cli(["--get-yargs-completions", "npu-diff", "compare", "--max"]);
    expect(some.stdout.split("\n")).toContain("--max-rel-l2");
    expect(some.code).toBe(0);
    const none = await cli(["--get-yargs-completions", "npu-diff", "inspect", "x"]);
    expect([none.code, none.stderr]).toEqual([0, ""]);
  });
});
