/** The JSON form of one tensor in depth. */

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
import { layer, step } from "../schema-parts.ts";

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
