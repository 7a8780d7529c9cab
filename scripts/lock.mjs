// @ts-check
/**
 * Makes the lock files anew: `node scripts/lock.mjs [node|python]`.
 *
 * The locks hold for every platform (and Python from 3.10 on), and name versions
 * and hashes but no address, so that any registry that serves the same files will do.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure, main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { npm } from "./lib/process.mjs";
import { uv } from "./lib/python.mjs";
import { Steps } from "./lib/steps.mjs";

const FOLDER = join(ROOT, "scripts", "requirements");

/** What a lock is for that names no other. */
const OLDEST_PYTHON = "3.10";

/** @type {readonly (readonly [name: string, ...options: string[]])[]} */
const PYTHON_LOCKS = [
  ["tools"],
  ["model", "--no-deps"],
  ["runtime", "--override", "excluded.in"],
  // Constrained by the runtime's lock: a capture uses the versions that are tested.
  ["dev", "--override", "excluded.in", "--constraint", "runtime.txt"],
  ["torch-2.5", "--override", "excluded.in"],
  ["torch-2.9", "--override", "excluded.in"],
  // torch of the runtime: its scripts are timed, so they run on the version that is tested.
  ["bench", "--override", "excluded.in", "--constraint", "runtime.txt"],
  ["vllm-0.18", "--override", "vllm-0.18-overrides.in"],
  ["vllm-0.32", "--override", "vllm-0.32-overrides.in", "--python-version", "3.11"],
];

/** @param {Steps} steps */
async function lockPython(steps) {
  const compile = ["pip", "compile", "--universal", "--generate-hashes"];
  const plain = ["--no-header", "--no-annotate", "--quiet"];
  for (const [name, ...options] of PYTHON_LOCKS) {
    await steps.run(`lock ${name}.txt`, async () => {
      const files = [`${name}.in`, "--output-file", `${name}.txt`];
      const python = options.includes("--python-version")
        ? []
        : ["--python-version", OLDEST_PYTHON];
      await uv([...compile, ...plain, ...python, ...options, ...files], { cwd: FOLDER });
    });
  }
}

/** @param {Steps} steps */
async function lockNode(steps) {
  await steps.run("lock package-lock.json", async () => {
    await npm(["install", "--package-lock-only"]);
    const path = join(ROOT, "package-lock.json");
    const lock = JSON.parse(readFileSync(path, "utf8"));
    lock.packages = completed(lock.packages);
    writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  });
}

/** `…-linux-x64-musl` and the like, as packages of prebuilt binaries are named. */
const PLATFORM = /-(android|darwin|linux|win32)-(arm64|x64)(-musl)?$/;

/**
 * The packages of a lock with an entry for every optional one. npm leaves those
 * out that a registry does not serve, and then `npm ci` refuses the lock, on
 * every platform.
 *
 * @param {Record<string, any>} packages
 */
function completed(packages) {
  const all = { ...packages };
  for (const [parent, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (`node_modules/${name}` in all || `${parent}/node_modules/${name}` in all) continue;
      const [, os, cpu, musl] = PLATFORM.exec(name) ?? [];
      if (os === undefined) throw unnamedPlatform(name, version);
      const libc = os === "linux" ? { libc: [musl === undefined ? "glibc" : "musl"] } : {};
      const dev = entry.dev === true ? { dev: true } : {};
      const meant = { version, cpu: [cpu], ...dev, ...libc, optional: true, os: [os] };
      all[`node_modules/${name}`] = meant;
    }
  }
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * @param {string} name
 * @param {unknown} version
 */
function unnamedPlatform(name, version) {
  return new Failure(
    "an optional package is not served by the registry, and its name does not tell its platform",
    [["package", `${name}@${version}`]],
    "make the lock against a registry that serves it (npm config get registry)",
  );
}

await main(async () => {
  const [what, ...rest] = process.argv.slice(2);
  if (rest.length > 0 || (what !== undefined && what !== "node" && what !== "python")) {
    throw new Failure(
      "unknown arguments",
      [["given", process.argv.slice(2).join(" ")]],
      "node scripts/lock.mjs [node|python]",
    );
  }
  const steps = new Steps();
  if (what !== "python") await lockNode(steps);
  if (what !== "node") await lockPython(steps);
});
