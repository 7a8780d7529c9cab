/** The result of a check as JSON, for machines. */

import type * as C from "../../core/check-result.ts";
import type { ErrorFact } from "../../core/errors.ts";
import type { ComparisonResult } from "../../core/result.ts";
import {
  fields,
  list,
  nullable,
  oneOf,
  type Schema,
  type SchemaOf,
  text,
} from "../../core/schema.ts";
import { orderedJson, publishedSchema } from "../json.ts";
import { RESULT_SCHEMA, RESULT_SCHEMA_ID } from "../result-schema.ts";

/** Where a consumer finds the schema: a path inside the npm package. */
export const CHECK_SCHEMA_ID = "npu-diff/schema/check.schema.json";

const verdict = oneOf<C.CheckVerdict>("pass", "fail", "inconclusive", "error");

const error = fields<C.PairError>({
  code: text as SchemaOf<C.PairError["code"]>,
  what: text,
  facts: list(fields<ErrorFact>({ label: text, text })),
  help: text,
});

/** The schema of a check whose results are held to `result`. */
function schemaWith(result: SchemaOf<ComparisonResult>): Schema {
  return fields<C.CheckResult & { readonly $schema: typeof CHECK_SCHEMA_ID }>({
    $schema: { const: CHECK_SCHEMA_ID },
    schemaVersion: { const: 1 },
    verdict,
    config: text,
    baseline: nullable(
      fields<C.BaselineState>({
        file: text,
        state: oneOf<C.BaselineState["state"]>("compared", "written", "not-written", "missing"),
      }),
    ),
    pairs: list(
      fields<C.PairOutcome>({
        name: text,
        verdict,
        result: nullable(result),
        error: nullable(error),
      }),
    ),
  });
}

/** The form of what {@link renderCheckJson} writes. */
export const CHECK_SCHEMA: Schema = schemaWith(RESULT_SCHEMA);

/**
 * The result as JSON, ending with a newline: as the report of a single comparison, and
 * each pair's `result` is one.
 */
export function renderCheckJson(check: C.CheckResult): string {
  const pairs = check.pairs.map((pair) => ({
    ...pair,
    result: pair.result === null ? null : { $schema: RESULT_SCHEMA_ID, ...pair.result },
  }));
  return orderedJson({ $schema: CHECK_SCHEMA_ID, ...check, pairs }, CHECK_SCHEMA);
}

/** The published JSON Schema of {@link renderCheckJson}, ending with a newline. */
export function renderCheckSchema(): string {
  return publishedSchema(schemaWith({ $ref: "result.schema.json" }), {
    id: CHECK_SCHEMA_ID,
    source: "src/report/check/json.ts",
    title: "Result of npu-diff check",
  });
}
