/** Performance as the tables that model cards of ported models print; a cell without a measurement says why. */

import type {
  PerformanceGroup,
  PerformanceMetric,
  PerformanceMetricName,
  PerformanceResult,
  PerformanceSweepPoint,
} from "../../core/performance.ts";
import { PERFORMANCE_METRICS } from "../../core/performance.ts";
import { formatCount } from "../format-number.ts";
import { NO_SIDE } from "../markdown-parts.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import {
  amountText,
  conditionTexts,
  differenceText,
  formatFigure,
  formatSpeedUp,
  measuredSides,
  metricAt,
  metricLabel,
  ratioCell,
  type SideName,
  sweepsByKind,
  sweepTitle,
  valueCell,
} from "./cells.ts";
import { PERFORMANCE_MESSAGES, type PerformanceMessages } from "./messages.ts";

/** Rows of a sweep that are shown. */
const ROWS_SHOWN = 64;

/** A table of figures. Nothing in it is escaped for a format; strangers' texts are escaped as texts. */
export interface PerformanceTable {
  readonly title: string;
  /** The first is the head. */
  readonly rows: readonly (readonly string[])[];
  /** That there are more rows than are shown; null where there are not. */
  readonly more: string | null;
}

/** How each side was measured, and in what the two differ. */
export function performanceConditions(
  performance: PerformanceResult,
  lang: Language,
): readonly string[] {
  const m = PERFORMANCE_MESSAGES[lang];
  const { colon } = MESSAGES[lang];
  const unlike = differenceText(performance, m);
  const conditions = measuredSides(performance).flatMap((side) => {
    const facts = performance[side];
    if (facts === null) return [];
    const said = [facts.file, ...conditionTexts(facts, m)].join(m.separator);
    return [`${m.card[side]}${colon}${said}`];
  });
  return [...conditions, ...(unlike === null ? [] : [unlike])];
}

/** Latency, throughput, a table a sweep, and loading, as far as a side has any of it. */
export function performanceTables(
  performance: PerformanceResult,
  lang: Language,
): readonly PerformanceTable[] {
  const m = PERFORMANCE_MESSAGES[lang];
  const titled = (
    title: string,
    rows: PerformanceTable["rows"] | null,
  ): readonly PerformanceTable[] => (rows === null ? [] : [{ title, rows, more: null }]);
  return [
    ...titled(m.tables.latency, latencyTable(performance, m)),
    ...titled(m.tables.throughput, plainTable(performance, "throughput", m)),
    ...[...sweepsByKind(performance)].map(([kind, points]) => ({
      title: sweepTitle(kind, m),
      rows: sweepTable(points, performance, m),
      more: points.length > ROWS_SHOWN ? m.more(formatCount(points.length - ROWS_SHOWN)) : null,
    })),
    ...titled(m.tables.load, plainTable(performance, "load", m)),
  ];
}

function ofGroup(
  { metrics }: PerformanceResult,
  group: PerformanceGroup,
): readonly PerformanceMetric[] {
  return metrics.filter(({ metric }) => PERFORMANCE_METRICS[metric].group === group);
}

/** Mean, smallest and largest of each side; null without a row. */
function latencyTable(
  performance: PerformanceResult,
  m: PerformanceMessages,
): readonly (readonly string[])[] | null {
  const rows = ofGroup(performance, "latency");
  if (rows.length === 0) return null;
  const sides = measuredSides(performance);
  const head = [
    m.card.metric,
    ...sides.flatMap((side) =>
      [m.card.mean, m.card.min, m.card.max].map((what) => m.card.of(m.card[side], what)),
    ),
    ...(sides.length === 2 ? [m.card.ratio] : []),
  ];
  return [
    head,
    ...rows.map((row) => [
      metricLabel(row, m),
      ...sides.flatMap((side) => {
        const spread = row[side]?.spread ?? null;
        const bound = (value: number | null | undefined): string =>
          value === null || value === undefined || Number.isNaN(value)
            ? NO_SIDE
            : formatFigure(value, row.unit);
        return [cell(row, side, m), bound(spread?.min), bound(spread?.max)];
      }),
      ...(sides.length === 2 ? [ratio(row)] : []),
    ]),
  ];
}

function plainTable(
  performance: PerformanceResult,
  group: PerformanceGroup,
  m: PerformanceMessages,
): readonly (readonly string[])[] | null {
  const rows = ofGroup(performance, group);
  if (rows.length === 0) return null;
  const sides = measuredSides(performance);
  return [
    [
      m.card.metric,
      ...sides.map((side) => m.card[side]),
      ...(sides.length === 2 ? [m.card.ratio] : []),
    ],
    ...rows.map((row) => [
      metricLabel(row, m),
      ...sides.map((side) => cell(row, side, m)),
      ...(sides.length === 2 ? [ratio(row)] : []),
    ]),
  ];
}

function cell(row: PerformanceMetric, side: SideName, m: PerformanceMessages): string {
  const reason = row.absent[side];
  return valueCell(row, side, m) ?? (reason === null ? m.notMeasured : m.because(reason));
}

function ratio({ ratio: value }: Pick<PerformanceMetric, "ratio">): string {
  return value === null ? NO_SIDE : ratioCell(value);
}

function sweepTable(
  points: readonly PerformanceSweepPoint[],
  performance: PerformanceResult,
  m: PerformanceMessages,
): readonly (readonly string[])[] {
  const sides = measuredSides(performance);
  const speedUp = points.some((point) => sides.some((side) => point.speedUp[side] !== null));
  const columns = [
    ["iteration_s", m.card.time],
    ["output_tokens_per_s", m.card.throughput],
    ["total_tokens_per_s", m.card.total],
  ] as const;
  const used = columns.filter(([metric]) =>
    points.some((point) => metricAt(point, metric) !== undefined),
  );
  const figure = (
    point: PerformanceSweepPoint,
    metric: PerformanceMetricName,
    side: SideName,
  ): string => {
    const row = metricAt(point, metric);
    return row === undefined ? m.notMeasured : cell(row, side, m);
  };
  const head = [
    m.card.batch,
    m.card.input,
    m.card.output,
    ...sides.flatMap((side) =>
      [...used.map(([, title]) => title), ...(speedUp ? [m.card.speedUp] : [])].map((what) =>
        m.card.of(m.card[side], what),
      ),
    ),
    ...(sides.length === 2 ? [m.card.ratio] : []),
  ];
  return [
    head,
    ...points.slice(0, ROWS_SHOWN).map((point) => [
      amountText(point.batch),
      amountText(point.inputTokens),
      amountText(point.outputTokens),
      ...sides.flatMap((side) => {
        const factor = point.speedUp[side];
        return [
          ...used.map(([metric]) => figure(point, metric, side)),
          ...(speedUp ? [factor === null ? NO_SIDE : formatSpeedUp(factor)] : []),
        ];
      }),
      ...(sides.length === 2
        ? [ratio(metricAt(point, "output_tokens_per_s") ?? { ratio: null })]
        : []),
    ]),
  ];
}
