/** The command lines that repeat a comparison, or the check of a pair. */

import { basename } from "node:path";
import { type CompareOptions, DEFAULT_OPTIONS, type Limits } from "../core/options.ts";
import type { Arguments } from "./arguments.ts";
import { LIMITS } from "./options.ts";

/**
 * `npu-diff compare …` with what decides the result: files without their
 * folders, and whatever differs from the defaults. A word that a shell would
 * read otherwise is quoted.
 *
 * @param map the file with the map of names
 */
export function repeatCommand(
  options: Omit<CompareOptions, "details">,
  map: string | null,
): string {
  const { limits, preset, decide, failFast } = options;
  const named = (option: string, values: readonly string[]): readonly string[] =>
    values.flatMap((value) => [`--${option}`, value]);
  const words = [
    "npu-diff",
    "compare",
    nameOf(options.reference),
    nameOf(options.candidate),
    ...named("floor", options.floors.map(nameOf)),
    ...named("forced", options.forced.map(nameOf)),
    ...(map === null ? [] : ["--map", nameOf(map)]),
    ...(options.lmHead === null ? [] : ["--lm-head", nameOf(options.lmHead)]),
    ...(options.lensTokens === DEFAULT_OPTIONS.lensTokens
      ? []
      : ["--lens-tokens", String(options.lensTokens ?? "all")]),
    ...(preset === DEFAULT_OPTIONS.preset ? [] : ["--preset", preset]),
    ...limitWords(limits),
    ...(decide === DEFAULT_OPTIONS.decide ? [] : ["--decide", decide]),
    ...named("only", options.only),
    ...named("skip", options.skip),
    ...(failFast ? ["--fail-fast"] : []),
  ];
  return words.map(quoted).join(" ");
}

/**
 * `npu-diff check …` of one pair, or of all that were named, with what the call said in place of
 * its config: to be given where the config is found.
 */
export function repeatCheckCommand(args: Arguments, pair: string | null): string {
  const config = args.text("config");
  const map = args.text("map");
  const said = (option: "preset" | "decide"): readonly string[] => {
    const value = args.text(option);
    return value === null ? [] : [`--${option}`, value];
  };
  const words = [
    "npu-diff",
    "check",
    ...(pair === null ? args.positionals : [pair]),
    ...(config === null ? [] : ["--config", nameOf(config)]),
    ...(map === null ? [] : ["--map", nameOf(map)]),
    ...said("preset"),
    ...limitWords(args.limits()),
    ...said("decide"),
  ];
  return words.map(quoted).join(" ");
}

function limitWords(limits: Limits): readonly string[] {
  return LIMITS.flatMap(({ option, limit }) => {
    const value = limits[limit];
    return value === undefined ? [] : [`--${option}`, String(value)];
  });
}

/** The last part of a path; a folder such as `.` has no other name. */
function nameOf(path: string): string {
  return basename(path) || path;
}

function quoted(word: string): string {
  return /^[\w./+@:=%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
