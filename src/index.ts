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

export { compareDumps } from "./compare.ts";
export { compareTaskResults } from "./compare-task-results.ts";
export type * from "./core/details.ts";
export type * from "./core/determinism.ts";
export type { DType, FloatDType } from "./core/dtype.ts";
export { type ErrorCode, type ErrorFact, isNpuDiffError, NpuDiffError } from "./core/errors.ts";
export type * from "./core/findings.ts";
export type * from "./core/generation.ts";
export type * from "./core/groups.ts";
export type * from "./core/inputs.ts";
export type {
  CompareObserver,
  CompareOptions,
  Decide,
  LimitName,
  Preset,
  Progress,
} from "./core/options.ts";
export type * from "./core/own-figures.ts";
export type * from "./core/performance.ts";
export type * from "./core/places.ts";
export type * from "./core/quality.ts";
export type * from "./core/result.ts";
export type * from "./core/stats-figures.ts";
export type {
  IntervalMethod,
  TaskDifference,
  TaskFigures,
  TaskInput,
  TaskJudgement,
  TaskResult,
  TaskResultsComparison,
  TaskResultsOptions,
  TaskRunFigures,
  TaskSideFigures,
  TestMethod,
} from "./core/task-results.ts";
export type * from "./core/tensor-result.ts";
export type * from "./core/verdict.ts";
export type { Dump, RunMetadata, TensorEntry, TensorStats } from "./dump/dump.ts";
export { openDump } from "./dump/open-dump.ts";
export { type RepairReport, repairDump } from "./dump/repair.ts";
