/** What the candidate's number format can hold, and the noise that it alone brings at the model's depth. */

import { escapeMarkdown } from "../../core/escape.ts";
import { FORMATS, isFormatId, type NumberFormat } from "../../core/number-format.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { expectedNoise } from "../../judge/noise.ts";
import { factParts } from "../explain-format.ts";
import { formatCount, formatError } from "../format-number.ts";
import { dtypeOf, modelOf } from "../input-label.ts";
import { markdownTable } from "../markdown-parts.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { CARD_MESSAGES } from "./messages.ts";

/** As deep as `npu-diff explain` goes: a dump may say anything. */
const MOST_LAYERS = 100_000;

/** Empty where the dump names no format of which there is a theory. */
export function numberFormatSections(
  result: ComparisonResult,
  lang: Language,
): readonly (readonly string[])[] {
  const dtype = dtypeOf(result.inputs.candidate);
  const format = formatOf(dtype);
  if (dtype === null || format === null) return [];
  const { format: f } = CARD_MESSAGES[lang];
  return [
    [`#### ${f.title(escapeMarkdown(dtype))}`],
    markdownTable([
      [f.property, f.value],
      ...factParts(format, lang).map(([label, texts]) => [label, texts.join(" ")]),
    ]),
    ...noiseSections(result, format, lang),
  ];
}

function formatOf(dtype: string | null): NumberFormat | null {
  const id = `dtype/${dtype?.toLowerCase() ?? ""}`;
  return isFormatId(id) ? FORMATS[id] : null;
}

function noiseSections(
  result: ComparisonResult,
  { u }: NumberFormat,
  lang: Language,
): readonly (readonly string[])[] {
  if (u === null) return [];
  const { format: f } = CARD_MESSAGES[lang];
  const { card } = MESSAGES[lang];
  const { layers } = modelOf(result);
  if (layers === null || !Number.isInteger(layers) || layers < 1 || layers > MOST_LAYERS) {
    return [[f.noLayers]];
  }
  const figures = new Map(
    result.tensors
      .filter(({ step }) => step === "prefill")
      .map(({ name, tokenRelL2 }) => [name, tokenRelL2?.gm ?? null]),
  );
  const measured = (tensor: string): string => {
    const gm = figures.get(tensor);
    if (gm != null) return formatError(gm);
    return card.notMeasured(gm === undefined && result.stopped ? card.notReached : f.notCompared);
  };
  const reference = dtypeOf(result.inputs.reference);
  const referenceU = formatOf(reference)?.u ?? null;
  return [
    [f.noise(formatCount(layers))],
    markdownTable([
      [f.tensor, f.expected, f.allowed, f.measured],
      ...expectedNoise(u, layers).tensors.map(({ tensor, gm, limit }) => [
        tensor,
        formatError(gm),
        formatError(limit),
        measured(tensor),
      ]),
    ]),
    ...(reference !== null && referenceU !== null && referenceU >= u
      ? [[f.bothRound(escapeMarkdown(reference))]]
      : []),
  ];
}
