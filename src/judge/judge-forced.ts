/** What the reader should know about the forced references: none of it decides anything. */

import { DTYPES } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { Finding } from "../core/result.ts";
import type { Dump } from "../dump/dump.ts";
import { shellWord } from "../dump/dump-file.ts";
import type { ForcedReferences } from "../measure/forced.ts";
import { finding } from "./findings.ts";
import type { InputFacts } from "./judge-inputs.ts";
import type { JudgedUnit } from "./judge-tensor.ts";

/** Findings about `forced`, and about the tensors that it left unknown. */
export function forcedFindings(
  forced: ForcedReferences,
  { reference, candidate, set }: Pick<InputFacts, "reference" | "candidate" | "set">,
  units: readonly JudgedUnit[],
): readonly Finding[] {
  const command = (file: string): string =>
    set === null
      ? `npu-dump replay ${shellWord(file)} --model MODEL -o FORCED.arrow`
      : `npu-dump reference ${shellWord(candidate.file)} --model MODEL -o ${shellWord(set.name)}`;
  return [
    ...forced.absent.map((file) =>
      finding("input/forced-absent", { detail: { file, command: command(file) } }),
    ),
    ...forced.coarse.map(({ file, run }) =>
      finding("input/forced-dtype", {
        detail: { file, forced: run.dtype, reference: reference.run.dtype },
      }),
    ),
    ...units.flatMap(({ measured: { unit, own } }) =>
      own.unknown === null
        ? []
        : [
            finding("input/own-unknown", {
              tensor: unit.name,
              step: unit.group,
              detail: { reason: own.unknown },
            }),
          ],
    ),
  ];
}

/**
 * Refuses a forced reference that equals the dump that it replays although it
 * ran in a finer format: its tensors were captured after they had been
 * replaced, and every own error would be 0.
 *
 * @throws NpuDiffError `forced-incompatible`.
 */
export function refuseEchoAsForced(
  forced: Dump | null,
  candidate: Dump,
  units: readonly JudgedUnit[],
): void {
  const unit = (dump: Dump): number => DTYPES[dump.run.dtype].u ?? 0;
  if (forced === null || unit(candidate) <= unit(forced)) return;
  // An embedding is looked up: weights of the candidate's format give it the same rows.
  const own = units
    .filter(({ measured }) => measured.unit.role !== "embed")
    .map(({ measured }) => measured.own.figures?.gm ?? null)
    .filter((gm) => gm !== null);
  if (own.length === 0 || own.some((gm) => gm > 0)) return;
  throw new NpuDiffError("forced-incompatible", {
    what: "the forced reference equals the candidate in every tensor",
    facts: [
      { label: "forced", text: `${forced.file}   ${forced.run.dtype}` },
      { label: "candidate", text: `${candidate.file}   ${candidate.run.dtype}` },
    ],
    help: "capture what a module answers before it is replaced: make it with npu-dump replay",
  });
}
