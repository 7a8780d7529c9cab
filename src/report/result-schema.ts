/**
 * The JSON form of a comparison: one definition, from which the published JSON
 * Schema is generated and by whose order of keys the JSON renderer writes. A
 * field of the result that is missing here does not compile.
 */

import type { AppliedRule, Finding, RuleLevel } from "../core/findings.ts";
import type { CauseResult, GroupResult, Origin, Systematic } from "../core/groups.ts";
import type { EnvironmentDifference, InputSummary } from "../core/inputs.ts";
import type { ComparisonResult } from "../core/result.ts";
import {
  anything,
  count,
  fields,
  flag,
  list,
  nullable,
  number,
  oneOf,
  type Schema,
  text,
} from "../core/schema.ts";
import { details } from "./details-schema.ts";
import { lens } from "./lens-schema.ts";
import { performance } from "./performance-schema.ts";
import { quality } from "./quality-schema.ts";
import { anySample, detail, layer, record, role, source, step, verdict } from "./schema-parts.ts";
import { tensor } from "./tensor-schema.ts";

const finding = fields<Finding>({
  rule: text,
  level: oneOf<RuleLevel>("error", "warning", "info"),
  tensor: nullable(text),
  step: nullable(step),
  sample: nullable(anySample),
  role: nullable(role),
  value: nullable(number),
  limit: nullable(number),
  limitFrom: nullable(source),
  detail,
});

const appliedRule = fields<AppliedRule>({
  rule: text,
  step: nullable(step),
  applied: flag,
  limit: nullable(number),
  limitFrom: nullable(source),
  decide: nullable(oneOf<NonNullable<AppliedRule["decide"]>>("interval", "point")),
  reason: nullable(text),
});

const input = fields<InputSummary>({
  file: text,
  bytes: count,
  tokensSha256: nullable(text),
  run: record,
  repaired: flag,
});

const located = fields<Origin>({
  tensor: text,
  layer,
  step,
  causes: list(fields<CauseResult>({ id: text, confidence: number, evidence: text, detail })),
});
const origin = nullable(located);

const names = fields<ComparisonResult["missing"]>({
  reference: list(text),
  candidate: list(text),
});

/** What the JSON report holds beside the result itself. */
interface Envelope {
  readonly $schema: typeof RESULT_SCHEMA_ID;
}

/** Where a consumer finds the schema: a path inside the npm package. */
export const RESULT_SCHEMA_ID = "npu-diff/schema/result.schema.json";

export const RESULT_SCHEMA: Schema = fields<Envelope & ComparisonResult>({
  $schema: { const: RESULT_SCHEMA_ID },
  schemaVersion: { const: 1 },
  verdict,
  origin,
  findings: list(finding),
  quality,
  tensors: list(tensor),
  notCaptured: names,
  missing: names,
  inputs: fields<ComparisonResult["inputs"]>({
    reference: input,
    candidate: input,
    floors: list(input),
    forced: list(input),
  }),
  tokens: fields<ComparisonResult["tokens"]>({ samples: count, tokens: count }),
  environment: fields<ComparisonResult["environment"]>({
    differences: list(
      fields<EnvironmentDifference>({ key: text, reference: anything, candidate: anything }),
    ),
  }),
  lens: nullable(lens),
  performance,
  evidence: oneOf<ComparisonResult["evidence"]>("forced", "floor", "prior", "exact"),
  preset: oneOf<ComparisonResult["preset"]>("exact", "f64", "f32", "f16", "bf16", "fp8"),
  groups: list(
    fields<GroupResult>({
      step,
      verdict,
      origin,
      throughCache: flag,
      independent: list(located),
      systematic: nullable(fields<Systematic>({ role: text, faulty: count, places: count })),
    }),
  ),
  isolated: flag,
  rules: list(appliedRule),
  stopped: flag,
  details: nullable(details),
});
