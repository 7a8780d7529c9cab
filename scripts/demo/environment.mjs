// @ts-check
/** Which Python captures, and on which device. */

import { existsSync, readFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { Failure } from "../lib/failure.mjs";
import { interpreterOf, onPath, ROOT, VENV } from "../lib/paths.mjs";
import { run } from "../lib/process.mjs";
import { ensureEnvironment, PYTHON_ENV } from "../lib/python.mjs";

/**
 * @typedef {object} Environment
 * @property {string} python its interpreter
 * @property {string} device as npu-dump names it
 * @property {string | null} deviceName the product, null on the CPU
 * @property {Record<string, string>} versions of what may change a figure
 */

/**
 * @typedef {object} Probe
 * @property {string} python
 * @property {Record<string, string | null>} versions
 * @property {readonly string[]} unmet
 * @property {string | null} problem
 * @property {string | null} device
 * @property {string | null} deviceName
 */

/** npu-dump from this checkout, whatever the environment has installed. */
export const CAPTURE_ENV = {
  ...PYTHON_ENV,
  PYTHONPATH: [join(ROOT, "python", "src"), process.env["PYTHONPATH"]]
    .filter(Boolean)
    .join(delimiter),
};

/**
 * The environment to capture in: the one asked for, else an active one whose
 * torch sees a device, else the repository's own, which is made where it is
 * missing. Nothing is ever installed into an environment that is not ours.
 *
 * @param {{ python?: string, device?: string }} asked
 * @param {import("../lib/steps.mjs").Steps} steps
 * @returns {Promise<Environment>}
 */
export async function chooseEnvironment(asked, steps) {
  if (asked.python !== undefined) {
    const found = await probe(interpreterAsked(asked.python));
    return usable(asked.python, found, asked.device);
  }
  if (asked.device === undefined || !asked.device.startsWith("cpu")) {
    for (const python of activeInterpreters()) {
      const found = await probe(python).catch(() => undefined);
      if (found !== undefined && found.device !== null) return usable(python, found, asked.device);
    }
  }
  const python = await ensureEnvironment("runtime", steps);
  return usable(python, await probe(python), asked.device);
}

/** The interpreters that a user has put forward by activating something. */
function activeInterpreters() {
  const { VIRTUAL_ENV, CONDA_PREFIX } = process.env;
  const active = [VIRTUAL_ENV, CONDA_PREFIX]
    .filter((path) => path !== undefined)
    .map(interpreterOf);
  const paths = [...active, ...onPath("python3").slice(0, 1)];
  const own = interpreterOf(VENV);
  return [...new Set(paths)].filter((path) => existsSync(path) && path !== own);
}

/**
 * @param {string} given an interpreter, or the folder of an environment
 */
function interpreterAsked(given) {
  // npm runs scripts in the root of the repository and leaves a note of where it was called.
  const path = resolve(process.env["INIT_CWD"] ?? process.cwd(), given);
  const inside = interpreterOf(path);
  if (existsSync(inside)) return inside;
  return existsSync(path) ? path : given;
}

/**
 * @param {string} python
 * @returns {Promise<Probe>}
 */
async function probe(python) {
  const { stdout } = await run(
    python,
    [join(ROOT, "scripts", "demo", "probe.py"), ...requirements()],
    {
      env: CAPTURE_ENV,
      help: "give the interpreter of an environment with Python 3.10 or newer: --python PATH",
    },
  );
  // Libraries of accelerators print notes of their own before it.
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
}

/** `name>=version` of all that a capture of a GGUF model needs, from the package's own metadata. */
function requirements() {
  const project = readFileSync(join(ROOT, "python", "pyproject.toml"), "utf8");
  const lists = [...project.matchAll(/^(?:dependencies|transformers|gguf) = \[(.*)\]/gm)];
  return lists.flatMap(([, list = ""]) =>
    [...list.matchAll(/"([\w-]+>=[\d.]+)"/g)].map(([, one = ""]) => one),
  );
}

/**
 * @param {string} given
 * @param {Probe} found
 * @param {string | undefined} device
 * @returns {Environment}
 */
function usable(given, found, device) {
  const python = interpreterAsked(given);
  if (found.unmet.length > 0) {
    // pip is told the torch that is there, so that it does not replace the device's.
    const torch = found.versions["torch"]?.split("+")[0];
    const wanted = [...found.unmet, ...(torch === undefined ? [] : [`torch==${torch}`])];
    throw new Failure(
      "the Python environment lacks what a capture needs",
      [
        ["python", `${python} (${found.python})`],
        ["device", found.deviceName ?? "none that torch sees"],
        ["lacks", found.unmet.join(", ")],
      ],
      `${python} -m pip install ${wanted.map((one) => `"${one}"`).join(" ")}\n` +
        "or do without the device: npm run demo -- --device cpu",
    );
  }
  if (found.problem !== null && device !== "cpu") {
    throw new Failure(
      "torch cannot be loaded with its device",
      [
        ["python", `${python} (${found.python})`],
        ["error", found.problem],
      ],
      "mend the environment (on Ascend: source CANN's set_env.sh first)\n" +
        "or do without the device: npm run demo -- --device cpu",
    );
  }
  const chosen = device ?? found.device ?? "cpu";
  if (chosen !== "cpu" && found.device?.split(":")[0] !== chosen.split(":")[0]) {
    throw new Failure(
      "torch does not see the device",
      [
        ["asked", chosen],
        ["seen", found.device ?? "none"],
        ["python", `${python} (${found.python}), torch ${found.versions["torch"]}`],
      ],
      "give an environment whose torch does: npm run demo -- --python PATH\n" +
        "or do without the device: npm run demo -- --device cpu",
    );
  }
  return {
    python,
    device: chosen,
    deviceName: chosen === "cpu" ? null : found.deviceName,
    versions: { python: found.python, ...definite(found.versions) },
  };
}

/**
 * @param {Record<string, string | null>} versions
 * @returns {Record<string, string>}
 */
function definite(versions) {
  return Object.fromEntries(
    Object.entries(versions).map(([name, version]) => [name, version ?? ""]),
  );
}
