/**
 * What holds for a pair in the end, and where each value comes from: flag before
 * environment before config (the pair, then what is said for all) before default.
 */

import { resolve } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import {
  type CompareOptions,
  DEFAULT_OPTIONS,
  type Decide,
  type LevelSetting,
  LIMIT_RANGES,
  type LimitName,
  type LimitOverride,
  type Limits,
  type Preset,
} from "../core/options.ts";
import type { Allowance } from "../judge/baseline.ts";
import type { Override, Pair, RuleSettings, Settings } from "./config.ts";
import type { LoadedConfig } from "./load.ts";
import { readNameMap } from "./name-map.ts";

/** A value, and where it was given: `--preset`, `NPU_DIFF_PRESET`, `npu-diff.jsonc:12` or `default`. */
export interface Sourced<T> {
  readonly value: T;
  readonly from: string;
}

/** What the call itself gives; null leaves it to the config. */
export interface GivenSettings {
  readonly preset: Preset | null;
  readonly decide: Decide | null;
  /** An absolute path. */
  readonly map: string | null;
  readonly limits: Limits;
}

/** Where the call gives a value, such as `--max-kl`. */
export type GivenPlace = (setting: Exclude<keyof GivenSettings, "limits"> | LimitName) => string;

/** A value that holds for a pair. */
export interface Setting extends Sourced<unknown> {
  /** Its path in a pair of the config: `limits.maxKl`. */
  readonly key: string;
}

/** A pair as it is compared. */
export interface ResolvedPair {
  readonly name: string;
  readonly options: Omit<CompareOptions, "jobs" | "failFast" | "details">;
  readonly allowance: Allowance;
  /** Everything that holds, and where it was said. */
  readonly settings: readonly Setting[];
}

/**
 * A deterministic run needs none, and one that scatters more than this its own. The
 * increase of the perplexity is near 0, where a share of it would be nothing.
 */
const DEFAULT_ALLOWANCE: Allowance = {
  against: "limits",
  relative: 0.1,
  absolute: { perplexityIncrease: 0.001, top1: 0.005 },
};

const LIMIT_NAMES = Object.keys(LIMIT_RANGES) as readonly LimitName[];

/** A part of the config that may say something for a pair, and its path. */
interface Section {
  readonly settings: Settings;
  readonly path: readonly string[];
}

/**
 * The pairs of a config by name, all where none is named, in its order.
 *
 * @throws NpuDiffError `usage` where it has no pair of a name, `config-invalid` where it has none at all
 */
export function resolvePairs(
  loaded: LoadedConfig,
  names: readonly string[],
  given: GivenSettings,
  placeOfGiven: GivenPlace,
): readonly ResolvedPair[] {
  const known = Object.keys(loaded.config.pairs);
  const config = { label: "config", text: loaded.placeOf(["pairs"]) };
  if (known.length === 0) {
    throw new NpuDiffError("config-invalid", {
      what: "the config has no pairs",
      facts: [config],
      help: "add one under pairs: a name with a reference and a candidate",
    });
  }
  for (const name of names) {
    if (known.includes(name)) continue;
    const meant = nearest(name, known);
    throw new NpuDiffError("usage", {
      what: `the config has no pair ${JSON.stringify(name)}`,
      facts: [config, { label: "pairs", text: known.join(", ") }],
      help:
        meant === null ? "name a pair of the config, or none for all" : `did you mean ${meant}?`,
    });
  }
  return known
    .filter((name) => names.length === 0 || names.includes(name))
    .map((name) => new Resolver(loaded, name, given, placeOfGiven).resolve());
}

class Resolver {
  private readonly settings: Setting[] = [];
  private readonly loaded: LoadedConfig;
  private readonly name: string;
  private readonly pair: Pair;
  private readonly given: GivenSettings;
  private readonly placeOfGiven: GivenPlace;
  /** What is said for all, then what is said for the pair, which counts. */
  private readonly sections: readonly Section[];

  constructor(loaded: LoadedConfig, name: string, given: GivenSettings, placeOfGiven: GivenPlace) {
    const pair = Object.hasOwn(loaded.config.pairs, name) ? loaded.config.pairs[name] : undefined;
    if (pair === undefined) throw new RangeError(`no pair ${name}`);
    this.loaded = loaded;
    this.name = name;
    this.pair = pair;
    this.given = given;
    this.placeOfGiven = placeOfGiven;
    this.sections = [
      { settings: loaded.config, path: [] },
      { settings: pair, path: ["pairs", name] },
    ];
  }

  resolve(): ResolvedPair {
    const { pair } = this;
    const fromFolder = (path: string): string => resolve(this.loaded.folder, path);
    const paths = (key: "floor" | "forced"): readonly string[] =>
      this.note(key, this.ofPair(key, pair[key]) ?? byDefault<readonly string[]>([]));
    const performance = (key: "referencePerformance" | "candidatePerformance"): string | null => {
      const path = this.note(
        key,
        this.ofPair<string | null>(key, pair[key]) ?? byDefault(DEFAULT_OPTIONS[key]),
      );
      return path === null ? null : fromFolder(path);
    };
    const reference = this.note("reference", this.required("reference"));
    const candidate = this.note("candidate", this.required("candidate"));
    const floors = paths("floor");
    const forced = paths("forced");
    const referencePerformance = performance("referencePerformance");
    const candidatePerformance = performance("candidatePerformance");
    const lmHead = this.value<string | null>(
      "lmHead",
      null,
      (one) => one.lmHead,
      DEFAULT_OPTIONS.lmHead,
    );
    const preset = this.value(
      "preset",
      this.ofCall("preset"),
      (one) => one.preset,
      DEFAULT_OPTIONS.preset,
    );
    const decide = this.value(
      "decide",
      this.ofCall("decide"),
      (one) => one.decide,
      DEFAULT_OPTIONS.decide,
    );
    const { limits, limitsOfConfig } = this.limits();
    const levels = this.sections.flatMap(({ settings, path }) =>
      this.levels(settings.rules, null, [...path, "rules"]),
    );
    const overrides = this.sections.flatMap(({ settings, path }) =>
      (settings.overrides ?? []).map((one, index) => ({
        one,
        path: [...path, "overrides", index],
      })),
    );
    const map = this.value<string | null>("map", this.ofCall("map"), (one) => one.map, null);
    return {
      name: this.name,
      options: {
        reference: fromFolder(reference),
        candidate: fromFolder(candidate),
        floors: floors.map(fromFolder),
        forced: forced.map(fromFolder),
        // A gate is about precision: speed is shown, and no more.
        referencePerformance,
        candidatePerformance,
        lmHead: lmHead === null ? null : fromFolder(lmHead),
        lensTokens: this.value<number | null>(
          "lensTokens",
          null,
          (one) => one.lensTokens,
          DEFAULT_OPTIONS.lensTokens,
        ),
        preset,
        decide,
        limits,
        limitsOfConfig,
        levels: [...levels, ...overrides.flatMap((at) => this.levelsOf(at))],
        overrides: overrides.flatMap((at) => this.override(at)),
        map: map === null ? [] : readNameMap(fromFolder(map), this.loaded.folder),
        only: this.value("only", null, (one) => one.only, DEFAULT_OPTIONS.only),
        skip: this.value("skip", null, (one) => one.skip, DEFAULT_OPTIONS.skip),
      },
      allowance: this.allowance(),
      // Of a rule that is set twice the last counts.
      settings: [...new Map(this.settings.map((one) => [one.key, one])).values()],
    };
  }

  private note<T>(key: string, { value, from }: Sourced<T>): T {
    this.settings.push({ key, value, from });
    return value;
  }

  private required(key: "reference" | "candidate"): Sourced<string> {
    return { value: this.pair[key], from: this.loaded.placeOf(["pairs", this.name, key]) };
  }

  private ofPair<T>(key: string, value: T | undefined): Sourced<T> | null {
    return value === undefined
      ? null
      : { value, from: this.loaded.placeOf(["pairs", this.name, key]) };
  }

  private ofCall<K extends "preset" | "decide" | "map">(
    key: K,
  ): Sourced<NonNullable<GivenSettings[K]>> | null {
    const value = this.given[key];
    return value === null ? null : { value, from: this.placeOfGiven(key) };
  }

  /** What the sections say at `keys`; of both the pair counts. */
  private said<T>(
    keys: readonly string[],
    read: (settings: Settings) => T | undefined,
  ): Sourced<T> | null {
    for (const { settings, path } of this.sections.toReversed()) {
      const value = read(settings);
      if (value !== undefined) return { value, from: this.loaded.placeOf([...path, ...keys]) };
    }
    return null;
  }

  private value<T>(
    key: string,
    given: Sourced<T> | null,
    read: (settings: Settings) => T | undefined,
    fallback: T,
  ): T {
    return this.note(key, given ?? this.said([key], read) ?? byDefault(fallback));
  }

  private limits(): Pick<CompareOptions, "limits" | "limitsOfConfig"> {
    const limits: Partial<Record<LimitName, number>> = {};
    const limitsOfConfig: LimitName[] = [];
    for (const name of LIMIT_NAMES) {
      const given = this.given.limits[name];
      const set =
        given === undefined
          ? this.said(["limits", name], (one) => one.limits?.[name])
          : { value: given, from: this.placeOfGiven(name) };
      if (set === null) continue;
      limits[name] = this.note(`limits.${name}`, set);
      if (given === undefined) limitsOfConfig.push(name);
    }
    return { limits, limitsOfConfig };
  }

  private levels(
    rules: RuleSettings | undefined,
    tensors: readonly string[] | null,
    path: readonly (string | number)[],
  ): readonly LevelSetting[] {
    return Object.entries(rules ?? {}).flatMap(([rule, level]) => {
      if (level === undefined) return [];
      const at = this.loaded.placeOf([...path, rule]);
      const key = tensors === null ? `rules.${rule}` : `rules.${rule} (${tensors.join(" ")})`;
      this.note(key, { value: level, from: at });
      return [{ rule, level, tensors, at }];
    });
  }

  private levelsOf({ one, path }: OverrideAt): readonly LevelSetting[] {
    return this.levels(one.rules, one.tensors, [...path, "rules"]);
  }

  private override({ one, path }: OverrideAt): readonly LimitOverride[] {
    const { limits, tensors } = one;
    if (limits === undefined) return [];
    for (const [name, value] of Object.entries(limits)) {
      const from = this.loaded.placeOf([...path, "limits", name]);
      this.note(`limits.${name} (${tensors.join(" ")})`, { value, from });
    }
    return [{ tensors, limits }];
  }

  private allowance(): Allowance {
    const value = <K extends keyof Allowance>(key: K): Allowance[K] =>
      this.note<Allowance[K]>(
        `allowance.${key}`,
        this.said(
          ["allowance", key],
          ({ allowance }) => allowance?.[key] as Allowance[K] | undefined,
        ) ?? byDefault(DEFAULT_ALLOWANCE[key]),
      );
    return {
      against: value("against"),
      relative: value("relative"),
      absolute: { ...DEFAULT_ALLOWANCE.absolute, ...value("absolute") },
    };
  }
}

interface OverrideAt {
  readonly one: Override;
  readonly path: readonly (string | number)[];
}

function byDefault<T>(value: T): Sourced<T> {
  return { value, from: "default" };
}
