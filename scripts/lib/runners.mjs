// @ts-check
/** Test runners: what they are asked for, and how their outcomes are counted. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "./failure.mjs";
import { ROOT } from "./paths.mjs";
import { run } from "./process.mjs";
import { PYTHON_ENV } from "./python.mjs";

/** @typedef {{ passed: number, failed: number }} Count */

/**
 * What `python/tests/architecture_report.py` writes; null where the version of transformers does not have it.
 *
 * @typedef {Count & { torch: string, transformers: string, architectures: Record<string, Count | null>, leftOut: Record<string, number> }} CaptureReport
 */

/**
 * Runs every test of the capture side that needs no engine, or those of one engine.
 *
 * @param {string} python
 * @param {string} file for the report
 * @param {{ model?: string, env?: Record<string, string>, verbose?: boolean }} [engine] the model that its tests run,
 *   what it wants in the environment, and whether all of them run and show figures
 * @returns {Promise<CaptureReport>}
 * @throws {Failure} where no test could be run
 */
export async function pytest(python, file, { model, env: own = {}, verbose = false } = {}) {
  const report = ["-p", "tests.architecture_report", "--architecture-report", file];
  const tests = model === undefined ? "tests" : "tests/engines";
  // What each engine start costs is too much for every change.
  const which = model === undefined || verbose ? [] : ["-m", "not long"];
  const figures = verbose ? ["-rP"] : [];
  const args = ["-m", "pytest", "-q", "--color=no", ...report, ...which, ...figures, tests];
  const named = model === undefined ? {} : { NPU_DUMP_TEST_MODEL: model };
  const env = { ...PYTHON_ENV, ...named, ...own };
  const options = { accept: [0, 1, 2, 5], env, cwd: join(ROOT, "python") };
  const { code, output } = await run(python, args, options);
  if (!existsSync(file)) throw cannotRun("pytest", output);
  const found = JSON.parse(readFileSync(file, "utf8"));
  const count = counted("pytest", code, found, output);
  if (verbose && count.failed === 0) process.stdout.write(`${output.trimEnd()}\n`);
  return { ...found, ...count };
}

/**
 * Runs every test of the analyzer that needs no browser, or those that do.
 *
 * @param {string} file for the report
 * @param {string} [browser] path of the one that shows pages
 * @returns {Promise<Count>}
 * @throws {Failure} where no test could be run
 */
export async function vitest(file, browser) {
  const config = browser === undefined ? [] : ["--config", "vitest.browser.config.ts"];
  const args = ["run", ...config, "--reporter=dot", "--reporter=json", `--outputFile.json=${file}`];
  const entry = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  // Some of its tests capture with Python.
  const env = browser === undefined ? PYTHON_ENV : { CHROMIUM: browser };
  const options = { accept: [0, 1], env };
  const { code, output } = await run(process.execPath, [entry, ...args], options);
  if (!existsSync(file)) throw cannotRun("vitest", output);
  const report = JSON.parse(readFileSync(file, "utf8"));
  // A file that fails to load has no tests to count.
  const broken = report.testResults.filter(
    (/** @type {any} */ suite) => suite.status === "failed" && suite.assertionResults.length === 0,
  ).length;
  return counted(
    "vitest",
    code,
    { passed: report.numPassedTests, failed: report.numFailedTests + broken },
    output,
  );
}

/**
 * A runner that fails without a failed test, or that ran none, has failed.
 *
 * @param {string} runner
 * @param {number} code
 * @param {Count} count
 * @param {string} output
 * @returns {Count}
 */
function counted(runner, code, count, output) {
  if (!(count.passed > 0) || Number.isNaN(count.failed)) throw cannotRun(runner, output);
  const failed = code === 0 ? count.failed : Math.max(1, count.failed);
  if (failed > 0) process.stderr.write(`${output.trimEnd()}\n`);
  return { passed: count.passed, failed };
}

/**
 * @param {string} runner
 * @param {string} output
 */
function cannotRun(runner, output) {
  return new Failure(
    `${runner} ran no test`,
    [["output", output.trimEnd().split("\n").slice(-24).join("\n")]],
    "mend what the output names, then run the same command again",
  );
}
