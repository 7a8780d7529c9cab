/** Runs the project's Python, for files that other tools write. */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../", import.meta.url);

/**
 * Runs a script of `test/support` in the project's virtual environment and gives what it prints.
 *
 * @throws Error with the script's own error output where it fails
 */
export function python(script: string, ...args: string[]): string {
  const interpreter = fileURLToPath(new URL(".venv/bin/python", ROOT));
  const path = fileURLToPath(new URL(`test/support/${script}`, ROOT));
  const env = { ...process.env, PYTHONPATH: fileURLToPath(new URL("python/src", ROOT)) };
  return execFileSync(interpreter, [path, ...args], {
    encoding: "utf8",
    env,
    maxBuffer: 64 * 1024 * 1024,
  });
}
