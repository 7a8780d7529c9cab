// @ts-check
/**
 * `npm run matrix`: every test of the capture side on the oldest versions of
 * torch and transformers that it supports, on those that most people have, and
 * on the newest; `npm test` uses the newest alone. Prints which architecture
 * passes on which version, and which a version does not have. The last line is
 * `N passed, N failed`.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, Failure, main } from "./lib/failure.mjs";
import { oneOf, readOptions } from "./lib/options.mjs";
import { ensureEnvironment, ensureEnvironmentOf } from "./lib/python.mjs";
import { pytest } from "./lib/runners.mjs";
import { Steps } from "./lib/steps.mjs";

const NEWEST = "newest";
/** Names of locks in scripts/requirements/, but for the newest. */
const VERSIONS = ["torch-2.5", "torch-2.9", NEWEST];

const USAGE = `Usage: npm run matrix [-- --only ${VERSIONS.join("|")}]

Runs every test of the capture side on each version of torch and transformers.

  --only VERSION  on this one alone
  --help          print this
`;

/** @typedef {import("./lib/runners.mjs").CaptureReport} CaptureReport */

/**
 * @param {string} version
 * @param {string} reports
 * @param {Steps} steps
 */
async function test(version, reports, steps) {
  const python =
    version === NEWEST
      ? await ensureEnvironment("dev", steps)
      : await ensureEnvironmentOf(version, steps);
  /** @type {CaptureReport | undefined} */
  let report;
  await steps.run(`tests on ${version}`, async () => {
    report = await pytest(python, join(reports, `${version}.json`));
    return `${report.passed} passed, ${report.failed} failed`;
  });
  return report;
}

/**
 * Architectures down, versions across.
 *
 * @param {readonly CaptureReport[]} reports
 */
function table(reports) {
  const names = Object.keys(reports[0]?.architectures ?? {});
  const rows = [
    ["architecture", ...reports.map(({ torch }) => `torch ${torch}`)],
    ["", ...reports.map(({ transformers }) => `transformers ${transformers}`)],
    ...names.map((name) => [name, ...reports.map((report) => cell(report, name))]),
    ["all tests", ...reports.map(outcome)],
  ];
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) => row.map((text, column) => text.padEnd(widths?.[column] ?? 0)).join("  "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/**
 * @param {CaptureReport} report
 * @param {string} name
 */
function cell({ architectures }, name) {
  const count = architectures[name];
  if (count === null) return "absent";
  return count === undefined || count.passed + count.failed === 0 ? "not run" : outcome(count);
}

/**
 * The tests that a version cannot run, by file.
 *
 * @param {readonly CaptureReport[]} reports
 */
function leftOut(reports) {
  return reports
    .filter((report) => Object.keys(report.leftOut).length > 0)
    .map((report) => {
      const files = Object.entries(report.leftOut).map(([file, count]) => `${count} of ${file}`);
      return `left out on torch ${report.torch}: ${files.join(", ")}\n`;
    })
    .join("");
}

/** @param {import("./lib/runners.mjs").Count} count */
function outcome({ passed, failed }) {
  return failed === 0 ? `${passed} passed` : `${passed} passed, ${failed} FAILED`;
}

await main(async () => {
  const options = readOptions(
    { only: { type: "string" }, help: { type: "boolean" } },
    "npm run matrix -- --help",
  );
  if (options.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const wanted = options.only === undefined ? VERSIONS : [oneOf("--only", options.only, VERSIONS)];
  const steps = new Steps();
  const folder = mkdtempSync(join(tmpdir(), "npu-diff-matrix-"));
  /** @type {CaptureReport[]} */
  const reports = [];
  let unusable = 0;
  for (const version of wanted) {
    try {
      const report = await test(version, folder, steps);
      if (report !== undefined) reports.push(report);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      unusable += 1;
      process.stderr.write(`${describe(error)}\n`);
    }
  }
  rmSync(folder, { recursive: true, force: true });
  const passed = reports.reduce((sum, report) => sum + report.passed, 0);
  const failed = reports.reduce((sum, report) => sum + report.failed, unusable);
  if (reports.length > 0) process.stdout.write(table(reports) + leftOut(reports));
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
});
