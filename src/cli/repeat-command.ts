/** The command line that repeats a comparison elsewhere. */

import { basename } from "node:path";
import { type CompareOptions, DEFAULT_OPTIONS } from "../core/options.ts";
import { LIMITS } from "./options.ts";

/**
 * `npu-diff compare …` with what decides the result: files without their
 * folders, and whatever differs from the defaults. A word that a shell would
 * read otherwise is quoted.
 */
export function repeatCommand(options: Omit<CompareOptions, "details">): string {
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
    ...(preset === DEFAULT_OPTIONS.preset ? [] : ["--preset", preset]),
    ...LIMITS.flatMap(({ option, limit }) => {
      const value = limits[limit];
      return value === undefined ? [] : [`--${option}`, String(value)];
    }),
    ...(decide === DEFAULT_OPTIONS.decide ? [] : ["--decide", decide]),
    ...named("only", options.only),
    ...named("skip", options.skip),
    ...(failFast ? ["--fail-fast"] : []),
  ];
  return words.map(quoted).join(" ");
}

/** The last part of a path; a folder such as `.` has no other name. */
function nameOf(path: string): string {
  return basename(path) || path;
}

function quoted(word: string): string {
  return /^[\w./+@:=%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
