/** A good candidate of the tiny model, all that it can be judged by, and what comes of changing it. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compareDumps } from "../../src/compare.ts";
import { isNpuDiffError } from "../../src/core/errors.ts";
import type { CompareOptions } from "../../src/core/options.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import {
  type MemoryDump,
  readDump,
  sameDump,
  toBf16,
  valuesOf,
  writeDump,
} from "./corrupt-dump.ts";
import { type Effect, effectsOf, type Noise, noiseOf } from "./corrupt-effect.ts";
import { KINDS } from "./corrupt-kinds.ts";
import { python } from "./python.ts";
import { random, type Scratch } from "./scratch.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const FLOORS = ["floor.1", "floor.2"] as const;

/** What a comparison is given beside the two dumps. */
export type Mode = "nothing" | "floors" | "forced";

/**
 * From where on a change must be seen, in units of what correct engines err by
 * in the same tensor: of the noisiest row for a single row, of the median for a
 * change of most rows. These are the operating points that the method states: with
 * forced references every fault of 5 times the floor, and gains beside it of less;
 * with floors a single token of 25; with neither, nothing but the prior, which was
 * set on another model.
 */
const VISIBLE: Readonly<Record<Mode, { readonly row: number; readonly typical: number }>> = {
  nothing: { row: 100, typical: 5 },
  floors: { row: 25, typical: 2 },
  forced: { row: 6, typical: 2 },
};

/** A row that changed by its own size, as the candidate has it, is visible to all. */
const WHOLE_ROW = 0.95;

/** The mean of so few rows of a correct engine scatters by 4/√n. */
const FEW_ROWS = 16;

export interface Captured {
  readonly folder: string;
  readonly clean: MemoryDump;
  path(name: string): string;
  options(mode: Mode): Pick<CompareOptions, "reference"> & Partial<CompareOptions>;
  /** What correct engines err by, as `mode` can know it. */
  noise(mode: Mode): Noise;
}

/** Captures everything; takes some seconds. */
export function capture({ folder }: Scratch): Captured {
  const model = join(FIXTURES, "tiny-llama");
  python("corruption_dumps.py", model, join(FIXTURES, "text/held-out.txt"), folder);
  const path = (name: string): string => join(folder, `${name}.arrow`);
  const floors = FLOORS.map(path);
  const forced = ["candidate", ...FLOORS].map((name) => path(`forced.${name}`));
  const reference = path("reference");
  const truth = readDump(reference);
  const runs = FLOORS.map((name) => readDump(path(name)));
  const plain = runs.map((run) => ({ run, truth }));
  const own = FLOORS.map((name, floor) => ({
    run: runs[floor] ?? truth,
    truth: readDump(path(`forced.${name}`)),
  }));
  return {
    folder,
    clean: readDump(path("candidate")),
    path,
    options: (mode) => ({
      reference,
      ...(mode === "nothing" ? {} : { floors }),
      ...(mode === "forced" ? { forced } : {}),
    }),
    noise: (mode) => noiseOf(mode === "forced" ? own : plain),
  };
}

/** The result of a comparison, or the code of its refusal; any other error is thrown. */
export async function outcome(
  options: Pick<CompareOptions, "reference" | "candidate"> & Partial<CompareOptions>,
): Promise<ComparisonResult | string> {
  return compareDumps(options).catch((error: unknown) => {
    if (isNpuDiffError(error)) return error.code;
    throw error;
  });
}

/** Whether an outcome lets its candidate through. */
export function passes(result: ComparisonResult | string): boolean {
  return typeof result !== "string" && result.verdict === "pass";
}

/** The good candidate with a module's output times `factor`. */
export function scaled({ clean }: Captured, name: string, factor: number): MemoryDump {
  const tensors = clean.tensors.map((tensor) => {
    const values = tensor.name === name ? valuesOf(tensor) : null;
    return values === null
      ? tensor
      : { ...tensor, bytes: toBf16(values.map((value) => factor * value)) };
  });
  return { ...clean, tensors };
}

export interface Tally {
  /** Corruptions that had to be seen, by kind. */
  readonly counted: ReadonlyMap<string, number>;
  /** Identical to the good candidate. */
  readonly identical: number;
  /** Smaller than what {@link VISIBLE} demands. */
  readonly belowNoise: number;
  /** Those that had to be seen, and passed. */
  readonly passed: readonly string[];
}

/** Tries every kind of corruption in turn, until `enough` had to be seen under `mode`. */
export async function tryCorruptions(
  captured: Captured,
  mode: Mode,
  enough: number,
  path: () => string,
): Promise<Tally> {
  const kinds = Object.entries(KINDS);
  const noise = captured.noise(mode);
  const passed: string[] = [];
  const counted = new Map(kinds.map(([name]) => [name, 0]));
  let [identical, belowNoise] = [0, 0];
  for (let seed = 0; seed - identical - belowNoise < enough; seed += 1) {
    const [name, corrupt] = kinds[seed % kinds.length] ?? ["", () => null];
    const corrupted = corrupt(captured.clean, random(seed));
    if (corrupted === null || sameDump(captured.clean, corrupted)) {
      identical += 1;
      continue;
    }
    const effects = effectsOf(captured.clean, corrupted, noise);
    if (isBelowNoise(effects, mode)) {
      belowNoise += 1;
      continue;
    }
    counted.set(name, (counted.get(name) ?? 0) + 1);
    const candidate = path();
    writeDump(candidate, corrupted);
    const result = await outcome({ ...captured.options(mode), candidate });
    if (passes(result)) passed.push(`${name}, seed ${String(seed)}: ${described(effects)}`);
  }
  return { counted, identical, belowNoise, passed };
}

/** Whether a change of the good candidate is smaller than what {@link VISIBLE} demands. */
export function changesLittle(captured: Captured, corrupted: MemoryDump, mode: Mode): boolean {
  return isBelowNoise(effectsOf(captured.clean, corrupted, captured.noise(mode)), mode);
}

function isBelowNoise(effects: readonly Effect[] | null, mode: Mode): boolean {
  return effects !== null && !effects.some((effect) => isVisible(effect, mode));
}

function isVisible({ size, row, typical, rows }: Effect, mode: Mode): boolean {
  const limit = VISIBLE[mode];
  const scatter = Math.sqrt(Math.max(1, FEW_ROWS / rows));
  return size >= WHOLE_ROW || row >= limit.row || typical >= limit.typical * scatter;
}

function described(effects: readonly Effect[] | null): string {
  if (effects === null) return "more than values";
  return effects
    .map(
      ({ tensor, size, row, typical }) =>
        `${tensor} changed by ${size.toPrecision(2)} of a row, ${row.toPrecision(2)} times the noisiest, ${typical.toPrecision(2)} times the median`,
    )
    .join("; ");
}
