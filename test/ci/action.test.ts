/** The GitHub Action and the workflow beside it: what they are made of, and what their shell does. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { MAIN } from "../support/cli.ts";
import {
  ACTION,
  type Ran,
  runStep,
  type Step,
  text,
  type Workflow,
} from "../support/composite-action.ts";
import { BAD_PAIR, GOOD_PAIR, writeConfig, writeRepository } from "../support/gate.ts";
import { asStats, hidden, writeReduced } from "../support/reduced-run.ts";
import { scratch } from "../support/scratch.ts";

const SOURCE = text("action.yml");
const DOCUMENT = text("docs/ci/README.md");
const WORKFLOW = parse(text("docs/ci/precision.yml")) as Workflow;
const JOBS = Object.values(WORKFLOW.jobs);
const STEPS: readonly Step[] = [...ACTION.runs.steps, ...JOBS.flatMap(({ steps }) => steps)];
const COMPARE = ACTION.runs.steps.find(({ id }) => id === "compare");
/** The step that fetches this repository: what follows it in the workflow is of that version. */
const CHECKOUT = STEPS.find(({ with: given }) => given?.["repository"] === "OWNER/npu-diff");
const FETCHED = `./${CHECKOUT?.with?.["path"]}`;

/** Whether a step is this action. */
function isOurs({ uses }: Step): boolean {
  return uses === FETCHED || uses?.startsWith("OWNER/") === true;
}

/** Names after a prefix, in all of a text. */
function named(prefix: RegExp, where: string): Set<string> {
  const found = where.matchAll(new RegExp(`${prefix.source}([\\w-]+)`, "g"));
  return new Set([...found].map(([, name = ""]) => name));
}

describe("what it is made of", () => {
  test("no expression is part of a script", () => {
    const scripts = STEPS.flatMap(({ run }) => (run === undefined ? [] : [run]));
    expect(scripts.length).toBeGreaterThan(5);
    for (const script of scripts) expect(script).not.toContain("${{");
  });

  test("every input that is used exists, and every one that exists is used and documented", () => {
    const declared = Object.keys(ACTION.inputs);
    expect(named(/\binputs\./, SOURCE)).toEqual(new Set(declared));
    const rows = declared.map((name) => {
      const { default: value, description } = ACTION.inputs[name] ?? {
        default: "",
        description: "",
      };
      return `| \`${name}\` | ${value === "" ? "" : `\`${value}\` `}| ${description} |`;
    });
    expect(DOCUMENT).toContain(rows.join("\n"));
    const { outputs } = ACTION;
    const told = Object.entries(outputs).map(
      ([name, { description }]) => `| \`${name}\` | ${description} |`,
    );
    expect(DOCUMENT).toContain(told.join("\n"));
  });

  test("every variable of the script is an input, every output is told by it", () => {
    const { run = "", env = {} } = COMPARE ?? {};
    const variables = named(/\$\{?(?=INPUT_|ACTION_)/, run);
    expect(variables).toEqual(new Set(Object.keys(env)));
    expect(variables.size).toBeGreaterThan(5);
    for (const name of named(/steps\.compare\.outputs\./, SOURCE)) {
      expect(run).toMatch(new RegExp(`\\btell ${name} `));
    }
  });

  test("other actions have a version, and the workflow may read alone", () => {
    const others = STEPS.filter((step) => !isOurs(step));
    for (const one of others.flatMap(({ uses }) => (uses === undefined ? [] : [uses]))) {
      expect(one).toMatch(/^[\w-]+(\/[\w-]+)+@(v\d+|[0-9a-f]{40})$/);
    }
    expect(WORKFLOW.permissions).toEqual({ contents: "read" });
    expect(Object.keys(WORKFLOW.on)).not.toContain("pull_request_target");
    expect(Object.keys(WORKFLOW.on)).not.toContain("pull_request");
  });

  test("the workflow and the document use inputs that there are, and hand the dump on by one name", () => {
    const example = parse(/```yaml\n(.*?)```/s.exec(DOCUMENT)?.[1] ?? "") as readonly Step[];
    const calls = [...STEPS, ...example].filter(isOurs);
    expect(calls).toHaveLength(2);
    for (const { with: given = {} } of calls) {
      expect(Object.keys(ACTION.inputs)).toEqual(expect.arrayContaining(Object.keys(given)));
    }
    const artifact = (action: string): unknown =>
      JOBS.flatMap(({ steps }) => steps).find(({ uses }) => uses?.startsWith(action))?.with?.[
        "name"
      ];
    expect(artifact("actions/download-artifact@")).toBe(artifact("actions/upload-artifact@"));
  });

  test("both halves come from one checkout, which stands before them", () => {
    const steps = JOBS.map(({ steps }) => steps).find((some) => some.some(isOurs)) ?? [];
    const installed = steps.findIndex(({ run }) => run?.startsWith("pip install"));
    expect(steps[installed]?.run).toBe(`pip install "${FETCHED}/python[transformers]"`);
    expect(CHECKOUT?.uses).toMatch(/^actions\/checkout@/);
    expect(steps.indexOf(CHECKOUT as Step)).toBeLessThan(installed);
    expect(steps.findIndex(isOurs)).toBeGreaterThan(installed);
  });
});

describe("what its shell does", () => {
  const files = scratch();
  const { folder } = files;
  const GOOD = ["ref.arrow", "good.arrow", "--floor=floor.arrow", "--max-floor-ratio=2.5"];
  const BAD = GOOD.map((word) => word.replace("good", "bad"));
  /** Statistics alone prove errors, not their absence. */
  const OPEN = ["stats-a.arrow", "stats-b.arrow"];

  beforeAll(() => {
    writeRepository(folder);
    for (const name of OPEN) {
      const tensors = [...hidden("embed"), ...asStats(hidden("layers.0"))];
      writeReduced(join(folder, name), name, tensors);
    }
    const pairs = {
      good: GOOD_PAIR,
      bad: BAD_PAIR,
      gone: { ...GOOD_PAIR, candidate: "gone.arrow" },
    };
    for (const [name, pair] of Object.entries(pairs)) {
      writeConfig(folder, { pairs: { [name]: pair } }, `${name}.jsonc`);
    }
  });

  /** Runs the action's comparison with the program that the tests have built. */
  function compare(inputs: Readonly<Record<string, string>>): Promise<Ran> {
    return runStep("Compare", folder, { "npu-diff": MAIN, ...inputs });
  }

  test.each([
    ["check", { config: "good.jsonc" }, 0, "pass"],
    ["check", { config: "bad.jsonc" }, 1, "fail"],
    ["check", { config: "gone.jsonc" }, 2, "error"],
    ["compare", { args: GOOD.join("\n") }, 0, "pass"],
    ["compare", { args: BAD.join("\r\n") }, 1, "fail"],
    ["compare", { args: "ref.arrow\ngone.arrow" }, 2, "error"],
    ["compare", { args: OPEN.join("\n") }, 3, "inconclusive"],
  ])("%s %j ends with %i", async (command, inputs, code, verdict) => {
    const reports = mkdtempSync(join(folder, "reports-"));
    const ran = await compare({ command, ...inputs, reports });
    expect([ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]]).toEqual([
      code,
      verdict,
      String(code),
    ]);
    expect(ran.outputs["reports"]).toBe(reports);
    const left = readdirSync(reports).sort();
    const expected = ["junit.xml", "report.html", "report.md", "report.txt"];
    expected.push("result.json", "result.sarif");
    // Where a comparison has no result, it has no report.
    expect(left).toEqual(command === "compare" && code === 2 ? ["report.txt"] : expected.sort());
    expect(ran.outputs["sarif"]).toBe(
      left.includes("result.sarif") ? `${reports}/result.sarif` : undefined,
    );
    if (left.includes("report.md")) {
      expect(ran.summary.trim()).toBe(readFileSync(join(reports, "report.md"), "utf8").trim());
    }
    if (code !== 0) expect(ran.stderr).toMatch(/^::(error|warning) title=npu-diff/m);
  });

  test("what stays open may pass, and says so", async () => {
    const ran = await compare({
      ...{ command: "compare", args: OPEN.join("\n"), "fail-on-inconclusive": "false" },
    });
    expect(ran.code).toBe(0);
    expect(ran.outputs).toMatchObject({ verdict: "inconclusive", "exit-code": "3" });
    const failing = { command: "compare", args: BAD.join("\n"), "fail-on-inconclusive": "false" };
    expect((await compare(failing)).code).toBe(1);
  });

  test("no line of the report is a command to the runner", async () => {
    const { stdout } = await compare({ config: "bad.jsonc", reports: "kept" });
    const token = /^::stop-commands::(.+)$/m.exec(stdout)?.[1] ?? "";
    expect(token).toMatch(/^npu-diff-[0-9a-f-]{36}$/);
    const report = readFileSync(join(folder, "kept", "report.txt"), "utf8");
    expect(report).toContain("layer 2 mlp diverges first");
    expect(stdout).toBe(`::stop-commands::${token}\n${report}\n::${token}::\n`);
  });

  test("what an earlier run has left is not this one's", async () => {
    await compare({ command: "compare", args: GOOD.join("\n"), reports: "stale" });
    const ran = await compare({
      command: "compare",
      args: "ref.arrow\ngone.arrow",
      reports: "stale",
    });
    expect(ran.outputs["verdict"]).toBe("error");
    expect(ran.outputs["sarif"]).toBeUndefined();
    expect(readdirSync(join(folder, "stale"))).toEqual(["report.txt"]);
  });

  test.each([
    ["another program's success", { "npu-diff": "true" }],
    ["a program that is not there", { "npu-diff": "./none" }],
    ["help instead of a comparison", { args: "--help" }],
  ])("no verdict is no pass: %s", async (_name, inputs) => {
    const ran = await compare({ config: "good.jsonc", ...inputs });
    expect([ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]]).toEqual([2, "error", "2"]);
  });

  test("--exit-zero does not change the verdict that is told", async () => {
    const ran = await compare({ config: "bad.jsonc", args: "--exit-zero" });
    expect([ran.code, ran.outputs["verdict"]]).toEqual([0, "fail"]);
  });

  test.each([
    ["command", "check; touch pwned"],
    ["command", "$(touch pwned)"],
    ["reports", "a\nverdict=pass"],
    ["reports", ""],
    ["fail-on-inconclusive", "no"],
    ["upload-sarif", "`touch pwned`"],
  ])("an input that cannot be is refused: %s %j", async (name, value) => {
    const ran = await compare({ config: "good.jsonc", [name]: value });
    expect(ran.code).toBe(2);
    expect(ran.output).toBe("verdict=error\nexit-code=2\n");
    expect(ran.stderr).toMatch(/^error\[usage\]: .+\n {2}given {2}.*\n {2}help: .+\n$/);
    expect(existsSync(join(folder, "pwned"))).toBe(false);
  });

  test.each([
    ["config", '"; touch pwned; "'],
    ["config", "$(touch pwned)"],
    ["args", "$(touch pwned)\n`touch pwned`\n; touch pwned\n&& touch pwned"],
    ["npu-diff", "touch pwned"],
    ["npu-diff", "$(touch pwned)"],
    ["reports", "$(touch pwned)/`touch pwned`/-rf"],
    ["reports", "-p"],
  ])("no input is code: %s %j", async (name, value) => {
    const ran = await compare({ config: "good.jsonc", [name]: value });
    expect(ran.outputs["verdict"]).toBe(name === "reports" ? "pass" : "error");
    expect(existsSync(join(folder, "pwned"))).toBe(false);
    // What is compared has a log as well.
    const known = ["reports", "verdict", "exit-code", ...("sarif" in ran.outputs ? ["sarif"] : [])];
    expect(new Set(Object.keys(ran.outputs))).toEqual(new Set(known));
  });

  test("a working directory, and a config found above it", async () => {
    const inner = join(folder, "inner");
    mkdirSync(inner, { recursive: true });
    writeConfig(folder, { pairs: { good: GOOD_PAIR } });
    const ran = await compare({ "working-directory": "inner" });
    expect([ran.code, ran.outputs["reports"]]).toEqual([0, "inner/npu-diff-reports"]);
    expect(existsSync(join(inner, "npu-diff-reports", "result.json"))).toBe(true);
  });

  test("it is built from its own files, and no script of a package runs", async () => {
    const own = mkdtempSync(join(folder, "own files-"));
    const build =
      "node -e \"fs.mkdirSync('dist/cli', { recursive: true }); fs.copyFileSync('main.js', 'dist/cli/main.js')\"";
    const scripts = { preinstall: "touch pwned", postinstall: "touch pwned", build };
    const made = { name: "own", version: "1.0.0", lockfileVersion: 3, packages: {} };
    writeFileSync(
      join(own, "package.json"),
      JSON.stringify({ name: "own", version: "1.0.0", type: "module", scripts }),
    );
    writeFileSync(join(own, "package-lock.json"), JSON.stringify(made));
    writeFileSync(join(own, "main.js"), `await import(${JSON.stringify(MAIN)});`);
    const built = await runStep("Build npu-diff", folder, {}, own);
    expect(built.code).toBe(0);
    expect(existsSync(join(own, "dist", "cli", "main.js"))).toBe(true);
    expect(existsSync(join(own, "pwned"))).toBe(false);
    expect((await runStep("Compare", folder, { config: "bad.jsonc" }, own)).code).toBe(1);
  });
});
