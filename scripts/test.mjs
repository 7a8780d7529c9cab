// @ts-check
/**
 * `npm test`: sets up what is missing, then runs every check and every test of
 * both halves. All of them run, whatever fails before; the last line is
 * `N passed, N failed`.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChromium, HOW_TO_GET } from "./lib/browser.mjs";
import { ensureEngine, NEWEST, reasonAgainst } from "./lib/engines.mjs";
import { describe, Failure, main } from "./lib/failure.mjs";
import { oneOf, readOptions } from "./lib/options.mjs";
import { ROOT } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import { ensureEnvironment, PYTHON_ENV } from "./lib/python.mjs";
import { pytest, vitest } from "./lib/runners.mjs";
import { Steps } from "./lib/steps.mjs";
import { ensureBuild, ensureNodePackages } from "./setup.mjs";

const USAGE = `Usage: npm test [-- --only ts|py]

Sets up what is missing, then runs every check and test.

  --only ts   the analyzer alone (its tests need the Python environment too)
  --only py   the capture side alone
  --help      print this
`;

/** @typedef {import("./lib/runners.mjs").Count} Count */

/**
 * A check or a test runner.
 *
 * @typedef {object} Check
 * @property {"ts" | "py"} half
 * @property {string} label
 * @property {() => Promise<Count>} run throws a Failure where it could not run
 */

const BROWSER_TESTS = "tests of the page in a browser (vitest)";
const ENGINE_TESTS = `tests on a real engine (pytest, ${NEWEST})`;

/** A check that passes or fails as a whole. */
const ONE_PASSED = { passed: 1, failed: 0 };

/**
 * @param {string} name
 * @param {readonly string[]} args
 */
function node(name, ...args) {
  const entry = join(ROOT, "node_modules", name);
  return async () => {
    await run(process.execPath, [entry, ...args]);
    return ONE_PASSED;
  };
}

/**
 * What is run: one stage after the other, the lanes of a stage at the same time, the
 * checks of a lane one by one. Most use one processor, and vitest all that there are.
 *
 * @param {string} python
 * @param {string} reports folder for the runners' machine-readable reports
 * @param {Awaited<ReturnType<typeof ensureEngine>> | undefined} engine undefined where none can run
 * @param {string | undefined} browser undefined where there is none
 * @returns {readonly (readonly (readonly Check[])[])[]}
 */
function checks(python, reports, engine, browser) {
  const tool = (/** @type {readonly string[]} */ ...args) => {
    return async () => {
      await run(python, ["-m", ...args]);
      return ONE_PASSED;
    };
  };
  /** @type {readonly Check[]} */
  const tests = [
    {
      half: "py",
      label: "tests (pytest)",
      run: () => pytest(python, join(reports, "pytest.json")),
    },
  ];
  /** @type {readonly Check[]} */
  const others = [
    { half: "ts", label: "types (tsc)", run: node("typescript/bin/tsc", "--noEmit") },
    {
      half: "ts",
      label: "types of scripts (tsc)",
      run: node("typescript/bin/tsc", "-p", "scripts/tsconfig.json"),
    },
    {
      half: "ts",
      label: "types of the page's script (tsc)",
      run: node("typescript/bin/tsc", "-p", "src/report/html/client"),
    },
    {
      half: "ts",
      label: "types of the page's tests (tsc)",
      run: node("typescript/bin/tsc", "-p", "test/browser"),
    },
    { half: "ts", label: "format (Biome)", run: node("@biomejs/biome/bin/biome", "check", ".") },
    { half: "ts", label: "lint (ESLint)", run: node("eslint/bin/eslint.js", ".") },
    { half: "py", label: "lint (Ruff)", run: tool("ruff", "check", ".") },
    { half: "py", label: "format (Ruff)", run: tool("ruff", "format", "--check", ".") },
    {
      half: "py",
      label: "types (Pyright)",
      run: tool("pyright", "-p", "python", "--pythonpath", python),
    },
    {
      half: "py",
      label: "fixtures are what their scripts make",
      run: async () => {
        await run(python, ["fixtures/generate.py", "--check"], { env: PYTHON_ENV });
        return ONE_PASSED;
      },
    },
    {
      half: "py",
      label: ENGINE_TESTS,
      run: async () => {
        if (engine === undefined) throw noEngine();
        const { python: own, ...environment } = engine;
        return await pytest(own, join(reports, "engine.json"), environment);
      },
    },
  ];
  /** @type {Check} */
  const analyzer = {
    half: "ts",
    label: "tests (vitest)",
    run: () => vitest(join(reports, "vitest.json")),
  };
  /** @type {Check} */
  const page = {
    half: "ts",
    label: BROWSER_TESTS,
    run: () => {
      if (browser === undefined) throw noBrowser();
      return vitest(join(reports, "browser.json"), browser);
    },
  };
  return [[tests, others], [[analyzer]], [[page]]];
}

function noEngine() {
  return new Failure(
    "the tests on a real engine cannot run here",
    [["reason", reasonAgainst(NEWEST) ?? "none"]],
    "run them where the engine can be installed, or without CI in the environment",
  );
}

function noBrowser() {
  return new Failure(
    "the tests of the page cannot run here",
    [["reason", "no Chromium was found"]],
    `${HOW_TO_GET}; or run without CI in the environment`,
  );
}

/**
 * Why a check cannot run here and may be left out; undefined where it can, or must.
 *
 * @param {string} label
 * @param {unknown} engine
 * @param {unknown} browser
 */
function reasonToSkip(label, engine, browser) {
  if (process.env["CI"]) return undefined;
  if (label === ENGINE_TESTS && engine === undefined) return reasonAgainst(NEWEST);
  return label === BROWSER_TESTS && browser === undefined ? HOW_TO_GET : undefined;
}

await main(async () => {
  const values = readOptions(
    { only: { type: "string" }, help: { type: "boolean" } },
    "npm test -- --help",
  );
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const only = values.only === undefined ? undefined : oneOf("--only", values.only, ["ts", "py"]);
  const steps = new Steps();
  await ensureNodePackages(steps);
  await ensureBuild(steps);
  const python = await ensureEnvironment("dev", steps);
  const engine =
    only === "ts" || reasonAgainst(NEWEST) !== undefined
      ? undefined
      : await ensureEngine(NEWEST, steps);
  const reports = mkdtempSync(join(tmpdir(), "npu-diff-reports-"));
  let passed = 0;
  let failed = 0;
  const browser = findChromium();
  const perform = async (/** @type {Check} */ check) => {
    if (only !== undefined && check.half !== only) return;
    const reason = reasonToSkip(check.label, engine, browser);
    if (reason !== undefined) {
      process.stderr.write(`   not run  ${check.label}: ${reason}\n`);
      return;
    }
    try {
      await steps.run(check.label, async () => {
        const count = await check.run();
        passed += count.passed;
        failed += count.failed;
        return count.passed + count.failed === 1
          ? ""
          : `${count.passed} passed, ${count.failed} failed`;
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failed += 1;
      process.stderr.write(`${describe(error)}\n`);
    }
  };
  for (const lanes of checks(python, reports, engine, browser)) {
    await Promise.all(
      lanes.map(async (lane) => {
        for (const check of lane) await perform(check);
      }),
    );
  }
  rmSync(reports, { recursive: true, force: true });
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
});
