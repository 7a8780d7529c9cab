/** The table of tensors of a comparison as CSV, for spreadsheets and data frames. */

import { type Cell, csvLine } from "../core/csv.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";

/** Columns by the path that the figure has in the JSON result. */
const COLUMNS: readonly (readonly [path: string, cell: (tensor: TensorResult) => Cell])[] = [
  ["name", ({ name }) => name],
  ["layer", ({ layer }) => layer],
  ["step", ({ step }) => step],
  ["verdict", ({ verdict }) => verdict],
  ["role", ({ role }) => role],
  ["dtype.reference", ({ dtype }) => dtype.reference],
  ["dtype.candidate", ({ dtype }) => dtype.candidate],
  ["samples", ({ samples }) => samples],
  ["rows", ({ rows }) => rows],
  ["elements", ({ elements }) => elements],
  ["relL2", ({ relL2 }) => relL2],
  ["snrDb", ({ snrDb }) => snrDb],
  ["tokenRelL2.gm", ({ tokenRelL2 }) => tokenRelL2?.gm ?? null],
  ["tokenRelL2.p50", ({ tokenRelL2 }) => tokenRelL2?.p50 ?? null],
  ["tokenRelL2.p99", ({ tokenRelL2 }) => tokenRelL2?.p99 ?? null],
  ["tokenRelL2.max", ({ tokenRelL2 }) => tokenRelL2?.max ?? null],
  ["cosine", ({ cosine }) => cosine],
  ["cosineDistance", ({ cosineDistance }) => cosineDistance],
  ["tokenCosine.mean", ({ tokenCosine }) => tokenCosine?.mean ?? null],
  ["tokenCosine.min", ({ tokenCosine }) => tokenCosine?.min ?? null],
  ["mse", ({ mse }) => mse],
  ["rmse", ({ rmse }) => rmse],
  ["meanAbs", ({ meanAbs }) => meanAbs],
  ["bias", ({ bias }) => bias],
  ["maxAbs", ({ maxAbs }) => maxAbs],
  ["normRatio", ({ normRatio }) => normRatio],
  ["slope", ({ slope }) => slope],
  ["floorRatio", ({ floorRatio }) => floorRatio],
  ["floorRatioP99", ({ floorRatioP99 }) => floorRatioP99],
  ["priorLimit", ({ priorLimit }) => priorLimit],
  ["own.gm", ({ own }) => own?.gm ?? null],
  ["own.gmOverFloor", ({ own }) => own?.gmOverFloor ?? null],
  ["nonFinite.mismatched", ({ nonFinite }) => nonFinite?.mismatched ?? null],
  ["nonFinite.saturated", ({ nonFinite }) => nonFinite?.saturated ?? null],
  ["bitsDiffering", ({ bitsDiffering }) => bitsDiffering],
];

/** A line for each tensor, in the order of the model; figures in full, empty where none could be measured. */
export function renderCsv({ tensors }: ComparisonResult): string {
  const lines = tensors.map((tensor) => COLUMNS.map(([, cell]) => cell(tensor)));
  return [COLUMNS.map(([path]) => path), ...lines].map(csvLine).join("");
}
