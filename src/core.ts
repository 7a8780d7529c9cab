/**
 * The part of npu-diff that needs no Node.js: results of comparisons, judged again, explained and rendered, in a
 * browser, a worker or any other JavaScript runtime. Dumps are opened and compared by the package's main entry,
 * which exports all of this as well.
 *
 * ```ts
 * import { judge, readStored, renderHtml } from "npu-diff/core";
 *
 * const text = await (await fetch("result.json")).text();
 * const stored = readStored(text, "result.json");
 * if (stored.kind === "comparison") {
 *   const result = judge(stored.result, { limits: { maxKl: 0.01 } });
 *   console.log(result.verdict, renderHtml(result));
 * }
 * ```
 *
 * @packageDocumentation
 */

export type {
  BaselineState,
  CheckResult,
  CheckVerdict,
  PairError,
  PairOutcome,
} from "./core/check-result.ts";
export type * from "./core/details.ts";
export type * from "./core/determinism.ts";
export type { DType, FloatDType } from "./core/dtype.ts";
export { type ErrorCode, type ErrorFact, isNpuDiffError, NpuDiffError } from "./core/errors.ts";
export type * from "./core/findings.ts";
export type * from "./core/generation.ts";
export type * from "./core/groups.ts";
export type * from "./core/inputs.ts";
export type * from "./core/lens.ts";
export type {
  JoinedSource,
  MapRule,
  MapSide,
  MapSource,
  SlicedSource,
} from "./core/name-map.ts";
export type {
  BaselineUpdate,
  CompareObserver,
  CompareOptions,
  Decide,
  LevelSetting,
  LimitName,
  LimitOverride,
  Limits,
  Preset,
  Progress,
  RuleSetting,
  TensorLimitName,
} from "./core/options.ts";
export type {
  OwnFigures,
  OwnStatistic,
  OwnStatisticName,
  OwnStatistics,
} from "./core/own-figures.ts";
export type {
  PerformanceCondition,
  PerformanceFigures,
  PerformanceGroup,
  PerformanceMetric,
  PerformanceMetricFacts,
  PerformanceMetricName,
  PerformancePoint,
  PerformanceResult,
  PerformanceSide,
  PerformanceSpread,
  PerformanceSweepPoint,
  PerformanceUnit,
} from "./core/performance.ts";
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
export { type RejudgeOptions as JudgeOptions, rejudge as judge } from "./judge/rejudge.ts";
export { renderCheckGithub } from "./report/check/github.ts";
export { type CheckPageOptions, renderCheckHtml } from "./report/check/html.ts";
export { renderCheckJson } from "./report/check/json.ts";
export { renderCheckJunit } from "./report/check/junit.ts";
export { renderCheckMarkdown } from "./report/check/markdown.ts";
export { renderCheckSarif } from "./report/check/sarif.ts";
export { renderCheckText } from "./report/check/text.ts";
export { renderCsv } from "./report/csv.ts";
export { type Diagnosis, diagnose, type Fault, type NamedCause } from "./report/diagnosis.ts";
export { explain } from "./report/entries.ts";
export type { Entry } from "./report/explain.ts";
export { renderGithub } from "./report/github.ts";
export { type PageOptions, renderHtml } from "./report/html/page.ts";
export { renderJson } from "./report/json.ts";
export { renderJunit } from "./report/junit.ts";
export { type MarkdownOptions, renderMarkdown } from "./report/markdown.ts";
export type { Language } from "./report/messages/index.ts";
export { renderSarif, type SarifOptions } from "./report/sarif.ts";
export { readStored, type Stored } from "./report/stored.ts";
export type { Style } from "./report/style.ts";
export { renderText, type TextOptions } from "./report/text.ts";
