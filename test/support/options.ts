/** Options of a comparison, all defaults but those given. */

import type { CompareOptions } from "../../src/core/options.ts";

export function compareOptions(
  given: Pick<CompareOptions, "reference" | "candidate"> & Partial<CompareOptions>,
): CompareOptions {
  return {
    floors: [],
    preset: "auto",
    decide: "interval",
    limits: {},
    only: [],
    skip: [],
    failFast: false,
    ...given,
  };
}
