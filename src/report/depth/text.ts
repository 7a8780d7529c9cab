/** One tensor in depth for a terminal. */

import type { TensorDepth, UlpHistogram } from "../../core/depth.ts";
import { escapeText } from "../../core/escape.ts";
import { formatCosine, formatCount, formatError, formatShare } from "../format-number.ts";
import type { Language } from "../messages/index.ts";
import type { Style } from "../style.ts";
import {
  type Column,
  cutEnd,
  layOutLabels,
  layOutTable,
  padStart,
  width,
  wrapText,
} from "../table.ts";
import type { TextOptions } from "../text.ts";
import { ulpRows, valueText } from "./cells.ts";
import { DEPTH_MESSAGES, type DepthMessages } from "./messages.ts";
import type { DepthReport } from "./schema.ts";

/** Lines of each list; `--json` has all. */
const SHOWN = 10;
/** Columns of the longest bar of the histogram. */
const BAR = 40;
/** Columns that the text of a token takes at most, and digits of a value: the first that fit a line. */
const FITS = [
  { text: 16, digits: 6 },
  { text: 8, digits: 6 },
  { text: 8, digits: 4 },
  { text: 4, digits: 4 },
] as const;
type Fit = (typeof FITS)[number];

interface Context {
  readonly m: DepthMessages;
  readonly style: Style;
  readonly lang: Language;
  readonly ascii: boolean;
  readonly columns: number;
  readonly dot: string;
  readonly ellipsis: string;
}

/** The report as lines of text, ending with a newline; at most `columns` wide, 80 or more. */
export function renderDepthText(report: DepthReport, options: TextOptions): string {
  const { lang, ascii, style } = options;
  const context: Context = {
    m: DEPTH_MESSAGES[lang],
    style,
    lang,
    ascii,
    columns: Math.max(40, options.columns),
    dot: ascii ? " | " : " · ",
    ellipsis: ascii ? ".." : "…",
  };
  const blocks = report.tensors.flatMap((depth) => [
    header(report, depth, context),
    ...depthBlocks(depth, context),
  ]);
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function header(report: DepthReport, depth: TensorDepth, context: Context): readonly string[] {
  const { m, dot, style, columns } = context;
  const { labels } = m;
  const differs = depth.tokens.length > 0;
  const rows: (readonly [string, string])[] = [
    [
      labels.reference,
      [escapeText(report.reference.file, 60), ...depth.dtypes.reference].join(dot),
    ],
    [
      labels.candidate,
      [escapeText(report.candidate.file, 60), ...depth.dtypes.candidate].join(dot),
    ],
    [labels.tensor, [escapeText(depth.tensor, 200), m.step[depth.step]].join(dot)],
    [
      labels.size,
      m
        .size(formatCount(depth.samples), formatCount(depth.rows), formatCount(depth.width))
        .join(dot),
    ],
    [
      labels.error,
      differs
        ? m
            .error(
              formatError(depth.relL2),
              depth.maxAbs === null ? "-" : formatError(depth.maxAbs),
            )
            .join(dot)
        : m.equal,
    ],
  ];
  return [style.bold("npu-diff inspect"), ...layOutLabels(rows, columns)];
}

function depthBlocks(depth: TensorDepth, context: Context): readonly (readonly string[])[] {
  const { m } = context;
  const without = [
    ...(depth.channels === null ? [m.tooWide] : []),
    ...(depth.noHeads === null ? [] : [m.noHeads[depth.noHeads]]),
  ].flatMap((line) => wrapText(line, context.columns - 2));
  return [
    histogram(depth, context),
    elementBlock(depth, context),
    tokenBlock(depth, context),
    channelBlock(depth, context),
    headBlock(depth, context),
    without.map(
      (line) => `  ${context.style.dim(context.ascii ? line.replaceAll("…", "..") : line)}`,
    ),
  ].filter((lines) => lines.length > 0);
}

function histogram({ ulp, dtypes }: TensorDepth, context: Context): readonly string[] {
  const { m, style, ascii } = context;
  const rows = ulpRows(ulp, { ascii, nonFinite: m.nonFinite });
  const total = totalOf(ulp);
  if (total === 0) return [];
  const most = Math.max(...rows.map(({ elements }) => elements));
  const labelWidth = Math.max(...rows.map(({ label }) => width(label)));
  const counts = rows.map(({ elements }) => formatCount(elements));
  const countWidth = Math.max(...counts.map(width));
  const lines = rows.map(({ label, elements }, i) => {
    // What is there at all is seen.
    const bar = elements === 0 ? 0 : Math.max(1, Math.round((elements / most) * BAR));
    const share = elements === 0 ? "" : shareText(elements / total);
    const cells = [
      padStart(label, labelWidth),
      padStart(counts[i] ?? "", countWidth),
      padStart(share, 8),
    ];
    return `  ${cells.join("  ")}  ${(ascii ? "#" : "█").repeat(bar)}`.trimEnd();
  });
  return [style.bold(m.titles.histogram(dtypes.candidate.join(", "))), ...lines];
}

/** Few of many are not none. */
function shareText(share: number): string {
  return share < 0.0005 ? "<0.1 %" : formatShare(share);
}

function totalOf({ buckets, beyond, nonFinite }: UlpHistogram): number {
  return buckets.reduce((sum, { elements }) => sum + elements, beyond + nonFinite);
}

const right = (title: string): Column => ({ title, align: "right" });
const left = (title: string): Column => ({ title, align: "left" });

/** Where a row lies: the step only of decode steps, the text only where any is known. */
function placeColumns(
  depth: TensorDepth,
  listed: readonly { readonly text: string | null }[],
  { m }: Context,
): readonly Column[] {
  return [
    right(m.columns.sample),
    ...(depth.step === "decode" ? [right(m.columns.step)] : []),
    right(m.columns.token),
    ...(listed.some(({ text }) => text !== null) ? [left(m.columns.text)] : []),
  ];
}

function placeCells(
  depth: TensorDepth,
  listed: readonly { readonly text: string | null }[],
  one: {
    readonly sample: number;
    readonly step: number;
    readonly token: number;
    readonly text: string | null;
  },
  fit: Fit,
  { ellipsis }: Context,
): readonly string[] {
  const text =
    one.text === null ? "-" : cutEnd(escapeText(JSON.stringify(one.text), 80), fit.text, ellipsis);
  return [
    String(one.sample),
    ...(depth.step === "decode" ? [String(one.step)] : []),
    String(one.token),
    ...(listed.some((other) => other.text !== null) ? [text] : []),
  ];
}

function elementBlock(depth: TensorDepth, context: Context): readonly string[] {
  const { m } = context;
  const { elements } = depth;
  const shown = elements.slice(0, SHOWN);
  return block(
    m.titles.elements,
    [
      ...placeColumns(depth, shown, context),
      right(m.columns.index),
      right(m.columns.reference),
      right(m.columns.candidate),
      right(m.columns.d),
      right("ULP"),
    ],
    (fit) =>
      shown.map((one) => [
        ...placeCells(depth, shown, one, fit, context),
        one.index.slice(1).join(",") || "-",
        valueText(one.reference, fit.digits),
        valueText(one.candidate, fit.digits),
        formatError(one.d),
        valueText(one.ulp, 3),
      ]),
    elements.length - shown.length,
    context,
  );
}

function tokenBlock(depth: TensorDepth, context: Context): readonly string[] {
  const { m } = context;
  const { tokens } = depth;
  const shown = tokens.slice(0, SHOWN);
  const kinds = shown.some(({ mismatched }) => mismatched > 0);
  return block(
    m.titles.tokens,
    [
      ...placeColumns(depth, shown, context),
      right(m.columns.relL2),
      right(m.columns.cosine),
      ...(kinds ? [right(m.columns.nonFinite)] : []),
    ],
    (fit) =>
      shown.map((one) => [
        ...placeCells(depth, shown, one, fit, context),
        formatError(one.relL2),
        formatCosine(one.cosine),
        ...(kinds ? [formatCount(one.mismatched)] : []),
      ]),
    tokens.length - shown.length,
    context,
  );
}

function channelBlock({ channels }: TensorDepth, context: Context): readonly string[] {
  const { m } = context;
  const all = channels ?? [];
  return partBlock(
    m.titles.channels,
    m.columns.channel,
    all.map((one) => ({ ...one, at: one.channel })),
    context,
  );
}

function headBlock({ heads }: TensorDepth, context: Context): readonly string[] {
  const { m } = context;
  const all = (heads ?? []).map((one) => ({ ...one, at: one.head }));
  const sorted = all.toSorted((a, b) => b.mismatched - a.mismatched || b.share - a.share);
  return partBlock(m.titles.heads, m.columns.head, sorted, context);
}

function partBlock(
  title: string,
  at: string,
  parts: readonly {
    readonly at: number;
    readonly share: number;
    readonly relL2: number;
    readonly mismatched: number;
  }[],
  context: Context,
): readonly string[] {
  const { columns } = context.m;
  const shown = parts.slice(0, SHOWN);
  const kinds = shown.some(({ mismatched }) => mismatched > 0);
  return block(
    title,
    [
      right(at),
      right(columns.share),
      right(columns.relL2),
      ...(kinds ? [right(columns.nonFinite)] : []),
    ],
    () =>
      shown.map((one) => [
        String(one.at),
        formatShare(one.share),
        formatError(one.relL2),
        ...(kinds ? [formatCount(one.mismatched)] : []),
      ]),
    parts.length - shown.length,
    context,
  );
}

/** A table under its title, as roomy as a line allows; nothing where it has no rows. */
function block(
  title: string,
  columns: readonly Column[],
  rows: (fit: Fit) => readonly (readonly string[])[],
  more: number,
  { m, style, ellipsis, columns: most }: Context,
): readonly string[] {
  const tables = FITS.map((fit) => {
    const cells = rows(fit);
    return cells.length === 0 ? [] : layOutTable(columns, cells).map((line) => `  ${line}`);
  });
  const table = tables.find((lines) => lines.every((line) => width(line) <= most)) ?? tables.at(-1);
  if (table === undefined || table.length === 0) return [];
  return [
    style.bold(title),
    ...table,
    ...(more > 0 ? [`  ${ellipsis} ${m.more(formatCount(more))}`] : []),
  ];
}
