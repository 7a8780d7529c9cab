/** The error of a comparison that came to nothing. */

import { NpuDiffError } from "../core/errors.ts";
import type { CompareOptions } from "../core/options.ts";
import type { Dump } from "../dump/dump.ts";
import { suggestedNames } from "./naming/named-as.ts";
import { similarNames } from "./naming/similar.ts";

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
  const [similar] = aligned || filtered ? [] : suggestedNames(similarNames(reference, candidate));
  const selection = filtered
    ? "widen --only, or drop --skip"
    : similar === undefined
      ? "capture both sides with the same --select, or say with --map FILE what the names are"
      : `if these are the same, say so in a file for --map: {"candidate": {${JSON.stringify(similar.to)}: ${JSON.stringify(similar.from)}}}`;
  return new NpuDiffError("nothing-aligned", {
    what: aligned
      ? "of the tensors that both dumps hold, none could be compared"
      : "the dumps share no tensor that could be compared",
    facts: [
      { label: "reference", text: `${reference.file}   ${names(reference)}` },
      { label: "candidate", text: `${candidate.file}   ${names(candidate)}` },
      ...(similar === undefined
        ? []
        : [
            {
              label: "alike",
              text: `${similar.to}   ${similar.from}   cosine ${similar.cosine.toFixed(6)}`,
            },
          ]),
    ],
    help: aligned
      ? "capture whole float tensors: these are empty, reduced, or integers"
      : selection,
  });
}
