/** One tensor in depth as JSON, and its schema. */

import type { TensorDepth } from "../../core/depth.ts";
import { fields, list, text } from "../../core/schema.ts";
import { orderedJson, publishedSchema } from "../json.ts";
import { tensorDepth } from "./fields.ts";

/** What `npu-diff inspect REFERENCE CANDIDATE --tensor NAME` found. */
export interface DepthReport {
  readonly schemaVersion: 1;
  readonly reference: InspectedSide;
  readonly candidate: InspectedSide;
  /** The prompts, then the decode steps, of what both sides hold. */
  readonly tensors: readonly TensorDepth[];
}

export interface InspectedSide {
  readonly file: string;
}

/** Where a consumer finds the schema: a path inside the npm package. */
const DEPTH_SCHEMA_ID = "npu-diff/schema/inspect-tensor.schema.json";

const side = fields<InspectedSide>({ file: text });
const DEPTH_SCHEMA = fields<DepthReport & { $schema: string }>({
  $schema: { const: DEPTH_SCHEMA_ID },
  schemaVersion: { const: 1 },
  reference: side,
  candidate: side,
  tensors: list(tensorDepth),
});

/** The report as JSON, ending with a newline; the same report gives the same bytes. */
export function renderDepthJson(report: DepthReport): string {
  return orderedJson({ $schema: DEPTH_SCHEMA_ID, ...report }, DEPTH_SCHEMA);
}

/** The published JSON Schema of {@link renderDepthJson}, ending with a newline. */
export function renderDepthSchema(): string {
  return publishedSchema(DEPTH_SCHEMA, {
    id: DEPTH_SCHEMA_ID,
    source: "src/report/depth/schema.ts",
    title: "Result of npu-diff inspect --tensor",
  });
}
