// @ts-check
/**
 * `npm run fuzz`: damaged files of every format that is read. Each must be a dump
 * or an error with a code: no other exception, within 2 s of processor time and
 * 512 MB. The formats are the folders of `fixtures/foreign/`, and dumps themselves.
 */

import { spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { damaged } from "./fuzz/mutations.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { readOptions } from "./lib/options.mjs";
import { ROOT } from "./lib/paths.mjs";

const HELP = `npm run fuzz -- [--inputs N] [--format NAME] [--seed N] [--save FOLDER] [--json]

  --inputs N     damaged files of each format (default 2000)
  --format NAME  one format only
  --seed N       other files (default 1)
  --save FOLDER  where the files go that fail (default: the folder for temporary files)
  --json         the figures as JSON

The exit status is 1 if any failed.
`;

const CHILD = fileURLToPath(new URL("fuzz/child.mjs", import.meta.url));
const MAX_SECONDS = 2;
/** Wall-clock time after which a process counts as hanging, on however busy a machine. */
const HANGS_SECONDS = 20;
const MAX_RSS = 512 * 1024 * 1024;
const MAX_FIXTURE = 64 * 1024;

/**
 * @typedef {object} Format
 * @property {string} name
 * @property {string} folder
 * @property {readonly string[]} files
 */

/**
 * @typedef {object} Report
 * @property {string} format
 * @property {number} inputs
 * @property {number} seconds
 * @property {number} peak largest RSS in bytes
 * @property {Record<string, number>} outcomes
 * @property {{ readonly index: number, readonly file: string, readonly how: readonly string[], readonly found: string, readonly saved: string }[]} failures
 */

await main(async () => {
  const options = readOptions(
    {
      inputs: { type: "string" },
      format: { type: "string" },
      seed: { type: "string" },
      save: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean" },
    },
    "npm run fuzz -- --help",
  );
  if (options.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const inputs = number("--inputs", options.inputs ?? "2000");
  const seed = number("--seed", options.seed ?? "1");
  const save = options.save ?? join(tmpdir(), "npu-diff-fuzz");
  const all = formats();
  const chosen = all.filter(({ name }) => options.format === undefined || name === options.format);
  if (chosen.length === 0) {
    throw new Failure(
      "there is no such format",
      [
        ["given", options.format ?? ""],
        ["known", all.map(({ name }) => name).join(", ")],
      ],
      "give one of these",
    );
  }
  const others = all.flatMap(({ folder, files }) => files.map((name) => join(folder, name)));
  /** @type {Report[]} */
  const reports = [];
  for (const format of chosen) {
    const report = await fuzz(format, others, { inputs, seed, save });
    reports.push(report);
    if (options.json !== true) process.stdout.write(describe(report));
  }
  if (options.json === true) process.stdout.write(`${JSON.stringify(reports)}\n`);
  if (reports.some(({ failures }) => failures.length > 0)) process.exitCode = 1;
});

/** @returns {readonly Format[]} */
function formats() {
  const foreign = join(ROOT, "fixtures", "foreign");
  const folders = readdirSync(foreign, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name, folder: join(foreign, name) }));
  return [{ name: "arrow", folder: join(ROOT, "fixtures", "reduced") }, ...folders].map(
    ({ name, folder }) => ({ name, folder, files: filesIn(folder) }),
  );
}

/** @param {string} folder */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "expected.json")
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size > 0 && statSync(path).size <= MAX_FIXTURE)
    .map((path) => relative(folder, path))
    .toSorted();
}

/**
 * @param {Format} format
 * @param {readonly string[]} others
 * @param {{ readonly inputs: number, readonly seed: number, readonly save: string }} options
 * @returns {Promise<Report>}
 */
async function fuzz({ name: format, folder: original, files }, others, { inputs, seed, save }) {
  const folder = mkdtempSync(join(tmpdir(), "npu-diff-fuzz-"));
  const start = performance.now();
  /** @type {Report} */
  const report = { format, inputs, seconds: 0, peak: 0, outcomes: {}, failures: [] };
  /** Files of JSON that name others beside them. */
  const roots = files.filter((file) => !file.includes("/") && file.endsWith(".json"));
  const read = (/** @type {string} */ path) => new Uint8Array(readFileSync(path));
  const fail = (/** @type {number} */ index, /** @type {string} */ found) => {
    const made = damaged(
      files.map((file) => read(join(original, file))),
      others.map(read),
      seed,
      index,
    );
    const file = files[made.file] ?? "";
    mkdirSync(save, { recursive: true });
    const saved = join(save, `${format}-${seed}-${index}-${basename(file)}`);
    writeFileSync(saved, made.bytes);
    report.failures.push({ index, file, how: made.how, found, saved });
  };
  try {
    for (let from = 0; from < inputs; ) {
      cpSync(original, folder, { recursive: true });
      from = await runChild({ folder, files, roots, others, seed, from, to: inputs }, report, fail);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  report.seconds = (performance.now() - start) / 1000;
  return report;
}

/**
 * Runs one process until it is done, or until an input is too much for it; where to go on.
 *
 * @param {import("./fuzz/child.mjs").Work} work
 * @param {Report} report
 * @param {(index: number, found: string) => void} fail
 * @returns {Promise<number>}
 */
async function runChild(work, report, fail) {
  const child = spawn(process.execPath, ["--max-old-space-size=256", CHILD, JSON.stringify(work)], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  let index = work.from - 1;
  let isDone = true;
  let stopped = "";
  let errors = "";
  const stop = (/** @type {string} */ why) => {
    stopped = why;
    child.kill("SIGKILL");
  };
  child.stderr?.on("data", (text) => {
    errors = (errors + text).slice(-2000);
  });
  let timer = setTimeout(() => undefined, 0);
  const progress = /** @type {import("node:stream").Readable} */ (child.stdio[3]);
  const closed = new Promise((resolve) => child.on("close", resolve));
  for await (const line of createInterface({ input: progress })) {
    if (!line.startsWith("{")) {
      index = Number(line);
      isDone = false;
      clearTimeout(timer);
      timer = setTimeout(() => stop(`no answer in ${HANGS_SECONDS} s`), HANGS_SECONDS * 1000);
      continue;
    }
    isDone = true;
    const { outcomes, seconds, peak } = JSON.parse(line);
    for (const outcome of outcomes) {
      const key = outcome.startsWith("!") ? "exception" : outcome;
      report.outcomes[key] = (report.outcomes[key] ?? 0) + 1;
      if (key === "exception") fail(index, outcome.slice(1));
    }
    if (seconds > MAX_SECONDS) fail(index, `${seconds.toFixed(1)} s of processor time`);
    report.peak = Math.max(report.peak, peak);
    if (peak <= MAX_RSS) continue;
    fail(index, `${Math.round(peak / 1e6)} MB`);
    // The peak of a process never falls.
    child.kill("SIGKILL");
    break;
  }
  clearTimeout(timer);
  await closed;
  if (isDone) {
    if (index < work.from)
      throw new Failure("the reader did not start", [["found", errors]], "npm run build");
    return index + 1;
  }
  fail(index, stopped === "" ? `the process died: ${errors.trim().slice(-500)}` : stopped);
  return index + 1;
}

/** @param {Report} report */
function describe({ format, inputs, seconds, peak, outcomes, failures }) {
  const codes = Object.entries(outcomes)
    .toSorted(([, a], [, b]) => b - a)
    .map(([code, count]) => `${code} ${count}`);
  return [
    `${format}: ${inputs} files, ${Math.round(inputs / seconds)} a second, at most ${Math.round(peak / 1e6)} MB`,
    `  ${codes.join(", ")}`,
    ...failures.map(
      ({ file, how, found, saved }) =>
        `  FAIL ${file} (${how.join(", ")}): ${found}\n       ${saved}`,
    ),
    "",
  ].join("\n");
}

/**
 * @param {string} option
 * @param {string} text
 */
function number(option, text) {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Failure(`${option} takes a number`, [["given", text]], "give an integer from 0 on");
}
