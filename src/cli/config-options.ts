/** The config of a call, and what the call itself says in its place. */

import { resolve } from "node:path";
import { type ConfigFile, findConfig, readConfig } from "../config/load.ts";
import type { GivenPlace, GivenSettings } from "../config/resolve.ts";
import { DECISIONS, PRESETS } from "../core/options.ts";
import type { Arguments } from "./arguments.ts";
import type { Host } from "./host.ts";
import { LIMITS, type OptionName } from "./options.ts";

/** The config that `--config` names, or else the one that is found. */
export function loadConfig(args: Arguments, host: Host): ConfigFile {
  const named = args.text("config");
  return readConfig(named === null ? findConfig(host.cwd) : resolve(host.cwd, named), host.cwd);
}

/** What the call says in the place of its config. */
export function readGiven(args: Arguments, host: Host): GivenSettings {
  const ifGiven = <T>(option: OptionName, read: () => T): T | null =>
    args.origin(option) === null ? null : read();
  return {
    preset: ifGiven("preset", () => args.choice("preset", PRESETS, "auto")),
    decide: ifGiven("decide", () => args.choice("decide", DECISIONS, "interval")),
    map: ifGiven("map", () => resolve(host.cwd, args.text("map") ?? "")),
    limits: args.limits(),
  };
}

/** Where the call says it: `--max-kl` or `NPU_DIFF_MAX_KL`. */
export function placeOfGiven(args: Arguments): GivenPlace {
  return (setting) => {
    const { option } = LIMITS.find(({ limit }) => limit === setting) ?? { option: setting };
    return args.origin(option as OptionName) ?? "";
  };
}
