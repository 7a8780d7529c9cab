// @ts-check
/**
 * Makes the lock files in scripts/requirements/ anew: `node scripts/lock.mjs`.
 *
 * The locks hold for every platform and Python from 3.10 on, and name versions
 * and hashes but no address, so that any index that serves the same files will do.
 */

import { join } from "node:path";
import { main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { uv } from "./lib/python.mjs";
import { Steps } from "./lib/steps.mjs";

const FOLDER = join(ROOT, "scripts", "requirements");

/** @type {readonly (readonly [name: string, ...options: string[]])[]} */
const LOCKS = [
  ["tools"],
  ["model", "--no-deps"],
  ["runtime", "--override", "excluded.in"],
  // Constrained by the runtime's lock: a capture uses the versions that are tested.
  ["dev", "--override", "excluded.in", "--constraint", "runtime.txt"],
];

await main(async () => {
  const steps = new Steps();
  const compile = [
    "pip",
    "compile",
    "--universal",
    "--python-version",
    "3.10",
    "--generate-hashes",
  ];
  const plain = ["--no-header", "--no-annotate", "--quiet"];
  for (const [name, ...options] of LOCKS) {
    await steps.run(`lock ${name}`, async () => {
      const files = [`${name}.in`, "--output-file", `${name}.txt`];
      await uv([...compile, ...plain, ...options, ...files], { cwd: FOLDER });
    });
  }
});
