/** Task results as JUnit XML: a test for all tasks together, and one for each. */

import type { TaskJudgement, TaskResult, TaskResultsComparison } from "../../core/task-results.ts";
import { RULES } from "../../judge/rules.ts";
import { formatCount } from "../format-number.ts";
import { type Outcome, renderTestSuites, type TestCase } from "../junit-xml.ts";
import { evidence, headline } from "./conclusion.ts";
import { formatPercent, formatPoints } from "./format-points.ts";
import { TASK_MESSAGES } from "./messages.ts";

const M = TASK_MESSAGES.en;

/**
 * A drop beyond the limit is a failure, items that do not decide are an error. One task
 * of several that does not decide by itself is skipped: they are judged together.
 */
export function renderTaskJunit(result: TaskResultsComparison): string {
  const { tasks } = result;
  const line = headline(result, M);
  const body = evidence(result, M);
  const outcome: Outcome = {
    pass: { kind: "passed" as const },
    fail: { kind: "failure" as const, type: "task/drop", message: line, body },
    inconclusive: {
      kind: "error" as const,
      type: "task/undecided",
      message: `inconclusive: ${line}`,
      body,
    },
  }[result.verdict];
  const verdict: TestCase = {
    classname: "verdict",
    name: "verdict",
    outcome,
    ...(outcome.kind === "passed" ? { output: [line, ...body] } : {}),
  };
  return renderTestSuites("npu-diff eval", [
    { name: "verdict", cases: [verdict] },
    { name: "tasks", cases: tasks.length < 2 ? [] : tasks.map(taskCase) },
  ]);
}

function taskCase(task: TaskResult): TestCase {
  const { metric, filter, items, candidate, difference } = task;
  const figures = [
    `${formatPercent(candidate.accuracy)} %, ${M.points(formatPoints(difference.value))}`,
    `${M.labels.items}: ${formatCount(items)}`,
  ].join("; ");
  return {
    classname: "tasks",
    name: [task.task, metric, filter].filter((part) => part !== null && part !== "").join(", "),
    outcome: outcomeOf(task, figures),
    ...(task.verdict === "pass" ? { output: [figures] } : {}),
  };
}

function outcomeOf({ verdict }: TaskJudgement, figures: string): Outcome {
  if (verdict === "pass") return { kind: "passed" };
  const id = verdict === "fail" ? "task/drop" : "task/undecided";
  const kind = verdict === "fail" ? "failure" : "skipped";
  return { kind, type: id, message: `${RULES[id].en.message}: ${figures}` };
}
