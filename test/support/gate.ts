/** A git repository with small dumps and a config, as `npu-diff check` finds it. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addNoise, toyTensors, writeToyRun } from "./toy-run.ts";

/** Other correct engines, and one with a fault. */
const RUNS = {
  "ref.arrow": {},
  "good.arrow": { noise: 2e-7, seed: 1 },
  "floor.arrow": { noise: 2e-7, seed: 2 },
  "bad.arrow": { noise: 2e-7, seed: 1, broken: true },
} as const;

/** Writes the dumps and an empty `.git` into `folder`. */
export function writeRepository(folder: string): void {
  mkdirSync(join(folder, ".git"), { recursive: true });
  for (const [name, run] of Object.entries(RUNS)) writeRun(join(folder, name), run);
}

/** A run of the toy model, `broken` in the MLP of layer 2. */
export function writeRun(
  path: string,
  { noise = 0, seed = 0, broken = false }: { noise?: number; seed?: number; broken?: boolean },
): void {
  const tensors = toyTensors();
  if (noise > 0) addNoise(tensors, noise, seed);
  for (const tensor of tensors) {
    if (broken && tensor.name === "layers.2.mlp") {
      tensor.values = tensor.values.map((value) => -value);
    }
  }
  writeToyRun(path, tensors, { id: path });
}

/** A pair that passes; a toy of 12 tokens is too small for the method's own floor limit. */
export const GOOD_PAIR = {
  reference: "ref.arrow",
  candidate: "good.arrow",
  floor: ["floor.arrow"],
  limits: { maxFloorRatio: 2.5 },
} as const;

/** The same with the fault. */
export const BAD_PAIR = { ...GOOD_PAIR, candidate: "bad.arrow" } as const;

export function writeConfig(folder: string, config: unknown, name = "npu-diff.jsonc"): void {
  writeFileSync(join(folder, name), `${JSON.stringify(config, null, 2)}\n`);
}
