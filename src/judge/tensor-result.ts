/** A tensor as it stands in the result. */

import type { TensorResult } from "../core/tensor-result.ts";
import type { Role } from "../core/verdict.ts";
import type { JudgedUnit } from "./judge-tensor.ts";

/** The judged unit as the result shows it; `role` is what the diagnosis made of it. */
export function tensorResult(
  { measured: { unit, measurement, statistics }, judgement }: JudgedUnit,
  role: Role | null,
): TensorResult {
  const figures = measurement?.figures ?? null;
  const { floor } = judgement;
  const [first] = unit.pairs;
  if (first === undefined) throw new RangeError(`${unit.name} was aligned without pairs`);
  return {
    name: unit.name,
    layer: unit.layer,
    step: unit.group,
    verdict: judgement.verdict,
    role,
    dtype: { reference: first.reference.dtype, candidate: first.candidate.dtype },
    samples: unit.pairs.length,
    rows: figures?.rows ?? 0,
    elements: figures?.elements ?? 0,
    relL2: figures?.relL2 ?? null,
    snrDb: figures?.snrDb ?? null,
    tokenRelL2: figures?.tokenRelL2 ?? null,
    cosine: figures?.cosine ?? null,
    cosineDistance: figures?.cosineDistance ?? null,
    tokenCosine: figures?.tokenCosine ?? null,
    mse: figures?.mse ?? null,
    rmse: figures?.rmse ?? null,
    meanAbs: figures?.meanAbs ?? null,
    bias: figures?.bias ?? null,
    maxAbs: figures?.maxAbs ?? null,
    maxAbsAt: figures?.maxAbsAt ?? null,
    normRatio: figures?.normRatio ?? statistics?.figures.normRatio ?? null,
    slope: figures?.slope ?? null,
    floorRatio: floor?.floorRatio ?? null,
    floorRatioP99: floor?.floorRatioP99 ?? null,
    floor,
    priorLimit: judgement.priorLimit,
    own: judgement.own.figures,
    nonFinite: measurement?.nonFinite ?? null,
    bitsDiffering: measurement?.bitsDiffering ?? null,
    statsFigures: statistics?.figures ?? null,
  };
}
