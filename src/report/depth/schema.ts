/** One tensor in depth as JSON, and its schema. */

import type * as D from "../../core/depth.ts";
import type { FloatDType } from "../../core/dtype.ts";
import {
  count,
  fields,
  list,
  nullable,
  number,
  oneOf,
  type SchemaOf,
  text,
} from "../../core/schema.ts";
import { orderedJson, publishedSchema } from "../json.ts";
import { layer, step } from "../schema-parts.ts";

/** What `npu-diff inspect REFERENCE CANDIDATE --tensor NAME` found. */
export interface DepthReport {
  readonly schemaVersion: 1;
  readonly reference: InspectedSide;
  readonly candidate: InspectedSide;
  /** The prompts, then the decode steps, of what both sides hold. */
  readonly tensors: readonly D.TensorDepth[];
}

export interface InspectedSide {
  readonly file: string;
}

/** Where a consumer finds the schema: a path inside the npm package. */
const DEPTH_SCHEMA_ID = "npu-diff/schema/inspect-tensor.schema.json";

const floatDType = oneOf<FloatDType>("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2");
const part = { relL2: number, mismatched: count };
const token = { sample: count, step: count, token: count, text: nullable(text) };

export const tensorDepth: SchemaOf<D.TensorDepth> = fields<D.TensorDepth>({
  tensor: text,
  layer,
  step,
  dtypes: fields<D.TensorDepth["dtypes"]>({
    reference: list(floatDType),
    candidate: list(floatDType),
  }),
  samples: count,
  rows: count,
  width: count,
  relL2: number,
  maxAbs: nullable(number),
  ulp: fields<D.UlpHistogram>({
    buckets: list(fields<D.UlpHistogram["buckets"][number]>({ upTo: number, elements: count })),
    beyond: count,
    nonFinite: count,
    max: nullable(number),
  }),
  elements: list(
    fields<D.WorstElement>({
      ...token,
      index: list(count),
      reference: number,
      candidate: number,
      d: number,
      ulp: number,
    }),
  ),
  tokens: list(fields<D.WorstToken>({ ...token, ...part, cosine: number })),
  channels: nullable(list(fields<D.WorstChannel>({ channel: count, share: number, ...part }))),
  heads: nullable(list(fields<D.HeadError>({ head: count, share: number, ...part }))),
  noHeads: nullable(oneOf<D.NoHeads>("metadata", "name", "width")),
});

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
