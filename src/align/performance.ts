/** Where the performance of each side comes from, and dumps that hold nothing else. */

import { counted } from "../core/counted.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { CompareOptions } from "../core/options.ts";
import type { Dump } from "../dump/dump.ts";
import { shellWord } from "../dump/dump-file.ts";
import { openPerformance } from "../dump/performance/open-performance.ts";
import { isPerformanceOnly, readDumpPerformance } from "../dump/performance/perf-tensors.ts";
import type { PerformanceSource } from "../dump/performance/source.ts";

/** Both sides; null of one that was not measured. */
export interface PerformanceSources {
  readonly reference: PerformanceSource | null;
  readonly candidate: PerformanceSource | null;
}

/**
 * The performance of both sides: of the file that was given for it, else what the compared dump itself holds.
 *
 * @throws NpuDiffError `performance-invalid`, and whatever a given file is refused for.
 */
export function performanceSources(
  options: CompareOptions,
  reference: Dump,
  candidate: Dump,
): PerformanceSources {
  const of = (path: string | null, dump: Dump): PerformanceSource | null =>
    path === null ? readDumpPerformance(dump) : openPerformance(path);
  return {
    reference: of(options.referencePerformance, reference),
    candidate: of(options.candidatePerformance, candidate),
  };
}

/**
 * Refuses dumps that hold performance figures alone: speed is no precision.
 *
 * @throws NpuDiffError `nothing-aligned`.
 */
export function refusePerformanceAlone(
  reference: Dump,
  candidate: Dump,
  options: CompareOptions,
): void {
  const alone = {
    reference: isPerformanceOnly(reference),
    candidate: isPerformanceOnly(candidate),
  };
  if (!alone.reference && !alone.candidate) return;
  const both = alone.reference && alone.candidate;
  const side = alone.reference ? "reference" : "candidate";
  const describe = (dump: Dump, only: boolean): string =>
    `${dump.file}   ${only ? "perf.* alone" : counted(dump.tensors.length, "tensor")}`;
  throw new NpuDiffError("nothing-aligned", {
    what: both
      ? "the dumps hold performance figures alone: there is no precision to compare"
      : `the ${side} holds performance figures alone: there is no precision to compare`,
    facts: [
      { label: "reference", text: describe(reference, alone.reference) },
      { label: "candidate", text: describe(candidate, alone.candidate) },
    ],
    help: both
      ? `npu-diff inspect ${shellWord(options.reference)} ${shellWord(options.candidate)} shows both beside each other`
      : `give it with --${side}-performance, beside a dump of npu-dump run`,
  });
}
