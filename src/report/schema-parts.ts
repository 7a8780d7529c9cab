/** Parts of the JSON form of a comparison that several of its fields have. */

import type { DType } from "../core/dtype.ts";
import type { Finding, LimitSource } from "../core/findings.ts";
import type { ElementAt, TokenAt } from "../core/places.ts";
import type { ClusteredMean } from "../core/quality.ts";
import {
  count,
  fields,
  list,
  nullable,
  number,
  oneOf,
  pair,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import type { NonFinite } from "../core/tensor-result.ts";
import type { Role, StepGroup, Verdict } from "../core/verdict.ts";

export const record: SchemaOf<Readonly<Record<string, unknown>>> = { type: "object" };
export const step = oneOf<StepGroup>("prefill", "decode");
export const role = oneOf<Role>("origin", "inherited", "independent", "part", "carried");
export const verdict = oneOf<Verdict>("pass", "fail", "inconclusive");
export const source = oneOf<LimitSource>(
  "method",
  "floor",
  "prior",
  "flag",
  "config",
  "baseline",
  "preset",
  "structure",
);
export const interval = nullable(pair(number));
export const layer = nullable(count);
export const dtype = oneOf<DType>(
  "F64",
  "F32",
  "F16",
  "BF16",
  "F8_E4M3",
  "F8_E5M2",
  "I64",
  "I32",
  "I16",
  "I8",
  "U8",
  "BOOL",
);
/** Metadata of the whole run have sample -1. */
export const anySample: SchemaOf<number> = { type: "integer", minimum: -1 };
export const detail: SchemaOf<Finding["detail"]> = {
  type: "object",
  additionalProperties: { anyOf: [text, { type: "number" }] },
};

export const tokenAt = nullable(fields<TokenAt>({ sample: count, step: count, token: count }));
export const elementAt = nullable(
  fields<ElementAt>({
    sample: count,
    step: count,
    index: list(count),
    reference: number,
    candidate: number,
  }),
);
/** The fields of a clustered mean, which some figures begin with. */
export const CLUSTERED = { mean: number, se: nullable(number), ci95: interval, clusters: count };
export const clusteredMean = fields<ClusteredMean>(CLUSTERED);
export const kinds = fields<NonFinite["reference"]>({ nan: count, posInf: count, negInf: count });
