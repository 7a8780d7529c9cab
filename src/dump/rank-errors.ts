/** How errors speak of ranks and of what they hold. */

import type { ErrorFact } from "../core/errors.ts";
import type { FileDump } from "./arrow-dump.ts";

/** `layers.3.mlp@0.0`: a tensor, its sample and step. */
export function placeName({
  name,
  sample,
  step,
}: {
  readonly name: string;
  readonly sample: number;
  readonly step: number;
}): string {
  return `${name}@${sample}.${step}`;
}

/** What a rank's file says, as a fact. */
export function describeRank(
  { file, part }: Pick<FileDump, "file" | "part">,
  text: string,
): ErrorFact {
  return {
    label: part === null ? "file" : `rank ${part.rank}`,
    text: `${file}   ${text}`.trimEnd(),
  };
}
