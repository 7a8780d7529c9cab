/** What the text and the Markdown of performance share: figures, conditions, and their words. */

import { escapeText } from "../../core/escape.ts";
import type {
  PerformanceMetric,
  PerformanceMetricName,
  PerformanceResult,
  PerformanceSide,
  PerformanceSweepPoint,
  PerformanceUnit,
} from "../../core/performance.ts";
import { formatPlain } from "../format-number.ts";
import type { PerformanceMessages } from "./messages.ts";

export type SideName = "reference" | "candidate";

/** Characters of a text out of a file. */
const LENGTH = 60;

/** The sides that were measured, in order. */
export function measuredSides(performance: PerformanceResult): readonly SideName[] {
  return (["reference", "candidate"] as const).filter((side) => performance[side] !== null);
}

/** Four significant digits without trailing zeros, one decimal from a thousand on; bytes with their unit. */
export function formatFigure(value: number, unit: PerformanceUnit): string {
  if (!Number.isFinite(value)) return String(value);
  if (unit === "bytes") return bytesText(value);
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(3);
  if (size >= 1000) return value.toFixed(unit === "tokens" || unit === "requests" ? 0 : 1);
  return size === 0 || size >= 1e-4 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Three significant digits or more, in decimal units: a model of 1.72 GB differs from one of 1.65. */
function bytesText(bytes: number): string {
  const power = Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${BYTE_UNITS[power] ?? ""}`;
}

export function formatSpeedUp(value: number): string {
  return value < 9.95 ? `${value.toFixed(1)}x` : `${value.toFixed(0)}x`;
}

/** Units that the name of a metric does not say already. */
const UNITS: Readonly<Record<PerformanceUnit, string>> = {
  ms: "ms",
  s: "s",
  tokens: "",
  requests: "",
  "tokens/s": "",
  "requests/s": "",
  bytes: "",
};

/** Which way is better, as model cards have it. */
const ARROWS = { lower: " ↓", higher: " ↑" } as const;
const ASCII_ARROWS = { lower: " v", higher: " ^" } as const;

/** The name of a metric with its unit, and with an arrow that says which way is better. */
export function metricLabel(
  { metric, unit, better }: Pick<PerformanceMetric, "metric" | "unit" | "better">,
  m: PerformanceMessages,
  ascii = false,
): string {
  const shown = UNITS[unit];
  const name = shown === "" ? m.metric[metric] : `${m.metric[metric]}, ${shown}`;
  return better === null ? name : name + (ascii ? ASCII_ARROWS : ARROWS)[better];
}

/** The mean or the scalar of a side; null where it has none. */
export function valueCell(
  row: Pick<PerformanceMetric, "unit" | SideName>,
  side: SideName,
  m: PerformanceMessages,
): string | null {
  const figures = row[side];
  if (figures === null) return null;
  return Number.isNaN(figures.value) ? m.undefined : formatFigure(figures.value, row.unit);
}

export function ratioCell(ratio: number | null): string {
  return ratio === null ? "-" : formatPlain(ratio);
}

/** A metric of a sweep point; undefined where neither side has it. */
export function metricAt(
  { metrics }: PerformanceSweepPoint,
  metric: PerformanceMetricName,
): PerformanceMetric | undefined {
  return metrics.find((one) => one.metric === metric);
}

/** How a side was measured, in words. */
export function conditionTexts(side: PerformanceSide, m: PerformanceMessages): readonly string[] {
  const { engine, point, warmup, requestRate, failed, completed } = side;
  const { batch, inputTokens, outputTokens, requests, concurrency } = point;
  const say = (value: number | null, text: (shown: string) => string): readonly string[] =>
    value === null ? [] : [text(formatFigure(value, "tokens"))];
  const tokens =
    inputTokens === null && outputTokens === null
      ? []
      : [m.tokens(amountText(inputTokens), amountText(outputTokens))];
  return [
    ...(engine === null ? [] : [escapeText(engine, LENGTH)]),
    ...say(batch, m.batch),
    ...tokens,
    ...say(requests, m.requests),
    ...say(concurrency, m.concurrency),
    ...say(requestRate, m.rate),
    ...say(warmup, m.warmup),
    ...(side.ignoreEos === true ? [m.ignoresEos] : []),
    ...(failed === null || failed === 0
      ? []
      : [...say(completed, m.completed), ...say(failed, m.failed)]),
  ];
}

export function amountText(value: number | null): string {
  return value === null ? "?" : formatFigure(value, "tokens");
}

/** The conditions that differ, each with both values. */
export function differenceText(
  { differences }: PerformanceResult,
  m: PerformanceMessages,
): string | null {
  if (differences.length === 0) return null;
  const shown = differences.map(
    ({ condition, reference, candidate }) =>
      `${m.condition[condition]} ${escapeText(String(reference), LENGTH)} / ${escapeText(String(candidate), LENGTH)}`,
  );
  return m.unlike(shown.join(m.separator));
}

/** Sweeps by their kind, in order. */
export function sweepsByKind({
  sweeps,
}: PerformanceResult): ReadonlyMap<string, readonly PerformanceSweepPoint[]> {
  const kinds = new Map<string, PerformanceSweepPoint[]>();
  for (const point of sweeps) {
    const known = kinds.get(point.kind);
    if (known === undefined) kinds.set(point.kind, [point]);
    else known.push(point);
  }
  return kinds;
}

export function sweepTitle(kind: string, m: PerformanceMessages): string {
  return Object.hasOwn(m.tables.sweep, kind)
    ? (m.tables.sweep[kind] ?? "")
    : m.tables.otherSweep(escapeText(kind, LENGTH));
}
