/**
 * npu-diff: does an LLM on an NPU still compute what it computes on the CPU?
 *
 * ```ts
 * import { compareDumps } from "npu-diff";
 *
 * const result = await compareDumps({
 *   reference: "cpu.arrow",
 *   candidate: "npu.arrow",
 *   floors: ["floor.arrow"],
 * });
 * console.log(result.verdict, result.origin?.tensor);
 * ```
 *
 * A comparison holds the event loop for long stretches; run it in a worker thread
 * where the event loop matters.
 *
 * @packageDocumentation
 */

export { type CheckObserver, type CheckOptions, checkPairs } from "./check.ts";
export { compareDumps } from "./compare.ts";
export { compareTaskResults } from "./compare-task-results.ts";
export type {
  AllowanceSettings,
  Config as CheckConfig,
  Override as TensorSettings,
  Pair as PairConfig,
  RuleSettings,
  Settings as PairSettings,
} from "./config/config.ts";
export * from "./core.ts";
export type {
  Dump,
  FileRange,
  Located,
  RunMetadata,
  TensorChunk,
  TensorEntry,
  TensorFacts,
  TensorStats,
} from "./dump/dump.ts";
export type { Join } from "./dump/join.ts";
export { openDump } from "./dump/open-dump.ts";
export { readTensor } from "./dump/read-tensor.ts";
export { type RepairReport, repairDump } from "./dump/repair.ts";
export type { FigureName } from "./judge/figures.ts";
