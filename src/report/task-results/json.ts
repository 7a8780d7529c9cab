/** The result of `npu-diff eval` as JSON, and its published schema. */

import {
  count,
  fields,
  list,
  nullable,
  number,
  oneOf,
  type Schema,
  text,
} from "../../core/schema.ts";
import type * as T from "../../core/task-results.ts";
import { orderedJson, publishedSchema } from "../json.ts";
import { interval, verdict } from "../schema-parts.ts";

/** Where a consumer finds the schema: a path inside the npm package. */
const TASK_SCHEMA_ID = "npu-diff/schema/task-results.schema.json";

const intervalMethod = oneOf<T.IntervalMethod>(
  "wilson",
  "tango",
  "student-t",
  "wilson-less-baseline",
);
const testMethod = oneOf<T.TestMethod>(
  "mcnemar-exact",
  "binomial-exact",
  "sign-flip-exact",
  "sign-flip-sampled",
  "student-t",
);
const run = { accuracy: number, correct: nullable(count) };
const side = fields<T.TaskSideFigures>({
  ...run,
  ci95: interval,
  interval: intervalMethod,
  runs: list(fields<T.TaskRunFigures>(run)),
});
const figures = {
  items: count,
  groups: nullable(count),
  reference: nullable(side),
  candidate: side,
  difference: fields<T.TaskDifference>({
    value: number,
    ci95: interval,
    simultaneous: interval,
    interval: intervalMethod,
  }),
  flips: nullable(fields<NonNullable<T.TaskFigures["flips"]>>({ lost: count, gained: count })),
  test: fields<T.TaskFigures["test"]>({ method: testMethod, p: number }),
  verdict,
  itemsNeeded: nullable(count),
};
const task = fields<T.TaskResult>({
  task: text,
  metric: text,
  filter: nullable(text),
  otherFilters: list(text),
  version: nullable(text),
  flipped: nullable(
    fields<NonNullable<T.TaskResult["flipped"]>>({ lost: list(text), gained: list(text) }),
  ),
  ...figures,
});
const inputs = list(list(fields<T.TaskInput>({ file: text, bytes: count, sha256: text })));

interface Envelope {
  readonly $schema: typeof TASK_SCHEMA_ID;
}

const TASK_SCHEMA: Schema = fields<Envelope & T.TaskResultsComparison>({
  $schema: { const: TASK_SCHEMA_ID },
  schemaVersion: { const: 1 },
  verdict,
  decide: oneOf<T.TaskResultsComparison["decide"]>("interval", "point"),
  maxDrop: number,
  limitFrom: oneOf<T.TaskResultsComparison["limitFrom"]>("method", "flag"),
  baseline: nullable(number),
  passAt: count,
  pooled: fields<T.TaskResultsComparison["pooled"]>(figures),
  tasks: list(task),
  inputs: fields<T.TaskResultsComparison["inputs"]>({
    reference: inputs,
    candidate: inputs,
  }),
});

/** The result as JSON, ending with a newline; the same result gives the same bytes. */
export function renderTaskJson(result: T.TaskResultsComparison): string {
  return orderedJson({ $schema: TASK_SCHEMA_ID, ...result }, TASK_SCHEMA);
}

/** The published JSON Schema of {@link renderTaskJson}, ending with a newline. */
export function renderTaskSchema(): string {
  return publishedSchema(TASK_SCHEMA, {
    id: TASK_SCHEMA_ID,
    source: "src/report/task-results/json.ts",
    title: "Result of npu-diff eval",
  });
}
