// @ts-check
/** Real engines for the tests, each in an environment of its own. */

import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { ensureModel, MODEL_BYTES } from "../model.mjs";
import { demandSpace } from "./disk.mjs";
import { Failure } from "./failure.mjs";
import { CACHE } from "./paths.mjs";
import { ensureEnvironment, ensureEnvironmentOf, findInterpreter } from "./python.mjs";

/** Locks in scripts/requirements/, and the minor versions of Python 3 that each engine is built for. */
export const ENGINES = {
  "vllm-0.18": [12, 11, 10, 13],
  "vllm-0.32": [12, 13, 11],
};

/** What an engine wants loaded before all else: libraries of the system by name, and of its environment. */
const PRELOADED = {
  "vllm-0.18": { system: "libtcmalloc_minimal.so.4", own: "libiomp5.so" },
  "vllm-0.32": undefined,
};

/** The engine that `npm test` runs. */
export const NEWEST = "vllm-0.32";

/** @typedef {keyof typeof ENGINES} Engine */

/**
 * Why an engine cannot run here; undefined where it can.
 *
 * @param {Engine} engine
 */
export function reasonAgainst(engine) {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `no build of ${engine} for the CPU is for ${process.platform} on ${process.arch}`;
  }
  try {
    findInterpreter(ENGINES[engine]);
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return `${engine} needs Python 3.${Math.min(...ENGINES[engine])} or newer`;
  }
}

/**
 * Makes what the tests on one engine need.
 *
 * @param {Engine} engine
 * @param {import("./steps.mjs").Steps} steps
 * @returns {Promise<{ python: string, model: string, env: Record<string, string> }>} interpreter of the engine's
 *   environment, the model, and the environment variables that the engine wants
 */
export async function ensureEngine(engine, steps) {
  demandSpace(CACHE, MODEL_BYTES, "the tests on engines");
  const model = await ensureModel(await ensureEnvironment("dev", steps), steps);
  const python = await ensureEnvironmentOf(engine, steps, ENGINES[engine]);
  return { python, model, env: preload(engine, python) };
}

/**
 * @param {Engine} engine
 * @param {string} python interpreter of its environment
 * @returns {Record<string, string>}
 */
function preload(engine, python) {
  const wanted = PRELOADED[engine];
  if (wanted === undefined) return {};
  const { stdout } = spawnSync("ldconfig", ["-p"], { encoding: "utf8" });
  const lines = (stdout ?? "").split("\n");
  const found = lines.find((line) => line.includes(`${wanted.system} `))?.split(" => ")[1];
  if (found === undefined) {
    throw new Failure(
      `${engine} wants a library of the system that is not there`,
      [["library", wanted.system]],
      "install it: apt install libtcmalloc-minimal4",
    );
  }
  const own = join(dirname(dirname(python)), "lib", wanted.own);
  return { LD_PRELOAD: `${found.trim()}:${own}` };
}
