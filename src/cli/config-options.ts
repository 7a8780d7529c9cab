/** The config of a call, and what the call itself says in its place. */

import { resolve } from "node:path";
import { findConfig, type LoadedConfig, readConfig } from "../config/load.ts";
import { type GivenSettings, type ResolvedPair, resolvePair } from "../config/resolve.ts";
import { NpuDiffError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { DECISIONS, PRESETS } from "../core/options.ts";
import { type Arguments, usageError } from "./arguments.ts";
import type { Host } from "./host.ts";
import { LIMITS, type OptionName } from "./options.ts";

/** The config that `--config` names, or else the one that is found. */
export function loadConfig(args: Arguments, host: Host): LoadedConfig {
  const named = args.text("config");
  return readConfig(named === null ? findConfig(host.cwd) : resolve(host.cwd, named), host.cwd);
}

/**
 * The pairs of that config by name, all where none is named, in its order.
 *
 * @throws NpuDiffError `usage` where it has no pair of a name, `config-invalid` where it has none at all
 */
export function resolvePairs(
  loaded: LoadedConfig,
  names: readonly string[],
  args: Arguments,
  host: Host,
): readonly ResolvedPair[] {
  const known = Object.keys(loaded.config.pairs);
  if (known.length === 0) {
    throw new NpuDiffError("config-invalid", {
      what: "the config has no pairs",
      facts: [{ label: "config", text: loaded.placeOf(["pairs"]) }],
      help: "add one under pairs: a name with a reference and a candidate",
    });
  }
  for (const name of names) {
    if (known.includes(name)) continue;
    const meant = nearest(name, known);
    throw usageError(
      `the config has no pair ${JSON.stringify(name)}`,
      { config: loaded.placeOf(["pairs"]), pairs: known.join(", ") },
      meant === null ? "name a pair of the config, or none for all" : `did you mean ${meant}?`,
    );
  }
  const given = readGiven(args, host);
  return known
    .filter((name) => names.length === 0 || names.includes(name))
    .map((name) => resolvePair(loaded, name, given));
}

function readGiven(args: Arguments, host: Host): GivenSettings {
  const limits = args.limits();
  return {
    preset: sourced(args, "preset", () => args.choice("preset", PRESETS, "auto")),
    decide: sourced(args, "decide", () => args.choice("decide", DECISIONS, "interval")),
    map: sourced(args, "map", () => resolve(host.cwd, args.text("map") ?? "")),
    limits: Object.fromEntries(
      LIMITS.flatMap(({ option, limit }) => {
        const value = limits[limit];
        const from = args.origin(option);
        return value === undefined || from === null ? [] : [[limit, { value, from }]];
      }),
    ),
  };
}

function sourced<T>(
  args: Arguments,
  option: OptionName,
  read: () => T,
): { readonly value: T; readonly from: string } | null {
  const from = args.origin(option);
  return from === null ? null : { value: read(), from };
}
