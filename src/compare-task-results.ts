/** The pipeline of task results: read, align, measure, judge. */

import { alignTaskRuns } from "./align/task-runs.ts";
import { counted } from "./core/counted.ts";
import { NpuDiffError } from "./core/errors.ts";
import {
  DEFAULT_MAX_DROP,
  type TaskResult,
  type TaskResultsComparison,
  type TaskResultsOptions,
} from "./core/task-results.ts";
import { readTaskRun } from "./dump/task-results/read-task-run.ts";
import { judgeDrop, verdictOfTasks } from "./judge/judge-tasks.ts";
import { flippedItems, measureTasks } from "./measure/task-figures.ts";

/** What holds where nothing is said. */
const DEFAULTS: Omit<TaskResultsOptions, "candidate"> = {
  reference: [],
  baseline: null,
  passAt: 1,
  maxDrop: null,
  decide: "interval",
  metric: null,
  filter: null,
  only: [],
  skip: [],
};

/**
 * Compares what an evaluation made of the same items on both sides: accuracies,
 * flips, and whether the candidate's accuracy fell by more than a limit.
 *
 * Results are those of lm-evaluation-harness (`--log_samples`) or plain JSON
 * lines; each path is a file or the folder of one run.
 *
 * @throws NpuDiffError where files cannot be read, or do not hold the same items
 */
export function compareTaskResults(
  given: Pick<TaskResultsOptions, "candidate"> & Partial<TaskResultsOptions>,
): TaskResultsComparison {
  const options: TaskResultsOptions = { ...DEFAULTS, ...given };
  const { baseline, decide, passAt } = options;
  checkOptions(options);
  const [reference, candidate] = [options.reference, options.candidate].map((paths) =>
    paths.map((path) => readTaskRun(path, options)),
  ) as [ReturnType<typeof readTaskRun>[], ReturnType<typeof readTaskRun>[]];
  const aligned = alignTaskRuns(reference, candidate);
  if (baseline !== null && aligned.length > 1) {
    throw usage(
      "a baseline is of one task",
      [
        ["baseline", String(baseline)],
        ["tasks", aligned.map(({ task }) => task).join(", ")],
      ],
      "choose the task with --only",
    );
  }
  const measurement = { baseline, passAt, tasks: aligned.length };
  const limit = { maxDrop: options.maxDrop ?? DEFAULT_MAX_DROP, decide };
  const isOneOfMany = aligned.length > 1;
  const tasks = aligned.map((one): TaskResult => {
    const figures = measureTasks([one], measurement);
    const { task, metric, filter, otherFilters, version } = one;
    const flipped = flippedItems(one, measurement);
    const judgement = judgeDrop(figures, limit, isOneOfMany);
    return { task, metric, filter, otherFilters, version, flipped, ...figures, ...judgement };
  });
  // No correction for what is one figure.
  const together = measureTasks(aligned, { ...measurement, tasks: 1 });
  const pooled = { ...together, ...judgeDrop(together, limit) };
  return {
    schemaVersion: 1,
    verdict: verdictOfTasks(pooled, tasks),
    decide,
    maxDrop: limit.maxDrop,
    limitFrom: options.maxDrop === null ? "method" : "flag",
    baseline,
    passAt,
    pooled,
    tasks,
    inputs: {
      reference: reference.map(({ inputs }) => inputs),
      candidate: candidate.map(({ inputs }) => inputs),
    },
  };
}

function checkOptions({ reference, candidate, baseline, maxDrop, passAt }: TaskResultsOptions) {
  const shares = { baseline, maxDrop };
  for (const [name, value] of Object.entries(shares)) {
    // Written so that NaN is refused.
    if (value !== null && !(value >= 0 && value <= 1)) {
      throw usage(
        `${name} is no share`,
        [
          ["given", String(value)],
          ["expected", "a number from 0 to 1"],
        ],
        "write it like 0.22 or 22%",
      );
    }
  }
  if (candidate.length === 0 || (reference.length === 0) === (baseline === null)) {
    throw usage(
      "there must be a reference or a baseline, and not both",
      [
        ["reference", counted(reference.length, "run")],
        ["baseline", baseline === null ? "none" : String(baseline)],
        ["candidate", counted(candidate.length, "run")],
      ],
      "give the results of both sides, or --baseline and those of the candidate",
    );
  }
  const runs = [...(baseline === null ? [reference.length] : []), candidate.length];
  const fewest = Math.min(...runs);
  if (!Number.isInteger(passAt) || passAt < 1 || passAt > fewest) {
    throw usage(
      `pass@${passAt} needs as many runs`,
      [
        ["runs", runs.join(" and ")],
        ["expected", `from 1 to ${fewest}`],
      ],
      "add runs with --reference-run and --candidate-run",
    );
  }
}

function usage(
  what: string,
  facts: readonly (readonly [label: string, text: string])[],
  help: string,
): NpuDiffError {
  return new NpuDiffError("usage", {
    what,
    facts: facts.map(([label, text]) => ({ label, text })),
    help,
  });
}
