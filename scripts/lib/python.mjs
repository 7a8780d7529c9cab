// @ts-check
/** The Python side of the set-up: an interpreter, uv, and the environment made with it. */

import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { demandSpace } from "./disk.mjs";
import { Failure } from "./failure.mjs";
import { fingerprint, readStamp, writeStamp } from "./fingerprint.mjs";
import { CACHE, interpreterOf, ROOT, VENV } from "./paths.mjs";
import { run } from "./process.mjs";

/** Minor versions of Python 3 that the locked packages come built for, the preferred first. */
const MINORS = [13, 12, 11, 14, 10];
/** And those that older versions come built for as well. */
const OLDER_MINORS = [12, 11, 10];
const REQUIREMENTS = "scripts/requirements";
/** On this platform torch depends on the CUDA libraries, used or not: it does not load without them. */
const CUDA = process.platform === "linux" && process.arch === "x64";
/** What an environment takes, measured: 4.6 to 6.9 GB with CUDA, 1.3 GB without. */
export const PACKAGE_BYTES = CUDA ? 7.5e9 : 1.6e9;
const TOOLS = join(CACHE, "tools");

/**
 * For every Python process that computes. No model hub is ever asked, and no bar
 * is drawn into captured output. Threads that wait for work sleep: by default
 * they spin, and where other programs want the cores too, each product of two
 * matrices then waits for them (measured on 2 busy cores: 24 s instead of 145 s).
 */
export const PYTHON_ENV = {
  HF_HUB_OFFLINE: "1",
  HF_HUB_DISABLE_TELEMETRY: "1",
  TQDM_DISABLE: "1",
  OMP_WAIT_POLICY: "PASSIVE",
};

/**
 * The packages of an environment: `runtime` captures, `dev` also checks and tests.
 *
 * @typedef {"runtime" | "dev"} Profile
 */

/** @typedef {{ path: string, version: string }} Interpreter */

/**
 * Makes `.venv` hold exactly what the lock of a profile names, and `npu-dump` of
 * this repository. An environment for `dev` serves `runtime` as well, and stays one.
 *
 * @param {Profile} asked
 * @param {import("./steps.mjs").Steps} steps
 * @returns {Promise<string>} its interpreter
 */
export async function ensureEnvironment(asked, steps) {
  const python = interpreterOf(VENV);
  const stamp = join(VENV, "setup-stamp");
  // One without a stamp was made by hand, by someone who develops.
  const kept = existsSync(python) && !readStamp(stamp).startsWith("runtime ");
  const profile = kept ? "dev" : asked;
  if (existsSync(python) && readStamp(stamp) === stampOf(VENV, profile)) return python;
  await install(VENV, profile, MINORS, steps);
  writeStamp(stamp, stampOf(VENV, profile));
  return python;
}

/**
 * Makes an environment of other packages, beside that of the repository.
 *
 * @param {string} lock its name
 * @param {import("./steps.mjs").Steps} steps
 * @param {readonly number[]} [minors] of Python 3 that its packages come built for
 * @returns {Promise<string>} its interpreter
 */
export async function ensureEnvironmentOf(lock, steps, minors = OLDER_MINORS) {
  const folder = join(CACHE, "environments", lock);
  const python = interpreterOf(folder);
  const stamp = join(folder, "setup-stamp");
  if (existsSync(python) && readStamp(stamp) === stampOf(folder, lock)) return python;
  await install(folder, lock, minors, steps);
  writeStamp(stamp, stampOf(folder, lock));
  return python;
}

/**
 * Makes an environment hold exactly what a lock names, and `npu-dump` of this repository.
 *
 * @param {string} folder of the environment
 * @param {string} lock its name
 * @param {readonly number[]} minors of Python 3 that its packages come built for
 * @param {import("./steps.mjs").Steps} steps
 */
async function install(folder, lock, minors, steps) {
  const python = interpreterOf(folder);
  await steps.run("uv", async () => ((await ensureUv()).made ? "installed" : "present"));
  if (!serves(python, minors)) {
    await steps.run("Python environment", async () => {
      const base = findInterpreter(minors);
      await uv(["venv", "--quiet", "--clear", "--python", base.path, folder]);
      return `Python ${base.version} in ${relative(ROOT, folder)}`;
    });
  }
  demandSpace(folder, PACKAGE_BYTES, "Python packages");
  const label = CUDA ? "Python packages (torch with CUDA, 3 GB to download)" : "Python packages";
  await steps.run(label, async () => {
    // What is interrupted from here on is not current, whatever it was before.
    writeStamp(join(folder, "setup-stamp"), `${lock} incomplete`);
    // Compiled now, once: importing torch and transformers uncompiled takes longer than a small capture.
    const sync = ["pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes"];
    await uv([...sync, "--python", python, `${REQUIREMENTS}/${lock}.txt`]);
    const editable = ["--no-deps", "--no-build-isolation", "--editable", "python"];
    await uv(["pip", "install", "--quiet", "--python", python, ...editable]);
  });
}

/**
 * @param {string} folder
 * @param {string} lock
 */
function stampOf(folder, lock) {
  const config = readStamp(join(folder, "pyvenv.cfg"));
  const files = [`${REQUIREMENTS}/${lock}.txt`, "python/pyproject.toml"];
  return `${lock} ${fingerprint({ files, words: [config] })}`;
}

/**
 * Runs uv, installing it first where it is missing.
 *
 * @param {readonly string[]} args
 * @param {import("./process.mjs").RunOptions} [options]
 */
export async function uv(args, options = {}) {
  const tool = await ensureUv();
  return await run(tool.path, args, {
    help: "check the network and the package index, then run the same command again",
    ...options,
    env: { UV_PYTHON_DOWNLOADS: "never", UV_HTTP_TIMEOUT: "180", ...indexOfPip(), ...options.env },
  });
}

/**
 * @returns {Promise<{ path: string, made: boolean }>}
 */
async function ensureUv() {
  const stamp = join(TOOLS, "setup-stamp");
  const wanted = fingerprint({ files: [`${REQUIREMENTS}/tools.txt`] });
  if (readStamp(stamp) === wanted) {
    const path = uvIn(TOOLS);
    if (path !== undefined) return { path, made: false };
  }
  rmSync(TOOLS, { recursive: true, force: true });
  await installUv(findInterpreter());
  const path = uvIn(TOOLS);
  if (path === undefined) {
    throw new Failure(
      "uv was installed but is not where it should be",
      [["folder", TOOLS]],
      "report this, with your system and Python version",
    );
  }
  writeStamp(stamp, wanted);
  return { path, made: true };
}

/** @param {Interpreter} python */
async function installUv(python) {
  const lock = join(ROOT, REQUIREMENTS, "tools.txt");
  const install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock];
  const help =
    "check the network and pip's settings (pip config list), then run the same command again";
  if (has(python.path, "ensurepip")) {
    await run(python.path, ["-m", "venv", TOOLS]);
    await run(interpreterOf(TOOLS), install, { help });
  } else if (has(python.path, "pip")) {
    await run(python.path, [...install, "--target", TOOLS], { help });
  } else {
    throw new Failure(
      "Python has neither venv nor pip",
      [
        ["python", `${python.path} (${python.version})`],
        ["missing", "the modules ensurepip and pip"],
      ],
      "install one of them: on Debian and Ubuntu `apt install python3-venv`, on Fedora `dnf install python3-pip`",
    );
  }
}

/** @param {string} folder */
function uvIn(folder) {
  const name = process.platform === "win32" ? "uv.exe" : "uv";
  return ["bin", "Scripts"].map((bin) => join(folder, bin, name)).find((path) => existsSync(path));
}

/**
 * The package index that pip is set to. uv does not read pip's settings, and
 * where a mirror is set the default index is often slow or out of reach.
 *
 * @returns {Record<string, string>}
 */
function indexOfPip() {
  if (process.env["UV_DEFAULT_INDEX"] ?? process.env["UV_INDEX_URL"]) return {};
  // The environment of the tools has a pip of its own, except where pip itself made it.
  const own = interpreterOf(TOOLS);
  const python = existsSync(own) ? own : findInterpreter().path;
  const asked = spawnSync(python, ["-m", "pip", "config", "list"], { encoding: "utf8" });
  const index = /^(?:global|install|:env:)\.index-url='(.*)'$/m.exec(asked.stdout ?? "");
  return index?.[1] === undefined ? {} : { UV_DEFAULT_INDEX: index[1] };
}

/**
 * An interpreter that the locked packages are built for.
 *
 * @param {readonly number[]} [minors] of Python 3, the preferred first
 * @returns {Interpreter}
 * @throws {Failure} where there is none
 */
export function findInterpreter(minors = MINORS) {
  /** @type {string[]} */
  const seen = [];
  for (const path of interpreters(minors)) {
    const version = versionOf(path);
    if (version === undefined) continue;
    if (supported(version, minors)) return { path, version };
    seen.push(`${path} (${version})`);
  }
  const known = [...minors].sort((a, b) => a - b);
  throw new Failure(
    "no suitable Python was found",
    [
      ["needed", `Python 3.${known.at(0)} to 3.${known.at(-1)}, 64-bit`],
      ["found", seen.join(", ") || "none on PATH"],
    ],
    "install one, e.g. `apt install python3 python3-venv`, `brew install python@3.13`, or from python.org",
  );
}

/**
 * The interpreters worth asking: what the user's PATH calls python3 comes first.
 *
 * @param {readonly number[]} minors
 */
function interpreters(minors) {
  const named = ["python3", ...minors.map((minor) => `python3.${minor}`), "python"];
  if (process.platform !== "win32") return named;
  const launcher = minors.map((minor) =>
    spawnSync("py", [`-3.${minor}`, "-c", "import sys; print(sys.executable)"], {
      encoding: "utf8",
    }),
  );
  return [
    ...launcher.map((asked) => asked.stdout?.trim() ?? "").filter((path) => path !== ""),
    "python",
  ];
}

/**
 * `3.11.7`, or undefined where that is no working 64-bit Python.
 *
 * @param {string} path
 */
function versionOf(path) {
  const program =
    "import sys; print('%d.%d.%d' % sys.version_info[:3] if sys.maxsize > 2**32 else '')";
  const asked = spawnSync(path, ["-c", program], { encoding: "utf8" });
  return asked.status === 0 && asked.stdout.trim() !== "" ? asked.stdout.trim() : undefined;
}

/**
 * @param {string} version
 * @param {readonly number[]} minors
 */
function supported(version, minors) {
  const [major, minor] = version.split(".").map(Number);
  return major === 3 && minor !== undefined && minors.includes(minor);
}

/**
 * @param {string} python
 * @param {readonly number[]} minors
 */
function serves(python, minors) {
  const version = versionOf(python);
  return version !== undefined && supported(version, minors);
}

/**
 * @param {string} python
 * @param {string} module
 */
function has(python, module) {
  const program = `import importlib.util, sys; sys.exit(importlib.util.find_spec("${module}") is None)`;
  return spawnSync(python, ["-c", program]).status === 0;
}
