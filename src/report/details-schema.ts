/** The JSON form of what only some reports draw. */

import type * as D from "../core/details.ts";
import {
  count,
  fields,
  flag,
  list,
  nullable,
  number,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import { tensorDepth } from "./depth/fields.ts";

const likely = list(
  fields<D.LikelyToken>({ id: count, text: nullable(text), probability: number }),
);
const position = fields<D.LogitPosition>({
  sample: count,
  step: count,
  token: count,
  context: nullable(list(text)),
  kl: number,
  agrees: flag,
  margin: number,
  nearTie: flag,
  reference: likely,
  candidate: likely,
});

export const details: SchemaOf<D.ResultDetails> = fields<D.ResultDetails>({
  tokenErrors: nullable(
    fields<D.TokenErrors>({
      sample: count,
      tokens: count,
      bins: list(fields<D.TokenBin>({ from: count, to: count, text: nullable(text) })),
      rows: list(fields<D.TokenErrorRow>({ tensor: text, relL2: list(nullable(number)) })),
    }),
  ),
  tensors: list(tensorDepth),
  positions: list(position),
});
