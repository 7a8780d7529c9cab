/** The gate: compares the pairs of a config, one after another, and holds each to the baseline. */

import { resolve } from "node:path";
import { compareDumps } from "./compare.ts";
import type { Config } from "./config/config.ts";
import { baselinePath, Gate } from "./config/gate.ts";
import { configOf, findConfig, type LoadedConfig, readConfig } from "./config/load.ts";
import { type GivenSettings, type ResolvedPair, resolvePairs } from "./config/resolve.ts";
import { asNpuDiffError } from "./core/as-error.ts";
import { type CheckResult, type PairOutcome, worstOf } from "./core/check-result.ts";
import type { NpuDiffError } from "./core/errors.ts";
import {
  BASELINE_UPDATES,
  type BaselineUpdate,
  type CompareObserver,
  DECISIONS,
  type Decide,
  type Limits,
  PRESETS,
  type Preset,
} from "./core/options.ts";
import { checkOptions, LIMITS_SCHEMA } from "./core/options-schema.ts";
import type { ComparisonResult } from "./core/result.ts";
import { fields, flag, list, nullable, oneOf, path, type SchemaOf, text } from "./core/schema.ts";
import { filesAt } from "./dump/dump-folder.ts";

/** What is checked, and how. */
export interface CheckOptions {
  /** Path of a config, or what one says; null for the config in `folder` or around it, as far as the git root. */
  readonly config: string | Config | null;
  /** What the paths of the call are relative to, and those in a config that is no file. */
  readonly folder: string;
  /** Names of the pairs that are compared; empty means all. */
  readonly pairs: readonly string[];
  /** In the place of the config's; null leaves it to the config. */
  readonly preset: Preset | null;
  /** In the place of the config's; null leaves it to the config. */
  readonly decide: Decide | null;
  /** Each in the place of the config's of that name. */
  readonly limits: Limits;
  /** File with names, in the place of the config's; null leaves it to the config. */
  readonly map: string | null;
  /** Accepts the new figures into the baseline; null holds them to it. */
  readonly update: BaselineUpdate | null;
  /** Whether a baseline that is named and not there, or lacks a pair, is an error: as on the command line where `CI` is set. */
  readonly needsBaseline: boolean;
  /** Measure what a report draws of single tokens, too: one sample of every tensor is read again. */
  readonly details: boolean;
  /** Threads that measure, at most; the result does not depend on it. */
  readonly jobs: number;
}

/** Called while a check runs; never required. What a promise is returned of is waited for. */
export interface CheckObserver {
  /** A pair begins; what is returned is told how far its comparison is. */
  comparing?(pair: string): CompareObserver;
  /** A pair was compared; the result has the findings of the baseline. */
  compared?(pair: string, result: ComparisonResult): unknown;
  /** A pair could not be compared. The others are, nevertheless. */
  failed?(pair: string, error: NpuDiffError): unknown;
  /** The baseline is about to be written under this name before it has its own: nobody else removes it if the process ends. */
  temporary?(path: string): void;
}

/** What holds where nothing is said. */
const DEFAULTS: CheckOptions = {
  config: null,
  folder: ".",
  pairs: [],
  preset: null,
  decide: null,
  limits: {},
  map: null,
  update: null,
  needsBaseline: false,
  details: false,
  jobs: 1,
};

/** A config is held to a schema of its own. */
const config: SchemaOf<CheckOptions["config"]> = {
  anyOf: [path, { type: "object" }, { type: "null" }],
};

const OPTIONS_SCHEMA = fields<CheckOptions>({
  config,
  folder: path,
  pairs: list(text),
  preset: nullable(oneOf(...PRESETS)),
  decide: nullable(oneOf(...DECISIONS)),
  limits: LIMITS_SCHEMA,
  map: nullable(path),
  update: nullable(oneOf(...BASELINE_UPDATES)),
  needsBaseline: flag,
  details: flag,
  jobs: { type: "integer", minimum: 1 },
});

/**
 * Compares the pairs of a config one after another: `npu-diff check` as a function.
 *
 * A pair that cannot be compared is an error in the result, stops none of the others, and is never a pass.
 * Between its jobs a comparison holds the event loop: run it in a worker thread where the event loop matters.
 *
 * @param given whatever differs from: all pairs of the config that is found, held to what it says, on one thread
 * @returns the result, whose verdict is the worst of all pairs; a precision failure is a value of it
 * @throws NpuDiffError where there is nothing to compare: `config-missing`, `config-invalid`, `map-missing`,
 *   `map-invalid`, `baseline-invalid`, `baseline-missing`, `output-unwritable` of a baseline, and `usage` for an
 *   option that is unknown or out of its range
 */
export async function checkPairs(
  given: Partial<CheckOptions> = {},
  observer: CheckObserver = {},
): Promise<CheckResult> {
  const options = optionsOf(given);
  const { loaded, pairs } = open(options);
  const gate = new Gate(loaded, options.update, options.needsBaseline);
  const outcomes: PairOutcome[] = [];
  for (const pair of pairs) outcomes.push(await checkPair(pair, gate, options, observer));
  return {
    schemaVersion: 1,
    verdict: worstOf(outcomes.map(({ verdict }) => verdict)),
    config: loaded.name,
    baseline: gate.write(outcomes, options.pairs.length === 0, (path) =>
      observer.temporary?.(path),
    ),
    pairs: outcomes,
  };
}

/** The files that a check reads, as far as they can be found: no report may replace one. */
export function filesOfCheck(given: Partial<CheckOptions>): readonly string[] {
  const { loaded, pairs, file } = open(optionsOf(given));
  const baseline = baselinePath(loaded);
  return [...[file, baseline].filter((path) => path !== null), ...pairs.flatMap(filesOfPair)];
}

function filesOfPair({ options }: ResolvedPair): readonly string[] {
  const {
    reference,
    candidate,
    floors,
    forced,
    referencePerformance,
    candidatePerformance,
    lmHead,
  } = options;
  const measured = [referencePerformance, candidatePerformance];
  const paths = [reference, candidate, ...floors, ...forced, ...measured, lmHead];
  return paths
    .filter((path) => path !== null)
    .flatMap((path) => {
      try {
        return filesAt(path);
      } catch {
        // Whoever opens it says what is wrong.
        return [path];
      }
    });
}

function optionsOf(given: Partial<CheckOptions>): CheckOptions {
  const options = { ...DEFAULTS, ...given };
  checkOptions(options, OPTIONS_SCHEMA);
  return options;
}

function open(options: CheckOptions): {
  readonly loaded: LoadedConfig;
  /** Null where the config is none. */
  readonly file: string | null;
  readonly pairs: readonly ResolvedPair[];
} {
  const { config: named, preset, decide, limits, map } = options;
  const folder = resolve(options.folder);
  const file =
    named === null ? findConfig(folder) : typeof named === "string" ? resolve(folder, named) : null;
  const loaded = file === null ? configOf(named as Config, folder) : readConfig(file, folder);
  const call: GivenSettings = {
    preset,
    decide,
    map: map === null ? null : resolve(folder, map),
    limits,
  };
  return { loaded, file, pairs: resolvePairs(loaded, options.pairs, call, () => "the call") };
}

async function checkPair(
  pair: ResolvedPair,
  gate: Gate,
  { details, jobs }: CheckOptions,
  observer: CheckObserver,
): Promise<PairOutcome> {
  const { name, options } = pair;
  const told = observer.comparing?.(name) ?? {};
  let result: ComparisonResult;
  try {
    result = gate.finish(pair, await compareDumps({ ...options, details, jobs }, told));
  } catch (thrown) {
    const error = asNpuDiffError(thrown);
    await observer.failed?.(name, error);
    const { code, message, facts, help } = error;
    return { name, verdict: "error", result: null, error: { code, what: message, facts, help } };
  }
  await observer.compared?.(name, result);
  return { name, verdict: result.verdict, result, error: null };
}
