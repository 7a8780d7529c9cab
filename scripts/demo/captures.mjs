// @ts-check
/** The four captures of the demo, each made again only where what it depends on has changed. */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fingerprint, readStamp, writeStamp } from "../lib/fingerprint.mjs";
import { CACHE } from "../lib/paths.mjs";
import { run } from "../lib/process.mjs";
import { CAPTURE_ENV } from "./environment.mjs";

export const FOLDER = join(CACHE, "demo");

/** The layer that the porting fault sits in. */
export const FAULTY_LAYER = 7;

/** What the four files take: 2,562 tokens of 408 kB in float32, three times half of that. */
export const CAPTURE_BYTES = 2.7e9;

/**
 * @typedef {object} Captures the paths of the dumps
 * @property {string} reference
 * @property {string} floor
 * @property {string} candidate
 * @property {string} faulty
 */

/** @typedef {"reference" | "floor" | "candidate" | "faulty"} CaptureName */

/**
 * @param {import("./environment.mjs").Environment} environment
 * @param {string} model folder
 * @param {string} dtype of the candidates
 * @param {Record<CaptureName, string>} labels
 * @param {import("../lib/steps.mjs").Steps} steps
 * @returns {Promise<Captures>}
 */
export async function ensureCaptures(environment, model, dtype, labels, steps) {
  mkdirSync(FOLDER, { recursive: true });
  const path = (/** @type {CaptureName} */ name) => join(FOLDER, `${name}.arrow`);
  const dump = (/** @type {readonly string[]} */ ...options) => [
    ...["-m", "npu_dump", "run", "--model", model, "--no-progress", "--force"],
    ...options,
  ];
  const sameTokens = ["--tokens-from", path("reference")];
  // Without a device its part is played by another path through the CPU:
  // another attention kernel, another number of threads.
  const onDevice =
    environment.device === "cpu"
      ? ["--attn", "eager", "--threads", "1"]
      : ["--attn", "sdpa", "--device", environment.device];
  const [, attention = ""] = onDevice;
  /** @type {Record<CaptureName, readonly string[]>} */
  const commands = {
    reference: dump("--dtype", "float32", "--attn", "sdpa", "--prompts", "demo/passages.jsonl"),
    floor: dump("--dtype", dtype, "--attn", "sdpa", ...sameTokens),
    candidate: dump("--dtype", dtype, ...onDevice, ...sameTokens),
    faulty: [
      ...["demo/faulty.py", "--model", model, "--layer", String(FAULTY_LAYER), "--dtype", dtype],
      ...["--attn", attention, "--device", environment.device, ...sameTokens],
    ],
  };
  for (const name of /** @type {CaptureName[]} */ (Object.keys(commands))) {
    await ensureCapture(path(name), commands[name], environment, model, labels[name], steps);
  }
  return {
    reference: path("reference"),
    floor: path("floor"),
    candidate: path("candidate"),
    faulty: path("faulty"),
  };
}

/**
 * @param {string} path
 * @param {readonly string[]} command
 * @param {import("./environment.mjs").Environment} environment
 * @param {string} model
 * @param {string} label
 * @param {import("../lib/steps.mjs").Steps} steps
 */
async function ensureCapture(path, command, environment, model, label, steps) {
  const { python, device, deviceName, versions } = environment;
  const where = command.includes(device) ? (deviceName ?? "") : "";
  const stamp = `${path}.stamp`;
  const wanted = fingerprint({
    files: ["demo/passages.jsonl", "demo/faulty.py", "python/src"],
    words: [
      ...command,
      ...[python, JSON.stringify(versions), where],
      readStamp(join(model, "setup-stamp")),
    ],
  });
  if (existsSync(path) && readStamp(stamp) === wanted) return;
  await steps.run(label, async () => {
    await run(python, [...command, "-o", path], { env: CAPTURE_ENV });
  });
  writeStamp(stamp, wanted);
}
