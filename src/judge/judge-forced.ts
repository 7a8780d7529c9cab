/** What the reader should know about the forced references: none of it decides anything. */

import type { Unit } from "../align/align.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { Finding } from "../core/findings.ts";
import type { TensorRole } from "../dump/contract.ts";
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

/** What is computed in the run's format: sums and look-ups may well be equal in two, norms are often float32's. */
const COMPUTED: ReadonlySet<TensorRole> = new Set(["attn", "mlp", "logits"]);

/**
 * Refuses a forced reference that holds what the candidate answered although it
 * ran in a finer format: its tensors were captured after they had been replaced,
 * or copied from the candidate, and their own errors would be 0. One module
 * suffices where the candidate stored it in a coarser format; logits in float32,
 * say, a good engine may compute as the reference does.
 *
 * @throws NpuDiffError `forced-incompatible`.
 */
export function refuseEchoAsForced(
  forced: Dump | null,
  candidate: Dump,
  units: readonly JudgedUnit[],
): void {
  const u = (dtype: DType): number => DTYPES[dtype].u ?? 0;
  if (forced === null || u(candidate.run.dtype) <= u(forced.run.dtype)) return;
  const computed = units.flatMap(({ measured: { unit, own } }) =>
    COMPUTED.has(unit.role) && own.figures !== null ? [{ unit, figures: own.figures }] : [],
  );
  // The slope of a tensor of zeros is not known.
  const equal = computed.filter(({ figures: { gm, slope } }) => gm === 0 && slope !== null);
  const isCoarser = (unit: Unit): boolean =>
    unit.pairs.some((pair) => u(pair.candidate.dtype) > u(forced.run.dtype));
  const echoed =
    equal.length === computed.length ? equal : equal.filter(({ unit }) => isCoarser(unit));
  const [first, ...others] = echoed;
  if (first === undefined) return;
  const more = others.length === 0 ? "" : ` and ${String(others.length)} more tensors`;
  const where =
    echoed.length === computed.length
      ? "every tensor"
      : `${first.unit.name} (${first.unit.group})${more}`;
  throw new NpuDiffError("forced-incompatible", {
    what: `the forced reference equals the candidate in ${where}`,
    facts: [
      { label: "forced", text: `${forced.file}   ${forced.run.dtype}` },
      { label: "candidate", text: `${candidate.file}   ${candidate.run.dtype}` },
    ],
    help: "capture what a module answers before it is replaced: make it with npu-dump replay",
  });
}
