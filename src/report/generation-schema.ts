/** The JSON form of what the two sides wrote. */

import type {
  DeterminismResult,
  RepeatComparison,
  RepeatDifference,
  RepeatTensorDifference,
  SideDeterminism,
} from "../core/determinism.ts";
import type {
  ChoiceGap,
  Continuation,
  DivergenceMargin,
  DivergenceSide,
  Excerpt,
  GeneratedToken,
  GenerationResult,
  KeywordResult,
  KeywordTotals,
  SampleTexts,
  TextDivergence,
} from "../core/generation.ts";
import {
  count,
  fields,
  flag,
  list,
  nullable,
  number,
  oneOf,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import { interval } from "./schema-parts.ts";

const side = oneOf<"reference" | "candidate">("reference", "candidate");
const excerpt = fields<Excerpt>({ text, omitted: count });
/** A file may hold any integer as an id. */
const anyId: SchemaOf<number> = { type: "integer" };
const token = nullable(fields<GeneratedToken>({ id: anyId, text: nullable(text) }));
const gap = nullable(fields<ChoiceGap>({ nats: number, atLeast: flag }));

const continuation = nullable(
  fields<Continuation>({
    tokens: nullable(count),
    characters: nullable(count),
    text: nullable(excerpt),
    firstToken: token,
  }),
);

const divergenceSide = fields<DivergenceSide>({ token, ended: flag, text: nullable(excerpt) });

const margin = fields<DivergenceMargin>({
  reference: gap,
  candidate: gap,
  z: nullable(number),
  sigmaFrom: nullable(
    oneOf<NonNullable<DivergenceMargin["sigmaFrom"]>>("floor", "candidate", "lists"),
  ),
  nearTie: nullable(flag),
  reason: nullable(text),
});

const divergence = nullable(
  fields<TextDivergence>({
    token: nullable(count),
    character: nullable(count),
    shared: nullable(excerpt),
    reference: divergenceSide,
    candidate: divergenceSide,
    margin,
  }),
);

const sampleTexts = fields<SampleTexts>({
  sample: count,
  prompt: nullable(excerpt),
  reference: continuation,
  candidate: continuation,
  firstTokenAgrees: nullable(flag),
  identical: nullable(flag),
  divergence,
  keywords: list(
    fields<KeywordResult>({
      keyword: excerpt,
      reference: nullable(flag),
      candidate: nullable(flag),
    }),
  ),
  keywordsOmitted: count,
});

const repeatTensors = fields<RepeatComparison["tensors"]>({
  compared: count,
  identical: count,
  largest: nullable(
    fields<RepeatTensorDifference>({
      tensor: text,
      sample: count,
      step: count,
      repeat: count,
      against: count,
      index: list(count),
      maxAbs: number,
    }),
  ),
});
const compared = {
  comparisons: count,
  samples: count,
  identical: count,
  share: nullable(number),
  ci95: interval,
  tensors: repeatTensors,
};
const repeatComparison = nullable(fields<RepeatComparison>(compared));
const sideDeterminism = nullable(
  fields<SideDeterminism>({
    repeats: count,
    ...compared,
    runToRun: repeatComparison,
    batch: repeatComparison,
    firstDifference: nullable(
      fields<RepeatDifference>({
        sample: count,
        repeat: count,
        against: count,
        token: nullable(count),
        expected: token,
        found: token,
        margin,
      }),
    ),
  }),
);

export const determinism = nullable(
  fields<DeterminismResult>({ reference: sideDeterminism, candidate: sideDeterminism }),
);

export const generation = nullable(
  fields<GenerationResult>({
    samples: count,
    exact: count,
    firstDivergence: nullable(
      fields<NonNullable<GenerationResult["firstDivergence"]>>({
        mean: number,
        p50: number,
        min: number,
      }),
    ),
    byText: count,
    sampled: list(side),
    only: fields<GenerationResult["only"]>({ reference: count, candidate: count }),
    divergences: fields<GenerationResult["divergences"]>({
      nearTies: count,
      real: count,
      unknown: count,
    }),
    keywords: nullable(
      fields<KeywordTotals>({
        keywords: count,
        reference: count,
        candidate: count,
        lost: count,
        open: count,
        firstLost: nullable(count),
        firstOpen: nullable(count),
      }),
    ),
    listed: list(sampleTexts),
    omitted: count,
  }),
);
