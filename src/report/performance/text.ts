/** The performance of two sides, or of one, for a terminal. */

import { escapeText } from "../../core/escape.ts";
import type {
  PerformanceFigures,
  PerformanceMetric,
  PerformanceResult,
  PerformanceSweepPoint,
  PerformanceUnit,
} from "../../core/performance.ts";
import { formatCount } from "../format-number.ts";
import { type Column, layOutTable, padEnd, width, wrapText } from "../table.ts";
import type { TextContext } from "../text.ts";
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
const ROWS_SHOWN = 16;

/** Characters of a reason out of a file. */
const REASON = 120;

type Context = Pick<TextContext, "lang" | "style" | "ascii" | "columns" | "dot">;

/** Conditions and figures, then a block a sweep; empty where nothing was measured. */
export function performanceBlocks(
  performance: PerformanceResult | null,
  context: Context,
): readonly (readonly string[])[] {
  if (performance === null) return [];
  const m = PERFORMANCE_MESSAGES[context.lang];
  return [
    [
      `  ${context.style.bold(m.title)}`,
      ...indent(conditionLines(performance, m, context)),
      ...indent(metricTable(performance, m, context)),
      ...indent(absentLines(performance, m, context)),
    ],
    ...[...sweepsByKind(performance)].map(([kind, points]) => [
      `  ${context.style.bold(sweepTitle(kind, m))}`,
      ...indent(sweepTable(points, performance, m, context.columns - INDENT.length)),
    ]),
  ];
}

const INDENT = "    ";

function indent(lines: readonly string[]): readonly string[] {
  return lines.map((line) => INDENT + line);
}

function conditionLines(
  performance: PerformanceResult,
  m: PerformanceMessages,
  { columns, dot, style }: Context,
): readonly string[] {
  const sides = measuredSides(performance);
  const labelWidth = Math.max(...sides.map((side) => width(m[side])));
  const lines = sides.flatMap((side) => {
    const facts = performance[side];
    if (facts === null) return [];
    const parts = [escapeText(facts.file, 30), ...conditionTexts(facts, m)];
    return wrapParts(parts, ` ${dot} `, columns - INDENT.length - labelWidth - 2).map(
      (line, i) => `${padEnd(i === 0 ? m[side] : "", labelWidth)}  ${line}`,
    );
  });
  const unlike = differenceText(performance, m);
  return [
    ...lines,
    ...(unlike === null
      ? []
      : wrapText(unlike, columns - INDENT.length).map((line) => style.yellow(line))),
  ];
}

/** `parts` in lines of at most `room` columns, each part in one piece where it fits into one. */
function wrapParts(parts: readonly string[], separator: string, room: number): readonly string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    const longer = last === undefined ? part : last + separator + part;
    if (last !== undefined && width(longer) <= room) lines.splice(-1, 1, longer);
    else lines.push(...wrapText(part, room));
  }
  return lines;
}

/** The first of `tables` that is no wider than `room`, else the last. */
function fitting(tables: readonly (() => readonly string[])[], room: number): readonly string[] {
  let lines: readonly string[] = [];
  for (const table of tables) {
    lines = table();
    if (lines.every((line) => width(line) <= room)) break;
  }
  return lines;
}

/** With smallest and largest values where they fit. */
function metricTable(
  performance: PerformanceResult,
  m: PerformanceMessages,
  { ascii, columns }: Context,
): readonly string[] {
  const rows = performance.metrics.filter(
    ({ reference, candidate }) => reference !== null || candidate !== null,
  );
  if (rows.length === 0) return [];
  const sides = measuredSides(performance);
  const compared = sides.length === 2;
  const table =
    (spread: boolean): (() => readonly string[]) =>
    () =>
      layOutTable(
        [
          { title: m.columns.metric, align: "left" },
          ...sides.map((side): Column => ({ title: m.columns[side], align: "left" })),
          ...(compared ? [{ title: m.columns.ratio, align: "right" } as const] : []),
        ],
        rows.map((row) => [
          metricLabel(row, m, ascii),
          ...sides.map((side) => figureCell(row, side, spread, m)),
          ...(compared ? [ratioCell(row.ratio)] : []),
        ]),
      );
  return fitting([table(true), table(false)], columns - INDENT.length);
}

function figureCell(
  row: PerformanceMetric,
  side: SideName,
  spread: boolean,
  m: PerformanceMessages,
): string {
  const value = valueCell(row, side, m) ?? "-";
  const shown = spread ? spreadText(row[side], row.unit, m) : null;
  return shown === null ? value : `${value} ${shown}`;
}

function spreadText(
  figures: PerformanceFigures | null,
  unit: PerformanceUnit,
  m: PerformanceMessages,
): string | null {
  const spread = figures?.spread ?? null;
  if (spread === null || spread.count === 0) return null;
  const { min, max, p99 } = spread;
  if (min !== null && max !== null) {
    return min === max ? null : `[${rounded(min, unit)}, ${rounded(max, unit)}]`;
  }
  return p99 === null ? null : `(${m.p99(formatFigure(p99, unit))})`;
}

/** Of a bound, which takes less room than the mean. */
function rounded(value: number, unit: PerformanceUnit): string {
  return value >= 1000 ? value.toFixed(0) : formatFigure(value, unit);
}

/** Why a side lacks a metric, where its file says so. */
function absentLines(
  { metrics }: PerformanceResult,
  m: PerformanceMessages,
  { columns, style }: Context,
): readonly string[] {
  return metrics.flatMap(({ metric, absent }) =>
    (["reference", "candidate"] as const).flatMap((side) => {
      const reason = absent[side];
      if (reason === null) return [];
      const text = m.lacks(m.metric[metric], m[side], escapeText(reason, REASON));
      return wrapText(text, columns - INDENT.length).map((line) => style.dim(line));
    }),
  );
}

/** Output tokens a second, with ratio and speed-up as far as they fit into `room`. */
function sweepTable(
  points: readonly PerformanceSweepPoint[],
  performance: PerformanceResult,
  m: PerformanceMessages,
  room: number,
): readonly string[] {
  const sides = measuredSides(performance);
  const compared = sides.length === 2;
  const sped = points.some((point) => sides.some((side) => point.speedUp[side] !== null));
  const shown = points.slice(0, ROWS_SHOWN);
  const right = (title: string): Column => ({ title, align: "right" });
  const table =
    (ratios: boolean, speedUp: boolean): (() => readonly string[]) =>
    () =>
      layOutTable(
        [
          right(m.columns.batch),
          right(m.columns.input),
          right(m.columns.output),
          ...sides.flatMap((side) => [
            right(compared ? m.columns[side] : m.columns.throughput),
            ...(speedUp ? [right(m.columns.speedUp)] : []),
          ]),
          ...(ratios ? [right(m.columns.ratio)] : []),
        ],
        shown.map((point) => [
          amountText(point.batch),
          amountText(point.inputTokens),
          amountText(point.outputTokens),
          ...sides.flatMap((side) => throughputCells(point, side, speedUp, m)),
          ...(ratios ? [ratioCell(metricAt(point, "output_tokens_per_s")?.ratio ?? null)] : []),
        ]),
      );
  const lines = fitting(
    compared ? [table(true, sped), table(false, sped), table(true, false)] : [table(false, sped)],
    room,
  );
  const more = points.length - shown.length;
  return [...lines, ...(more > 0 ? [m.more(formatCount(more))] : [])];
}

function throughputCells(
  point: PerformanceSweepPoint,
  side: SideName,
  speedUp: boolean,
  m: PerformanceMessages,
): readonly string[] {
  const row = metricAt(point, "output_tokens_per_s");
  const factor = point.speedUp[side];
  return [
    (row === undefined ? null : valueCell(row, side, m)) ?? "-",
    ...(speedUp ? [factor === null ? "-" : formatSpeedUp(factor)] : []),
  ];
}
