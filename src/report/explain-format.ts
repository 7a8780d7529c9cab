/** What `npu-diff explain` says of a number format. */

import type { NumberFormat, Overflow } from "../core/number-format.ts";
import type { Part } from "./explain-part.ts";
import { formatError } from "./format-number.ts";
import type { FormatText } from "./format-texts.ts";
import { type Language, MESSAGES } from "./messages/index.ts";

/** The expected noise of a format, as the judge works it out. */
interface Noise {
  readonly layers: number;
  readonly u: number;
  readonly depthExponent: number;
  readonly tensors: readonly {
    readonly tensor: string;
    readonly depth: number;
    readonly c: number | null;
    readonly gm: number;
    readonly limit: number;
  }[];
}

/** A number format with its expected noise; null where tensors are not stored in it. */
export type FormatEntry = { readonly kind: "dtype" } & NumberFormat & {
    readonly noiseFloor: Noise | null;
    readonly en: FormatText;
    readonly zh: FormatText;
  };

/** The parts of the explanation, in their order. */
export function formatParts(entry: FormatEntry, lang: Language): readonly Part[] {
  const { format: m, cause } = MESSAGES[lang];
  const { noiseFloor } = entry;
  return [
    ...factParts(entry, lang),
    [m.noise, noiseFloor === null ? [m.operandsOnly] : noiseTexts(noiseFloor, lang)],
    ...(noiseFloor === null ? [] : [[m.formula, [formula(noiseFloor), m.measured]] as const]),
    [cause.usual, entry[lang].usual],
    [m.source, [entry.source]],
    ...(entry.dtype === null ? [] : [[m.dumpName, [entry.dtype]] as const]),
  ];
}

/** What the bits of a format can hold. */
export function factParts(format: NumberFormat, lang: Language): readonly Part[] {
  const { format: m } = MESSAGES[lang];
  const { minSubnormal, overflow, unitRoundoff } = format;
  const subnormal = minSubnormal === null ? m.unspecified : short(minSubnormal);
  return [
    [m.bits, [m.layout(format.exponentBits, format.mantissaBits)]],
    [m.range, [m.extremes(short(format.maxFinite), short(format.minNormal), subnormal)]],
    [m.rounding, [m.relative(Math.log2(unitRoundoff), share(unitRoundoff), format.decimalDigits)]],
    [m.overflow, [overflow === null ? m.unspecified : leaving(overflow, lang)]],
  ];
}

function leaving({ from, inclusive, to }: Overflow, lang: Language): string {
  const { format: m } = MESSAGES[lang];
  return from === null ? m.beyond : m.leaves(short(from), inclusive, to);
}

function noiseTexts({ layers, tensors }: Noise, lang: Language): readonly string[] {
  const { format: m } = MESSAGES[lang];
  return [
    m.noiseOf(layers),
    ...tensors.map(({ tensor, gm, limit }) =>
      m.expected(tensor, formatError(gm), formatError(limit)),
    ),
  ];
}

function formula({ u, depthExponent, tensors }: Noise): string {
  const factors = tensors.flatMap(({ tensor, c }) => (c === null ? [] : [`${c} (${tensor})`]));
  return `c u (l+1)^${depthExponent}, u = 2^${Math.log2(u)}, c = ${[...new Set(factors)].join(", ")}`;
}

/** Whole numbers below a million as they are, others with four digits. */
function short(value: number): string {
  return Number.isInteger(value) && value < 1e6 ? String(value) : value.toExponential(3);
}

function share(value: number): string {
  return value >= 1e-4 ? `${Number((100 * value).toPrecision(2))} %` : value.toExponential(1);
}
