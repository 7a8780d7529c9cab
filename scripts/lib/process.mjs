// @ts-check
/** Child processes. */

import { spawn } from "node:child_process";
import { Failure } from "./failure.mjs";
import { ROOT } from "./paths.mjs";

/** So many lines from the start and from the end of what a child printed go into a failure's report. */
const HEAD_LINES = 8;
const TAIL_LINES = 16;

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd] default: the root of the repository
 * @property {Record<string, string | undefined>} [env] added to this process's; undefined takes away
 * @property {readonly number[]} [accept] exit codes that are not a failure; default 0 alone
 * @property {string} [help] what to do when it fails
 * @property {(text: string) => void} [onOutput] is given all that it prints as it comes
 */

/**
 * @typedef {object} Outcome
 * @property {number} code
 * @property {string} stdout
 * @property {string} output stdout and stderr as they came
 */

/**
 * Runs a program to its end.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<Outcome>}
 * @throws {Failure} where it cannot be started, is killed, or ends with another code than accepted
 */
export async function run(program, args, options = {}) {
  const command = [program, ...args].map(quoted).join(" ");
  const outcome = await new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let output = "";
    const take = (/** @type {string} */ text) => {
      output += text;
      options.onOutput?.(text);
    };
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      take(text);
    });
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, output }));
  }).catch((/** @type {Error} */ error) => {
    throw new Failure(
      "a program could not be started",
      [
        ["command", command],
        ["error", error.message],
      ],
      options.help ?? "check that it is installed and on PATH",
    );
  });
  if (!(options.accept ?? [0]).includes(outcome.code)) {
    const ended =
      outcome.signal === null ? `exit code ${outcome.code}` : `signal ${outcome.signal}`;
    throw new Failure(
      "a program failed",
      [
        ["command", command],
        ["ended", ended],
        ["output", excerpt(outcome.output)],
      ],
      options.help ?? "mend what the output names, then run the same command again",
    );
  }
  return outcome;
}

/** @param {string} text */
function excerpt(text) {
  const lines = text.trim().split(/\r?\n/);
  const left = lines.length - HEAD_LINES - TAIL_LINES;
  if (left > 0) lines.splice(HEAD_LINES, left, `... ${left} lines ...`);
  return lines.join("\n") || "(none)";
}

/** @param {string} word */
function quoted(word) {
  return /^[\w@%+=:,./\\-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Runs npm, by the copy that started this process where there is one: on
 * Windows `npm` is a batch file, which cannot be spawned by name.
 *
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 */
export function npm(args, options) {
  const script = process.env["npm_execpath"];
  return script?.endsWith(".js")
    ? run(process.execPath, [script, ...args], options)
    : run("npm", args, options);
}
