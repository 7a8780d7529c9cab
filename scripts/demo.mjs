// @ts-check
/**
 * `npm run demo`: the whole tool on a real model, from nothing but Node and Python.
 */

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import {
  CAPTURE_BYTES,
  ensureCaptures,
  FAULTY_CAUSE,
  FAULTY_LAYER,
  FOLDER,
} from "./demo/captures.mjs";
import { CAPTURE_ENV, chooseEnvironment } from "./demo/environment.mjs";
import { MESSAGES } from "./demo/messages.mjs";
import { demandSpace, freeSpace, gigabytes } from "./lib/disk.mjs";
import { describe, Failure, main } from "./lib/failure.mjs";
import { oneOf, readOptions } from "./lib/options.mjs";
import { CACHE, interpreterOf, ROOT, VENV } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import { PACKAGE_BYTES } from "./lib/python.mjs";
import { Steps } from "./lib/steps.mjs";
import { ensureModel, MODEL, MODEL_BYTES } from "./model.mjs";
import { ensureBuild, ensureNodePackages } from "./setup.mjs";

/** npu-diff reads options from the environment too: the user's must not change what the demo shows. */
const WITHOUT_OPTIONS = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith("NPU_DIFF_"))
    .map((name) => [name, undefined]),
);

/** What is not there yet, at most. */
function missingBytes() {
  const parts = [
    { path: interpreterOf(VENV), bytes: PACKAGE_BYTES },
    { path: MODEL, bytes: MODEL_BYTES },
    { path: FOLDER, bytes: CAPTURE_BYTES },
  ];
  return parts.reduce((sum, { path, bytes }) => sum + (existsSync(path) ? 0 : bytes), 0);
}

/**
 * @param {any} quality of the faulty candidate's result
 * @param {import("./demo/messages.mjs").Messages} messages
 */
function unseen({ perplexity, firstToken }, messages) {
  const increase = `${(perplexity.relativeIncrease * 100).toFixed(2)} %`;
  const sign = perplexity.relativeIncrease < 0 ? "" : "+";
  return messages.unseen(sign + increase, `${firstToken.agreed}/${firstToken.samples}`);
}

/** @param {string} text */
function say(text) {
  process.stdout.write(`${text}\n`);
}

/**
 * @typedef {object} Comparison
 * @property {number} code exit code of npu-diff
 * @property {any} result what its JSON holds
 */

/**
 * Compares, and prints the text report.
 *
 * @param {import("./demo/captures.mjs").Captures} captures
 * @param {"candidate" | "faulty"} which
 * @param {"en" | "zh"} lang
 * @returns {Promise<Comparison>}
 */
async function compare(captures, which, lang) {
  const json = join(FOLDER, `${which}.json`);
  const sides = [captures.reference, captures[which], "--floor", captures.floor];
  const forced = ["--forced", captures[`${which}Forced`], "--forced", captures.floorForced];
  const outputs = ["-o", json, "-o", join(FOLDER, `${which}.md`)];
  const style = [
    "--lang",
    lang,
    "--color",
    process.stdout.isTTY ? "always" : "never",
    "--no-progress",
  ];
  const entry = join(ROOT, "dist", "cli", "main.js");
  const { code } = await run(
    process.execPath,
    [entry, "compare", ...sides, ...forced, ...outputs, ...style],
    {
      accept: [0, 1, 3],
      env: WITHOUT_OPTIONS,
      onOutput: (text) => process.stdout.write(text),
    },
  );
  return { code, result: JSON.parse(readFileSync(json, "utf8")) };
}

/**
 * Asks what is wrong in a module, and prints the answer.
 *
 * @param {string} module as the dump names it
 * @param {import("./demo/captures.mjs").Captures} captures
 * @param {string} model folder
 * @param {string} python
 * @returns {Promise<Failure | null>} null where the fault that is there was named
 */
async function probe(module, captures, model, python) {
  const command = ["-m", "npu_dump", "probe", captures.faulty, "--model", model];
  const options = ["--module", module, "--floor", captures.floor, "--no-progress"];
  const { stdout } = await run(python, [...command, ...options], { env: CAPTURE_ENV });
  say(stdout);
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  if (last.startsWith(`${FAULTY_CAUSE}: `)) return null;
  return new Failure(
    "the faulty candidate's fault was not named as it should be",
    [
      ["expected", FAULTY_CAUSE],
      ["found", last],
    ],
    "please report it, with the report",
  );
}

/**
 * @param {Comparison} comparison
 * @param {string} what
 * @param {{ code: number, originLayer: number | null }} expected
 */
function unexpected({ code, result }, what, expected) {
  const layer = result.origin?.layer ?? null;
  if (code === expected.code && layer === expected.originLayer) return null;
  const told = (/** @type {number} */ exit, /** @type {number | null} */ origin) =>
    `exit code ${exit}, ${origin === null ? "no origin in a layer" : `origin in layer ${origin}`}`;
  return new Failure(
    `${what} was not judged as it should be`,
    [
      ["expected", told(expected.code, expected.originLayer)],
      ["found", told(code, layer)],
      ["verdict", `${result.verdict}, origin ${result.origin?.tensor ?? "none"}`],
    ],
    "read the report above: on a device of yours it may be right, and the device wrong;\n" +
      "on the CPU please report it, with the report",
  );
}

await main(async () => {
  const start = performance.now();
  const options = readOptions(
    {
      python: { type: "string" },
      device: { type: "string" },
      dtype: { type: "string", default: "bfloat16" },
      lang: { type: "string", default: "en" },
      clean: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
    "npm run demo -- --help",
  );
  const lang = oneOf("--lang", options.lang, ["en", "zh"]);
  const dtype = oneOf("--dtype", options.dtype, ["bfloat16", "float16"]);
  const messages = MESSAGES[lang];
  if (options.help) {
    process.stdout.write(messages.usage);
    return 0;
  }
  if (options.clean)
    for (const folder of [FOLDER, MODEL]) rmSync(folder, { recursive: true, force: true });

  const needed = missingBytes();
  if (needed > 0) say(messages.disk(gigabytes(needed), gigabytes(freeSpace(CACHE))));
  demandSpace(CACHE, needed, "packages, model and captures");
  const steps = new Steps(process.stdout);
  await ensureNodePackages(steps);
  await ensureBuild(steps);
  const environment = await chooseEnvironment(options, steps);
  const model = await ensureModel(environment.python, steps);
  const { deviceName } = environment;
  say(deviceName === null ? messages.standIn : messages.device(deviceName));
  const captures = await ensureCaptures(environment, model, dtype, messages.captures, steps);

  say(`\n${messages.clean}\n`);
  const clean = await compare(captures, "candidate", lang);
  say(`\n${messages.faulty(FAULTY_LAYER)}\n`);
  const faulty = await compare(captures, "faulty", lang);
  const problems = [
    unexpected(clean, "the correct candidate", { code: 0, originLayer: null }),
    unexpected(faulty, "the faulty candidate", { code: 1, originLayer: FAULTY_LAYER }),
  ];
  const module = faulty.result.origin?.tensor;
  if (module !== undefined) {
    say(`\n${messages.probe(module)}\n`);
    problems.push(await probe(module, captures, model, environment.python));
  }
  const found = problems.filter((problem) => problem !== null);
  if (found.length === 0) {
    say(`${unseen(faulty.result.quality, messages)}`);
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    say(messages.done(seconds, relative(ROOT, FOLDER)));
  }
  say(`\n${messages.card}\n`);
  process.stdout.write(readFileSync(join(FOLDER, "candidate.md"), "utf8"));
  for (const problem of found) process.stderr.write(`\n${describe(problem)}\n`);
  return found.length === 0 ? 0 : 1;
});
