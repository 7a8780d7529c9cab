/** `npu-diff inspect REFERENCE CANDIDATE --tensor NAME`: one tensor of a pair in depth. */

import { align, type Unit } from "../align/align.ts";
import { checkInputs } from "../align/inputs.ts";
import { namePair } from "../align/naming/name-pair.ts";
import { checkPrompts, knownByPrompts } from "../align/prompts.ts";
import { relationOfRuns } from "../align/runs.ts";
import { checkTokens } from "../align/tokens.ts";
import type { NpuDiffError } from "../core/errors.ts";
import type { MapRule } from "../core/name-map.ts";
import type { Dump } from "../dump/dump.ts";
import { openDump } from "../dump/open-dump.ts";
import { refuseRanksApart } from "../dump/rank-paths.ts";
import { unmeasurable } from "../measure/measure-tensor.ts";
import { SegmentReader } from "../measure/segments.ts";
import { measureDepth } from "../measure/tensor-depth.ts";
import type { DepthReport } from "../report/depth/schema.ts";
import { usageError } from "./arguments.ts";
import { nearestNames } from "./nearest-names.ts";

/**
 * @throws NpuDiffError where the two were not fed alike, or the tensor cannot be measured.
 */
export function inspectTensor(
  paths: { readonly reference: string; readonly candidate: string },
  tensor: string,
  map: readonly MapRule[] = [],
): DepthReport {
  refuseRanksApart([paths.reference, paths.candidate]);
  const open: Dump[] = [];
  try {
    const reference = openDump(paths.reference);
    open.push(reference);
    const candidate = openDump(paths.candidate);
    open.push(candidate);
    const named = namePair(reference, candidate, map);
    return inspectIn(named.reference, named.candidate, tensor);
  } finally {
    for (const dump of open) dump.close();
  }
}

function inspectIn(reference: Dump, candidate: Dump, tensor: string): DepthReport {
  relationOfRuns(reference, candidate);
  if (knownByPrompts(reference, candidate)) checkPrompts(reference, candidate);
  else checkTokens(reference, candidate, "candidate");
  checkInputs(reference, candidate, "candidate");
  const { units } = align(reference, candidate, [], { only: [], skip: [] });
  const found = units.filter(({ name }) => name === tensor);
  if (found.length === 0) throw unknownTensor(reference, candidate, tensor, units);
  for (const unit of found) refuseUnmeasurable(unit);
  const reader = new SegmentReader();
  return {
    schemaVersion: 1,
    reference: { file: reference.file },
    candidate: { file: candidate.file },
    tensors: found.map((unit) => measureDepth(unit, { reference, candidate }, reader)),
  };
}

function unknownTensor(
  reference: Dump,
  candidate: Dump,
  tensor: string,
  units: readonly Unit[],
): NpuDiffError {
  const holds = (dump: Dump): string =>
    dump.tensors.some(({ name }) => name === tensor) ? "holds it" : "lacks it";
  const facts = { tensor, reference: holds(reference), candidate: holds(candidate) };
  const sides = [facts.reference, facts.candidate];
  const near = nearestNames(tensor, [...new Set(units.map(({ name }) => name))]);
  return usageError(
    sides.every((one) => one === "holds it")
      ? "this is no tensor that both sides hold for one sample, and that is compared"
      : sides.includes("holds it")
        ? "one side lacks this tensor"
        : "there is no such tensor",
    facts,
    near.length === 0
      ? "npu-diff inspect DUMP lists what a dump holds"
      : `the nearest that both hold: ${near.join(", ")}`,
  );
}

function refuseUnmeasurable(unit: Unit): void {
  const { shapeConflict: conflict, name } = unit;
  if (conflict !== null) {
    throw usageError(
      `${name} has another shape on each side`,
      {
        reference: `[${conflict.reference.join(", ")}] in sample ${conflict.sample}, step ${conflict.step}`,
        candidate: `[${conflict.candidate.join(", ")}]`,
      },
      "nothing is broadcast: capture the tensor in one shape",
    );
  }
  const reason = unmeasurable(unit);
  if (reason === null) return;
  const [first] = unit.pairs;
  throw usageError(
    reason === "integer" ? `${name} holds integers` : `${name} is not stored whole`,
    {
      reference: `${first?.reference.dtype ?? ""} ${first?.reference.encoding ?? ""}`,
      candidate: `${first?.candidate.dtype ?? ""} ${first?.candidate.encoding ?? ""}`,
    },
    reason === "integer"
      ? "only tensors of real numbers have errors to look at"
      : "capture both sides with --mode full, at least of this tensor",
  );
}
