/** The curve of the error by layer and the table of tensors, for a terminal. */

import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import type { StepGroup } from "../core/verdict.ts";
import { formatCosine, formatCount, formatError, formatRatio } from "./format-number.ts";
import {
  decisive,
  foldRows,
  type LayerRow,
  layerRange,
  MAX_ROWS,
  plainEvidence,
  worst,
} from "./layer-rows.ts";
import { type OwnScale, ownScale, ownSize } from "./own-lines.ts";
import { type Curve, commonScale, sparkline, sparklineColumn } from "./sparkline.ts";
import { type Column, layOutTable, padEnd, width } from "./table.ts";
import { fitNames, shortName } from "./tensor-label.ts";
import type { TextContext } from "./text.ts";

const STEPS: readonly StepGroup[] = ["prefill", "decode"];

/** Columns that a name gets at least before others are dropped for it. */
const MIN_NAME = 12;

/** Columns of a name that nothing is taken from. */
const LEAST_NAME = 8;

/** Blocks of lines: for each step group its curve, then its table. */
export function layerTable(
  result: ComparisonResult,
  context: TextContext,
): readonly (readonly string[])[] {
  const groups = STEPS.map((step) => ({
    step,
    tensors: result.tensors.filter((tensor) => tensor.step === step),
  })).filter(({ tensors }) => tensors.length > 0);
  return groups.flatMap(({ step, tensors }) => [
    ...(groups.length > 1 ? [[`  ${context.style.bold(context.m.step[step])}`]] : []),
    [...curves(tensors, context), ...table(tensors, plainEvidence(result), context)],
  ]);
}

function curves(tensors: readonly TensorResult[], context: TextContext): readonly string[] {
  const { m, ascii, columns, ellipsis } = context;
  const layers = [...new Set(tensors.flatMap(({ layer }) => (layer === null ? [] : [layer])))];
  layers.sort((a, b) => a - b);
  if (layers.length < 2) return [];
  const curve = (figure: (tensor: TensorResult) => number | null): Curve =>
    layers.map((layer) => worst(tensors.filter((one) => one.layer === layer).map(figure)));
  const errors = curve(({ tokenRelL2 }) => tokenRelL2?.gm ?? null);
  const floors = curve(({ floor }) => floor?.floorGm ?? null);
  const scale = commonScale([errors, floors]);
  if (scale === null) return [];
  const labelWidth = Math.max(16, width(m.labels.errorByLayer), width(m.labels.noiseFloor));
  // Label, glyphs and the two ends, with their gaps.
  const room = Math.max(10, columns - labelWidth - 4 - 3 - (15 + ellipsis.length + 2));
  const line = (label: string, values: Curve): readonly string[] => {
    const ends = commonScale([values]);
    if (ends === null) return [];
    const glyphs = sparkline(values, scale, room, ascii);
    const range = `${formatError(ends.low)} ${ellipsis} ${formatError(ends.high)}`;
    return [`  ${padEnd(label, labelWidth)}  ${glyphs}   ${range}`];
  };
  const origin = tensors.find(({ role }) => role === "origin")?.layer ?? null;
  const at = origin === null ? -1 : layers.indexOf(origin);
  const column = sparklineColumn(at, layers.length, room);
  return [
    ...line(m.labels.errorByLayer, errors),
    ...line(m.labels.noiseFloor, floors),
    ...(origin === null || at === -1
      ? []
      : [`${" ".repeat(labelWidth + 4 + column)}^ ${m.layer(origin)}`]),
  ];
}

/** One column of figures; where nothing was measured it shows a dash. */
interface FigureColumn {
  readonly title: string;
  readonly cell: (row: LayerRow) => string;
}

function table(
  tensors: readonly TensorResult[],
  evidence: ReturnType<typeof plainEvidence>,
  context: TextContext,
): readonly string[] {
  const { m, columns, ellipsis, style } = context;
  const { shown, hidden } = cutMiddle(foldRows(tensors));
  const names = shown.map((row) =>
    row.tensors.length > 1 ? m.tensorCount(row.tensors.length) : shortName(row.tensors[0], m),
  );
  const verdicts = shown.map((row) => verdictCell(row, context));
  const ranges = shown.map(layerRange);
  const longest = Math.max(width(m.columns.tensor), ...names.map(width));
  // Indent, mark, and the gaps on both sides of the name and before the verdict.
  const fixed =
    9 +
    Math.max(width(m.columns.layer), 5, ...ranges.map(width)) +
    Math.max(width(m.columns.verdict), ...verdicts.map(width));
  let figures = figureColumns(evidence, ownScale(tensors), context);
  const widthOf = (columnsShown: readonly FigureColumn[]): number =>
    columnsShown.reduce(
      (sum, { title, cell }) =>
        sum + 2 + Math.max(width(title), ...shown.map((row) => width(cell(row)))),
      0,
    );
  const room = (): number => columns - fixed - widthOf(figures);
  // The largest absolute error is the least telling figure, then the L2 error.
  const dispensable = [
    [m.columns.maxAbs, MIN_NAME],
    [m.columns.relL2, MIN_NAME],
    [m.columns.cosine, LEAST_NAME],
  ] as const;
  for (const [dropped, least] of dispensable) {
    if (room() >= Math.min(longest, least)) break;
    figures = figures.filter(({ title }) => title !== dropped);
  }
  const fitted = fitNames(
    names,
    tensors.map((tensor) => shortName(tensor, m)),
    Math.max(LEAST_NAME, Math.min(longest, room())),
    ellipsis,
  );
  const layout: readonly Column[] = [
    { title: "", align: "left" },
    { title: padLayer(m.columns.layer), align: "right" },
    { title: m.columns.tensor, align: "left" },
    ...figures.map(({ title }): Column => ({ title, align: "right" })),
    { title: m.columns.verdict, align: "left" },
  ];
  const cells = shown.map((row, i) => [
    row.role === "origin" ? ">" : " ",
    ranges[i] ?? "",
    fitted[i] ?? "",
    ...figures.map(({ cell }) => cell(row)),
    verdicts[i] ?? "",
  ]);
  const [head = "", ...body] = layOutTable(layout, cells);
  const painted = body.map((line, i) => paintRow(`  ${line}`, shown[i], style));
  return [`  ${head}`, ...insertAt(painted, hidden, context)].map((line) => line.trimEnd());
}

function padLayer(title: string): string {
  return " ".repeat(Math.max(0, 5 - width(title))) + title;
}

interface ColumnOptions {
  /** Whether the smallest value is the worst. */
  readonly smallest?: boolean;
  /** What the figure is at least, where it was not measured. */
  readonly bound?: (tensor: TensorResult) => number | null;
}

function figureColumns(
  evidence: ReturnType<typeof plainEvidence>,
  own: OwnScale | null,
  { m, ascii }: TextContext,
): readonly FigureColumn[] {
  const atLeast = ascii ? ">=" : "≥";
  const column = (
    title: string,
    figure: (tensor: TensorResult) => number | null,
    format: (value: number) => string,
    { smallest = false, bound = () => null }: ColumnOptions = {},
  ): FigureColumn => ({
    title,
    cell: (row) => {
      const value = worst(row.tensors.map(figure), { smallest });
      if (value !== null) return format(value);
      const proved = worst(row.tensors.map(bound), { smallest });
      // Next to nothing is known of a figure that may have any size.
      if (proved === null || proved === 0) return "-";
      return `${atLeast}${format(proved)}`;
    },
  });
  const last = {
    floor: column(m.columns.overFloor, (t) => decisive(t, "floor"), formatRatio),
    prior: column(m.columns.overPrior, (t) => decisive(t, "prior"), formatRatio),
    exact: column(m.columns.bits, (t) => decisive(t, "exact"), formatCount),
  }[evidence];
  return [
    column(m.columns.cosine, ({ cosine }) => cosine, formatCosine, { smallest: true }),
    column(m.columns.relL2, ({ relL2 }) => relL2, formatError, {
      bound: ({ statsFigures }) => statsFigures?.bounds?.relL2 ?? null,
    }),
    column(m.columns.maxAbs, ({ maxAbs }) => maxAbs, formatError, {
      bound: ({ statsFigures }) => statsFigures?.bounds?.maxAbs ?? null,
    }),
    last,
    ...(own === null
      ? []
      : [
          column(
            own === "floor" ? m.columns.ownOverFloor : m.columns.own,
            (t) => ownSize(t, own),
            formatRatio,
          ),
        ]),
  ];
}

function verdictCell(row: LayerRow, { m }: TextContext): string {
  const word = m.tensorVerdict[row.verdict];
  return row.role === null ? word : `${word}  ${m.role[row.role]}`;
}

function paintRow(line: string, row: LayerRow | undefined, style: TextContext["style"]): string {
  if (row?.role === "origin") return style.bold(line);
  return row?.role === "inherited" || row?.role === "carried" ? style.dim(line) : line;
}

interface Cut {
  readonly shown: readonly LayerRow[];
  /** How many rows are left out, and before which of the shown ones; null where none is. */
  readonly hidden: { readonly count: number; readonly at: number } | null;
}

/** The rows around the origin and the last ones, where there are too many. */
function cutMiddle(rows: readonly LayerRow[]): Cut {
  if (rows.length <= MAX_ROWS) return { shown: rows, hidden: null };
  const origin = Math.max(
    0,
    rows.findIndex(({ role }) => role === "origin"),
  );
  const tail = 4;
  const start = Math.max(0, Math.min(origin - 6, rows.length - MAX_ROWS));
  const head = rows.slice(start, start + MAX_ROWS - tail);
  const shown = [...head, ...rows.slice(Math.max(start + head.length, rows.length - tail))];
  return { shown, hidden: { count: rows.length - shown.length, at: head.length } };
}

function insertAt(
  lines: readonly string[],
  hidden: Cut["hidden"],
  { m, ellipsis }: TextContext,
): readonly string[] {
  if (hidden === null) return lines;
  return [
    ...lines.slice(0, hidden.at),
    `     ${ellipsis} ${m.moreRows(hidden.count)}`,
    ...lines.slice(hidden.at),
  ];
}
