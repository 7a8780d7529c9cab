// @ts-check
/** Real engines for the tests, each in an environment of its own. */

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
 * @returns {Promise<{ python: string, model: string }>} interpreter of the engine's environment, and the model
 */
export async function ensureEngine(engine, steps) {
  demandSpace(CACHE, MODEL_BYTES, "the tests on engines");
  const model = await ensureModel(await ensureEnvironment("dev", steps), steps);
  const python = await ensureEnvironmentOf(engine, steps, ENGINES[engine]);
  return { python, model };
}
