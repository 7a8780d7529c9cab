// @ts-check
/** The captures of the demo, each made again only where what it depends on has changed. */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fingerprint, readStamp, writeStamp } from "../lib/fingerprint.mjs";
import { CACHE } from "../lib/paths.mjs";
import { run } from "../lib/process.mjs";
import { CAPTURE_ENV } from "./environment.mjs";

export const FOLDER = join(CACHE, "demo");

/** The layer that the porting fault sits in. */
export const FAULTY_LAYER = 7;

/** What it is, as `npu-dump probe` must name it. */
export const FAULTY_CAUSE = "cause/rotary-base";

/**
 * What the files take: 2,562 tokens of 408 kB in float32, three times half of that, and three
 * forced references of 212 kB a token, which hold no logits.
 */
export const CAPTURE_BYTES = 4.3e9;

/**
 * @typedef {object} Captures the paths of the dumps
 * @property {string} reference
 * @property {string} floor
 * @property {string} candidate
 * @property {string} faulty
 * @property {string} floorForced
 * @property {string} candidateForced
 * @property {string} faultyForced
 */

/** @typedef {keyof Captures} CaptureName */

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
  const forced = (/** @type {CaptureName} */ name) => [
    ...["-m", "npu_dump", "replay", path(name), "--model", model, "--no-progress", "--force"],
    ...["--dtype", "float32", "--mode", "hidden"],
  ];
  /** @type {Record<CaptureName, readonly string[]>} */
  const commands = {
    reference: dump("--dtype", "float32", "--attn", "sdpa", "--prompts", "demo/passages.jsonl"),
    floor: dump("--dtype", dtype, "--attn", "sdpa", ...sameTokens),
    candidate: dump("--dtype", dtype, ...onDevice, ...sameTokens),
    faulty: [
      ...["demo/faulty.py", "--model", model, "--layer", String(FAULTY_LAYER), "--dtype", dtype],
      ...["--attn", attention, "--device", environment.device, ...sameTokens],
    ],
    floorForced: forced("floor"),
    candidateForced: forced("candidate"),
    faultyForced: forced("faulty"),
  };
  const names = /** @type {CaptureName[]} */ (Object.keys(commands));
  for (const name of names) {
    await ensureCapture(path(name), commands[name], environment, model, labels[name], steps);
  }
  const paths = Object.fromEntries(names.map((name) => [name, path(name)]));
  return /** @type {Captures} */ (paths);
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
