/** The error of a comparison that came to nothing. */

import { NpuDiffError } from "../core/errors.ts";
import type { CompareOptions } from "../core/options.ts";
import type { Dump } from "../dump/dump.ts";

/** `aligned`: whether tensors were paired, so that what they hold is why none could be compared. */
export function nothingDecided(
  reference: Dump,
  candidate: Dump,
  options: CompareOptions,
  aligned: boolean,
): NpuDiffError {
  const names = (dump: Dump): string =>
    [...new Set(dump.tensors.map(({ name }) => name))].slice(0, 6).join(" ");
  const filtered = options.only.length > 0 || options.skip.length > 0;
  const selection = filtered
    ? "widen --only, or drop --skip"
    : "capture both sides with the same --select, or check that the names agree";
  return new NpuDiffError("nothing-aligned", {
    what: aligned
      ? "of the tensors that both dumps hold, none could be compared"
      : "the dumps share no tensor that could be compared",
    facts: [
      { label: "reference", text: `${reference.file}   ${names(reference)}` },
      { label: "candidate", text: `${candidate.file}   ${names(candidate)}` },
    ],
    help: aligned
      ? "capture whole float tensors: these are empty, reduced, or integers"
      : selection,
  });
}
