/** `npu-diff compare` and its neighbours on real dumps. */

import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { width } from "../../src/report/table.ts";
import { cli } from "../support/cli.ts";
import { asStats, hidden, logitsOf, reduced, writeReduced } from "../support/reduced-run.ts";
import { scratch } from "../support/scratch.ts";
import { addNoise, toyTensors, writeToyRun } from "../support/toy-run.ts";

const files = scratch();
const { folder } = files;
const cwd = folder;

beforeAll(() => {
  const write = (name: string, { noise = 0, seed = 0, broken = false } = {}): void => {
    const tensors = toyTensors();
    if (noise > 0) addNoise(tensors, noise, seed);
    for (const tensor of tensors) {
      if (broken && tensor.name === "layers.2.mlp") {
        tensor.values = tensor.values.map((value) => -value);
      }
    }
    writeToyRun(join(folder, name), tensors, { id: name });
  };
  write("ref.arrow");
  write("good.arrow", { noise: 2e-7, seed: 1 });
  write("floor.arrow", { noise: 2e-7, seed: 2 });
  write("bad.arrow", { noise: 2e-7, seed: 1, broken: true });
  // Names that a parser may take for numbers, options or commands.
  for (const name of ["007", "1e3", "-x", "completion", "--json"]) {
    write(name, { noise: 2e-7, seed: 1 });
  }
});

/** A wide floor limit: a toy of 12 tokens is too small for the method's own. */
const RELAXED = ["--floor", "floor.arrow", "--max-floor-ratio", "2.5"];
const GOOD = ["compare", "ref.arrow", "good.arrow", ...RELAXED];
const BAD = ["compare", "ref.arrow", "bad.arrow", ...RELAXED];
const NOTHING = ["--only", "nothing-has-this-name"];

describe("exit codes", () => {
  test("0 passed: two lines", async () => {
    const { code, stdout, stderr } = await cli(GOOD, { cwd });
    expect(stdout.trimEnd().split("\n")).toHaveLength(2);
    expect(stdout).toMatch(/^PASS {2}/);
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("1 failed: the origin is named", async () => {
    const { code, stdout } = await cli(BAD, { cwd });
    expect(stdout).toMatch(/^FAIL {2}layer 2 mlp diverges first: /m);
    expect(stdout).toMatch(/^ {2}> +2 {2}mlp .*FAIL {2}origin$/m);
    expect(code).toBe(1);
  });

  test("2 could not compare", async () => {
    const { code, stdout, stderr } = await cli(["compare", "ref.arrow", "none.arrow"], { cwd });
    expect(stderr).toMatch(/^error\[file-not-found\]: /);
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("2 where nothing is left to compare", async () => {
    const { code, stdout } = await cli([...GOOD, ...NOTHING], { cwd });
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("--exit-zero hides a failure, never an error", async () => {
    expect((await cli([...BAD, "--exit-zero"], { cwd })).code).toBe(0);
    expect((await cli(["compare", "ref.arrow", "none", "--exit-zero"], { cwd })).code).toBe(2);
  });
});

describe("options", () => {
  test.each([
    ["1e-3", 0.001],
    ["0.1%", 0.001],
    [".5", 0.5],
    ["+2", 2],
    ["1E2%", 1],
  ])("--max-kl %s", async (given, limit) => {
    const { stdout } = await cli([...GOOD, "--max-kl", given, "--json"], { cwd });
    const result = JSON.parse(stdout) as ComparisonResult;
    expect(result.rules.find(({ rule }) => rule === "limit/kl")?.limit).toBeCloseTo(limit, 12);
  });

  test("flag before environment before default; unknown variables are ignored", async () => {
    const env = { NPU_DIFF_MAX_KL: "0.25", NPU_DIFF_FORMAT: "json", NPU_DIFF_NONSENSE: "1" };
    const limit = async (...args: string[]): Promise<number | null | undefined> => {
      const { stdout } = await cli([...GOOD, ...args], { cwd, env });
      const result = JSON.parse(stdout) as ComparisonResult;
      return result.rules.find(({ rule }) => rule === "limit/kl")?.limit;
    };
    expect(await limit()).toBe(0.25);
    expect(await limit("--max-kl", "0.5")).toBe(0.5);
  });

  test("a flag beats a variable about the same thing", async () => {
    const json = await cli([...GOOD, "--json"], { cwd, env: { NPU_DIFF_FORMAT: "md" } });
    expect(json.stdout.startsWith("{")).toBe(true);
    const md = await cli([...GOOD, "--format", "md"], { cwd, env: { NPU_DIFF_JSON: "1" } });
    expect(md.stdout.startsWith("###")).toBe(true);
  });

  test("switches in the environment", async () => {
    expect((await cli(BAD, { cwd, env: { NPU_DIFF_EXIT_ZERO: "true" } })).code).toBe(0);
    expect((await cli(BAD, { cwd, env: { NPU_DIFF_EXIT_ZERO: "0" } })).code).toBe(1);
  });

  test("options may stand before the command", async () => {
    const { code, stdout } = await cli(["--json", ...GOOD], { cwd });
    expect(stdout.startsWith("{")).toBe(true);
    expect(code).toBe(0);
  });

  test.each([["007"], ["1e3"], ["completion"]])("a file called %s", async (name) => {
    expect((await cli(["compare", "ref.arrow", name, ...RELAXED], { cwd })).code).toBe(0);
  });

  test.each([["-x"], ["--json"]])("after -- a file called %s", async (name) => {
    const { code, stdout } = await cli(["compare", ...RELAXED, "--", "ref.arrow", name], { cwd });
    expect(stdout).toMatch(/^PASS/);
    expect(code).toBe(0);
  });

  test("--skip and --only choose what is judged", async () => {
    expect((await cli([...BAD, "--skip", "layers.2.mlp"], { cwd })).code).toBe(0);
    const { code, stdout } = await cli([...BAD, "--only", "layers.2.mlp"], { cwd });
    expect(code).toBe(1);
    // What was left out was captured all the same.
    expect(stdout).toContain(
      "it is the first tensor compared: the error may come from what precedes it\n",
    );
  });

  test("--fail-fast says that it stopped", async () => {
    const { code, stdout } = await cli([...BAD, "--fail-fast"], { cwd });
    expect(stdout).toMatch(/tensors .*stopped at the first\s+failure/);
    expect(stdout).toContain("quality was not measured: it stopped at the first failure");
    expect(code).toBe(1);
  });
});

describe("streams", () => {
  test("standard output is the one report, whatever is warned of", async () => {
    const args = ["compare", "ref.arrow", "good.arrow", "--floor", "good.arrow", "--json"];
    const { stdout, stderr } = await cli(args, { cwd });
    expect((JSON.parse(stdout) as ComparisonResult).schemaVersion).toBe(1);
    expect(stderr).toMatch(/^warning\[input\/floor-dropped\]: good\.arrow/m);
  });

  test("the same inputs give the same bytes", async () => {
    const first = await cli([...BAD, "--json"], { cwd });
    expect((await cli([...BAD, "--json"], { cwd })).stdout).toBe(first.stdout);
  });

  test("Chinese and ASCII", async () => {
    expect((await cli([...BAD, "--lang", "zh"], { cwd })).stdout).toMatch(
      /^不通过 {2}第 2 层 mlp/m,
    );
    expect((await cli([...BAD, "--ascii"], { cwd })).stdout).toMatch(/^[\u0000-\u007f]+$/);
  });

  const ANSI = "\u001b[";
  test.each<[string, string[], Record<string, string>, boolean]>([
    ["a pipe has none", [], {}, false],
    ["FORCE_COLOR", [], { FORCE_COLOR: "1" }, true],
    ["FORCE_COLOR=0", [], { FORCE_COLOR: "0" }, false],
    ["NO_COLOR before FORCE_COLOR", [], { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
    ["an empty NO_COLOR is none", [], { FORCE_COLOR: "1", NO_COLOR: "" }, true],
    ["--color before NO_COLOR", ["--color", "always"], { NO_COLOR: "1" }, true],
    ["--color=never before FORCE_COLOR", ["--color=never"], { FORCE_COLOR: "1" }, false],
    ["NPU_DIFF_COLOR", [], { NPU_DIFF_COLOR: "always", NO_COLOR: "1" }, true],
  ])("colour: %s", async (_name, args, env, colored) => {
    expect((await cli([...BAD, ...args], { cwd, env })).stdout.includes(ANSI)).toBe(colored);
    const error = await cli(["compare", "ref.arrow", "none", ...args], { cwd, env });
    expect(error.stderr.includes(ANSI)).toBe(colored);
  });

  test("files and JSON never have colour", async () => {
    const output = files.path(".txt");
    const { stdout } = await cli([...BAD, "--json", "--color", "always", "-o", output], { cwd });
    expect(stdout).not.toContain(ANSI);
    expect(readFileSync(output, "utf8")).not.toContain(ANSI);
  });

  test("a stack trace only with --debug", async () => {
    const plain = await cli(["compare", "ref.arrow", "none"], { cwd });
    expect(plain.stderr).not.toMatch(/^ +at /m);
    const debug = await cli(["compare", "ref.arrow", "none", "--debug"], { cwd });
    expect(debug.stderr).toMatch(/^ +at /m);
  });
});

describe("output files", () => {
  test("one comparison, several reports", async () => {
    const [json, md, txt, named] = [
      files.path(".json"),
      files.path(".md"),
      files.path(".txt"),
      files.path(".any"),
    ];
    const args = ["-o", json, "-o", md, "-o", txt, "-o", `md=${named}`];
    const { code, stdout } = await cli([...BAD, ...args], { cwd });
    expect(code).toBe(1);
    expect(readFileSync(txt, "utf8")).toBe(stdout);
    expect((JSON.parse(readFileSync(json, "utf8")) as ComparisonResult).verdict).toBe("fail");
    expect(readFileSync(md, "utf8")).toMatch(/^### Precision comparison: FAIL/);
    expect(readFileSync(named, "utf8")).toBe(readFileSync(md, "utf8"));
  });

  test("a page, and the command that repeats it without folders", async () => {
    const html = files.path(".html");
    const args = ["--max-kl", "0.5", "--only", "layers.*", "--only", "it's", "--skip", "logits"];
    const { code, stdout } = await cli([...BAD, ...args, "-o", html, "--format", "html"], { cwd });
    expect(code).toBe(1);
    const page = readFileSync(html, "utf8");
    expect(page).toBe(stdout);
    expect(page).toMatch(/^<!doctype html>\n<html lang="en">/);
    expect(page).toContain(
      "<code>npu-diff compare ref.arrow bad.arrow --floor floor.arrow --max-floor-ratio 2.5 --max-kl 0.5 --only &#39;layers.*&#39; --only &#39;it&#39;\\&#39;&#39;s&#39; --skip logits</code>",
    );
    const elsewhere = ["compare", join(folder, "ref.arrow"), join(folder, "bad.arrow")];
    const { stdout: other } = await cli([...elsewhere, "--format", "html"], { cwd: "/" });
    expect(other).toContain("npu-diff compare ref.arrow bad.arrow</code>");
    expect(other).not.toContain(folder);
  });

  test("single tokens are drawn, and in JSON only where they are asked for", async () => {
    const [html, plain, full] = [files.path(".html"), files.path(".json"), files.path(".json")];
    await cli([...BAD, "-o", html, "-o", plain], { cwd });
    await cli([...BAD, "--details", "-o", full], { cwd });
    expect(readFileSync(html, "utf8")).toContain("Every tensor at every token of prompt");
    const { details: none, ...rest } = JSON.parse(readFileSync(plain, "utf8")) as ComparisonResult;
    const { details, ...same } = JSON.parse(readFileSync(full, "utf8")) as ComparisonResult;
    expect(none).toBeNull();
    expect(same).toEqual(rest);
    expect(details?.tokenErrors?.rows.map(({ tensor }) => tensor)).toContain("layers.2.mlp");
    // --jobs changes no byte of either.
    const again = files.path(".html");
    await cli([...BAD, "--jobs", "2", "-o", again], { cwd });
    expect(readFileSync(again, "utf8")).toBe(readFileSync(html, "utf8"));
  });

  test("--open hands the page to the system's viewer, and does not depend on it", async () => {
    const [html, seen] = [files.path(".html"), files.path(".seen")];
    const programs = join(folder, "programs");
    mkdirSync(programs);
    for (const name of ["xdg-open", "open"]) {
      // Written whole or not at all, because nobody waits for a viewer.
      const script = `#!/bin/sh\necho "$1" > "${seen}.tmp"; /bin/mv "${seen}.tmp" "${seen}"\n`;
      writeFileSync(join(programs, name), script, { mode: 0o755 });
    }
    const shown = await cli([...GOOD, "-o", html, "--open"], { cwd, env: { PATH: programs } });
    expect([shown.code, shown.stderr]).toEqual([0, ""]);
    await expect.poll(() => existsSync(seen)).toBe(true);
    expect(readFileSync(seen, "utf8")).toBe(`${html}\n`);
    const args = [...GOOD, "-o", files.path(".html"), "--open"];
    const unseen = await cli(args, { cwd, env: { PATH: files.path("") } });
    expect(unseen.code).toBe(0);
    expect(unseen.stderr).toMatch(/^warning\[open\]: the report cannot be shown: /);
  });

  test("an older report is replaced, through a link too", async () => {
    const target = files.path(".json");
    const link = files.path(".json");
    writeFileSync(target, "old");
    symlinkSync(target, link);
    expect((await cli([...GOOD, "-o", link], { cwd })).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(target, "utf8")).toMatch(/^\{/);
  });

  test("a dump of this call is never replaced, under no name", async () => {
    const before = readFileSync(join(folder, "good.arrow"));
    linkSync(join(folder, "good.arrow"), join(folder, "hard.md"));
    symlinkSync(join(folder, "good.arrow"), join(folder, "soft.md"));
    for (const name of ["md=good.arrow", "hard.md", "soft.md", "md=./floor.arrow"]) {
      const { code, stderr } = await cli([...GOOD, "-o", name], { cwd });
      expect(stderr).toMatch(/^error\[usage\]: a report would replace another file/);
      expect(code).toBe(2);
    }
    expect(readFileSync(join(folder, "good.arrow")).equals(before)).toBe(true);
  });

  test.each([
    ["a folder that is not there", "nowhere/report.md"],
    ["a folder", "md=a-folder"],
    ["a device", "md=/dev/null"],
    ["a name that is too long", `${"x".repeat(300)}.md`],
  ])("refused: %s", async (_name, output) => {
    mkdirSync(join(folder, "a-folder"), { recursive: true });
    const good = files.path(".json");
    const { code, stderr } = await cli([...GOOD, "-o", good, "-o", output], { cwd });
    expect(stderr).toMatch(/^error\[output-unwritable\]: /);
    expect(code).toBe(2);
    // All reports or none.
    expect(existsSync(good)).toBe(false);
  });

  test("no file is left behind by a failure, nor a temporary one", async () => {
    const here = join(folder, "empty");
    mkdirSync(here);
    const { code } = await cli(
      ["compare", "../ref.arrow", "../none.arrow", "-o", "a.json", "-o", "b.md"],
      { cwd: here },
    );
    expect(code).toBe(2);
    expect(readdirSync(here)).toEqual([]);
  });
});

describe("other commands", () => {
  test("inspect shows metadata and folds tensors", async () => {
    const { code, stdout } = await cli(["inspect", "ref.arrow"], { cwd });
    expect(stdout).toMatch(/^ {2}model\.layers +4$/m);
    expect(stdout).toMatch(/^ {2}layers\.\*\.mlp +0-3 +8 +F32 +\[5\.\.7, 8\]/m);
    expect(code).toBe(0);
  });

  test.each(["en", "zh"])("inspect keeps to 80 columns, names before figures: %s", async (lang) => {
    const dump = fileURLToPath(
      new URL("../../fixtures/foreign/msprobe/statistics-mix", import.meta.url),
    );
    const { code, stdout } = await cli(["inspect", dump, "--lang", lang]);
    expect(code).toBe(0);
    expect(stdout.split("\n").filter((line) => width(line) > 80)).toEqual([]);
    // Its bytes are none and its layers unknown: those columns say nothing.
    expect(stdout).toMatch(
      / (?:TENSOR|张量) +DTYPE +(?:SHAPE|形状) +(?:MIN|最小) +(?:MAX|最大) +NAN\/INF$/m,
    );
    expect(stdout).toMatch(/^ {2}model\.rotary_emb\.output\.0 +F32 stats +\[1, 4, 4\]/m);
  });

  test("inspect says what reduced captures hold", async () => {
    const path = join(cwd, "reduced.arrow");
    writeReduced(path, "r", [
      ...asStats(hidden("layers.0")),
      ...hidden("norm"),
      ...reduced(logitsOf(), 7),
    ]);
    const { code, stdout } = await cli(["inspect", "reduced.arrow"], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/tensors +42 in 6 samples, 6 of them as statistics\n/);
    expect(stdout).toMatch(
      /logits +reduced in 6 samples: the 7 best tokens, token_logprob, lse\n +not enough for KL and flips\n/,
    );
    expect(stdout).toMatch(/layers\.\* +0 +6 +F32 stats +\[2\.\.6, 8\]/);
    // Without Chinese what is left are keys, names and numbers; without Unicode no dots.
    const chinese = await cli(["inspect", "reduced.arrow", "--lang", "zh", "--ascii"], { cwd });
    expect(chinese.stdout).toMatch(/^ {2}文件 +reduced\.arrow \| /m);
    expect(chinese.stdout).toMatch(
      /logits +6 条样本仅保存部分：前 7 个 token，token_logprob，lse\n/,
    );
    expect(chinese.stdout).toMatch(/^ {2}张量 +层 +数量 +DTYPE +形状 +最小/m);
    expect(chinese.stdout).not.toMatch(/ in | of |samples|·/);
    const inspection: unknown = JSON.parse(
      (await cli(["inspect", "reduced.arrow", "--json"], { cwd })).stdout,
    );
    expect(inspection).toMatchObject({
      logits: { form: "reduced", samples: 6, k: [7, 7], lse: true, tokenLogprob: true },
      encodings: { dense: 36, stats: 6, sketch: 0 },
    });
  });

  test("what statistics leave open is exit code 3", async () => {
    const tensors = [...hidden("embed"), ...asStats(hidden("layers.0"))];
    writeReduced(join(cwd, "stats-a.arrow"), "a", tensors);
    writeReduced(join(cwd, "stats-b.arrow"), "b", tensors);
    const { code, stdout } = await cli(["compare", "stats-a.arrow", "stats-b.arrow"], { cwd });
    expect(code).toBe(3);
    expect(stdout).toContain("left open: layer/prior, layer/prior-sample, layer/prior-token");
  });

  test("inspect --json", async () => {
    const { stdout } = await cli(["inspect", "ref.arrow", "--json"], { cwd });
    const inspection = JSON.parse(stdout) as {
      readonly samples: number;
      readonly tensors: readonly { readonly name: string; readonly bytes: number }[];
    };
    expect(inspection.samples).toBe(2);
    // 4 layers of 12 tokens, 8 wide, 4 bytes each.
    expect(inspection.tensors.find(({ name }) => name === "layers.*.mlp")?.bytes).toBe(1536);
  });

  test("repair makes a cut dump whole again", async () => {
    const bytes = readFileSync(join(folder, "ref.arrow"));
    writeFileSync(join(folder, "cut.arrow"), bytes.subarray(0, bytes.length - 64));
    const repaired = await cli(["repair", "cut.arrow", "whole.arrow"], { cwd });
    expect(repaired.stdout).toMatch(/^repaired {2}whole\.arrow\n {2}kept /);
    expect(repaired.code).toBe(0);
    expect((await cli(["inspect", "whole.arrow"], { cwd })).code).toBe(0);
    const again = await cli(["repair", "ref.arrow", "again.arrow"], { cwd });
    expect(again.stderr).toMatch(/^error\[nothing-to-repair\]/);
    expect(existsSync(join(folder, "again.arrow"))).toBe(false);
  });

  test("explain in both languages", async () => {
    const en = await cli(["explain", "layer/floor-ratio"]);
    expect(en.stdout).toMatch(/^layer\/floor-ratio {2}error\n/);
    const zh = await cli(["explain", "layer/floor-ratio", "--lang", "zh"]);
    expect(zh.stdout).toMatch(/噪声基底/);
    expect([en.code, zh.code]).toEqual([0, 0]);
  });

  test("what a report tells to run next works", async () => {
    const { stdout } = await cli(BAD, { cwd });
    const next = /next: npu-diff (.+)$/m.exec(stdout)?.[1]?.split(" ") ?? [];
    expect(next.length).toBeGreaterThan(1);
    expect((await cli(next, { cwd })).code).toBe(0);
  });
});
