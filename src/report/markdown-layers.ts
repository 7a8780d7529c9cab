/** The table of layers that a model card quotes: the residual stream after each, and the verdict on the layer. */

import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { CARD_MESSAGES } from "./card/messages.ts";
import {
  formatCosine,
  formatCount,
  formatError,
  formatPlain,
  formatRatio,
} from "./format-number.ts";
import { decisive, plainEvidence } from "./layer-rows.ts";
import { folded, markdownTable, NO_SIDE } from "./markdown-parts.ts";
import { type Language, MESSAGES, type Messages } from "./messages/index.ts";

/** Layers that the table holds; the deepest models that are published have 126. */
const SHOWN = 160;

/** The table of each step group, folded; empty where no layer's output was compared. */
export function layerSection(
  result: ComparisonResult,
  lang: Language,
): readonly (readonly string[])[] {
  const m = MESSAGES[lang];
  const outputs = result.tensors.filter(isOutput);
  const steps = [...new Set(outputs.map(({ step }) => step))];
  return steps.flatMap((step) => {
    const tensors = result.tensors.filter((tensor) => tensor.step === step);
    const stream = tensors.filter((tensor) => isOutput(tensor) || isEnd(tensor));
    const title = steps.length > 1 ? m.group.of(m.step[step], m.card.layers) : m.card.layers;
    const more = Math.max(0, stream.length - SHOWN);
    const failing = stream.filter((one) => worstOf(one, tensors).verdict === "fail").length;
    return folded(CARD_MESSAGES[lang].rows(title, formatCount(stream.length), failing), [
      layerTable(stream.slice(0, SHOWN), tensors, result, m),
      ...(more === 0 ? [] : [[`- ${m.moreRows(more)}`]]),
    ]);
  });
}

function isOutput({ name, layer }: TensorResult): boolean {
  return layer !== null && name === `layers.${layer}`;
}

function isEnd({ name }: TensorResult): boolean {
  return name === "embed" || name === "norm";
}

function layerTable(
  stream: readonly TensorResult[],
  tensors: readonly TensorResult[],
  result: ComparisonResult,
  m: Messages,
): readonly string[] {
  const evidence = plainEvidence(result);
  const head = m.card.layerColumns;
  const row = (tensor: TensorResult): readonly string[] => {
    const lacking = m.card.notMeasured(m.reasons[reasonAgainst(tensor, result)] ?? "");
    const cell = (value: number | null | undefined, format: (value: number) => string): string =>
      value == null ? lacking : format(value);
    return [
      tensor.layer === null ? tensor.name : formatCount(tensor.layer),
      cell(tensor.tokenCosine?.mean, formatCosine),
      cell(tensor.tokenCosine?.min, formatCosine),
      cell(tensor.mse, formatPlain),
      cell(tensor.maxAbs, formatPlain),
      cell(tensor.relL2, formatError),
      tensor.relL2 === null ? lacking : sizeCell(tensor, evidence, m),
      verdictCell(tensor, tensors, m),
    ];
  };
  return markdownTable([
    [
      head.layer,
      head.cosineMean,
      head.cosineMin,
      head.mse,
      head.maxAbs,
      head.relL2,
      head[evidence],
      head.verdict,
    ],
    ...stream.map(row),
  ]);
}

/** Why a tensor that was compared has no figures. */
function reasonAgainst(
  { name, step, statsFigures }: TensorResult,
  result: ComparisonResult,
): string {
  if (statsFigures !== null) return "reduced";
  const isShape = result.findings.some(
    (finding) =>
      finding.rule === "structure/shape" && finding.tensor === name && finding.step === step,
  );
  return isShape ? "shapes" : "no-finite-pair";
}

/** Multiples of what decided; no prior applies to what fails before it is asked. */
function sizeCell(
  tensor: TensorResult,
  evidence: ReturnType<typeof plainEvidence>,
  m: Messages,
): string {
  const value = decisive(tensor, evidence);
  if (value !== null) return evidence === "exact" ? formatCount(value) : formatRatio(value);
  return evidence === "floor" ? m.card.notMeasured(m.reasons["floor-lacks-rows"] ?? "") : NO_SIDE;
}

/** The worst of the layer's tensors, which is its origin where it has one. */
function worstOf(output: TensorResult, tensors: readonly TensorResult[]): TensorResult {
  const of =
    output.layer === null ? [output] : tensors.filter(({ layer }) => layer === output.layer);
  return (
    of.find(({ role }) => role === "origin") ??
    of.find(({ verdict }) => verdict === "fail") ??
    of.find(({ verdict }) => verdict === "inconclusive") ??
    output
  );
}

/** The verdict on that, and what it is to the error. */
function verdictCell(output: TensorResult, tensors: readonly TensorResult[], m: Messages): string {
  const worst = worstOf(output, tensors);
  const word = m.tensorVerdict[worst.verdict];
  const text = worst.role === null ? word : `${word}${m.quality.separator}${m.role[worst.role]}`;
  return worst.verdict === "pass" ? text : `**${text}**`;
}
