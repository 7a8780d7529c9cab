/** How `npu-diff inspect` shows what is in a dump. */

import { escapeText } from "../core/escape.ts";
import type { PerformanceResult } from "../core/performance.ts";
import { type Remarks, readImported } from "../dump/imported.ts";
import { formatBytes, formatCount, formatError } from "../report/format-number.ts";
import { machineJson } from "../report/json.ts";
import { performanceBlocks } from "../report/performance/text.ts";
import { cutMiddle, layOutLabels, layOutTable, width } from "../report/table.ts";
import { fitNames } from "../report/tensor-label.ts";
import { makeContext, type TextContext, type TextOptions } from "../report/text.ts";
import type { Inspection, LogitsInspection, TensorFold } from "./inspect-dump.ts";
import {
  INSPECT_COLUMNS,
  INSPECT_MESSAGES,
  type InspectColumn,
  type InspectMessages,
} from "./inspect-messages.ts";

/** Metadata lines and table rows that are shown; `--json` has all. */
const MAX_METADATA = 40;
const MAX_ROWS = 60;

/** Lines about what of another tool's file was not read or assumed. */
const MAX_REMARKS = 5;

/** What stands in a column throughout that says nothing: no layer, no decode step, no fold, no bytes, no statistics. */
const SAYS_NOTHING: Readonly<Partial<Record<InspectColumn, readonly string[]>>> = {
  layer: ["-"],
  step: [""],
  count: ["1"],
  bytes: ["0 B"],
  min: ["-"],
  max: ["-"],
  rms: ["-"],
  nonFinite: ["-"],
};

/** Columns that give way to the names, the least telling first, and what a name gets before they go. */
const DISPENSABLE: readonly (readonly [column: InspectColumn, name: number])[] = [
  ["bytes", 32],
  ["rms", 24],
  ["count", 20],
  ["min", 16],
  ["max", 12],
  ["shape", 8],
];

/** Columns of a name that nothing is taken from. */
const LEAST_NAME = 8;

const LEFT: ReadonlySet<InspectColumn> = new Set(["step", "dtype", "shape"]);

/** A dump, and its performance where it holds any. */
export interface InspectedDump extends Inspection {
  readonly performance: PerformanceResult | null;
}

export function renderInspectionJson(inspection: InspectedDump): string {
  return machineJson({ schemaVersion: 1, ...inspection });
}

/** Metadata, a table of tensors, and performance, at most `columns` wide. */
export function renderInspectionText(inspection: InspectedDump, options: TextOptions): string {
  const { file, bytes, samples, tensors, repaired, logits, encodings, run } = inspection;
  const context = makeContext(options);
  const { columns, ellipsis } = context;
  const m = INSPECT_MESSAGES[options.lang];
  const fileFacts = [escapeText(file), formatBytes(bytes), ...(repaired ? [m.repaired] : [])];
  const count = tensors.reduce((sum, fold) => sum + fold.tensors, 0);
  const rows: (readonly [string, string])[] = [
    [m.labels.file, fileFacts.join(` ${context.dot} `)],
    [
      m.labels.tensors,
      [m.tensors(formatCount(count), formatCount(samples)), ...reducedText(encodings, m)].join(
        m.comma,
      ),
    ],
    ...(logits === null ? [] : logitsRows(logits, m)),
    ...importRows(run, m),
    ...metadata(inspection, m, context),
  ];
  const blocks = [
    [context.style.bold("npu-diff inspect"), ...layOutLabels(rows, columns, ellipsis)],
    table(tensors, m, context),
    ...performanceBlocks(inspection.performance, context),
  ];
  return `${blocks.map((block) => block.join("\n")).join("\n\n")}\n`;
}

/** How many tensors are not stored densely. */
function reducedText(
  { stats, sketch }: Inspection["encodings"],
  m: InspectMessages,
): readonly string[] {
  return [
    ...(stats === 0 ? [] : [m.asStatistics(formatCount(stats))]),
    ...(sketch === 0 ? [] : [m.asSketches(formatCount(sketch))]),
  ];
}

/** The form of the logits, and the figures that it cannot give. */
function logitsRows(
  { form, samples, k, lse, tokenLogprob }: LogitsInspection,
  { labels, logits: m, comma }: InspectMessages,
): readonly (readonly [string, string])[] {
  const shown = formatCount(samples);
  if (form !== "reduced") return [[labels.logits, m[form](shown)]];
  const [least, most] = k ?? [0, 0];
  const holds = [
    ...(most === 0 ? [] : [m.best(least === most ? String(most) : m.range(least, most))]),
    ...(tokenLogprob ? ["token_logprob"] : []),
    ...(lse ? ["lse"] : []),
  ];
  const lacks = [
    ...(tokenLogprob ? [] : [m.figures.perplexity]),
    ...(most === 0 ? [m.figures.top1, m.figures.klBound] : []),
    m.figures.klAndFlips,
  ];
  return [
    [labels.logits, m.reduced(shown, holds.join(comma))],
    ["", m.notEnough(lacks)],
  ];
}

/** Of the file of another tool: the format, what was not read, and what was assumed. */
function importRows(
  run: Inspection["run"],
  m: InspectMessages,
): readonly (readonly [string, string])[] {
  const imported = readImported(run);
  if (imported === null) return [];
  const listed = (
    label: string,
    { first, count }: Remarks,
  ): readonly (readonly [string, string])[] =>
    count === 0
      ? []
      : [
          [label, m.entries(formatCount(count))],
          ...first
            .slice(0, MAX_REMARKS)
            .map(
              ({ name, why }) =>
                ["", `${escapeText(name, 60)}${m.colon}${escapeText(why, 60)}`] as const,
            ),
          ...(count > MAX_REMARKS ? [["", m.moreInJson(null)] as const] : []),
        ];
  return [
    [m.labels.format, escapeText(imported.format, 60)],
    ...listed(m.labels.notRead, imported.skipped),
    ...listed(m.labels.assumed, imported.assumed),
  ];
}

function metadata(
  { run, end }: Inspection,
  m: InspectMessages,
  { columns, ellipsis }: TextContext,
): readonly (readonly [string, string])[] {
  // What was imported is shown in words above.
  const leaves = [...flatten("", { ...run, imported: {} }), ...flatten("end", end)];
  const shown = leaves
    .slice(0, MAX_METADATA)
    .map(
      ([key, text]) =>
        [
          cutMiddle(escapeText(key, 40), Math.floor(columns / 2), ellipsis),
          escapeText(text, 60),
        ] as const,
    );
  const more = leaves.length - shown.length;
  return more > 0 ? [...shown, [ellipsis, m.moreInJson(formatCount(more))]] : shown;
}

/** The leaves of the metadata by dotted path; a list stays in one piece, with spaces to break it at. */
function flatten(prefix: string, value: unknown): readonly (readonly [string, string])[] {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) =>
      flatten(prefix === "" ? key : `${prefix}.${key}`, inner),
    );
  }
  if (Array.isArray(value)) {
    return [[prefix, `[${value.map((one) => JSON.stringify(one)).join(", ")}]`]];
  }
  return [[prefix, typeof value === "string" ? value : JSON.stringify(value)]];
}

function table(
  tensors: readonly TensorFold[],
  m: InspectMessages,
  { columns, ellipsis }: TextContext,
): readonly string[] {
  const shown = tensors.slice(0, MAX_ROWS);
  const rows = shown.map((fold) => cellsOf(fold, m));
  const widthOf = (column: InspectColumn): number =>
    2 + Math.max(width(m.titles[column]), ...rows.map((row) => width(row[column])));
  let kept = INSPECT_COLUMNS.filter(
    (column) => !rows.every((row) => SAYS_NOTHING[column]?.includes(row[column])),
  );
  const room = (): number => columns - 2 - kept.reduce((sum, column) => sum + widthOf(column), 0);
  const escaped = shown.map(({ name }) => escapeText(name, 400));
  const longest = Math.max(width(m.tensor), ...escaped.map(width));
  for (const [dropped, least] of DISPENSABLE) {
    if (room() >= Math.min(longest, least)) break;
    kept = kept.filter((column) => column !== dropped);
  }
  const names = fitNames(escaped, escaped, Math.max(LEAST_NAME, room()), ellipsis);
  const lines = layOutTable(
    [
      { title: m.tensor, align: "left" },
      ...kept.map((column) => ({
        title: m.titles[column],
        align: LEFT.has(column) ? ("left" as const) : ("right" as const),
      })),
    ],
    rows.map((row, r) => [names[r] ?? "", ...kept.map((column) => row[column])]),
  );
  const more = tensors.length - shown.length;
  return [...lines, ...(more > 0 ? [`${ellipsis} ${m.moreRows(formatCount(more))}`] : [])].map(
    (l) => `  ${l}`,
  );
}

function cellsOf(fold: TensorFold, m: InspectMessages): Readonly<Record<InspectColumn, string>> {
  const { layers, step, tensors, dtype, encoding, shape, bytes, stats } = fold;
  return {
    layer: layers === null ? "-" : layers.map(String).filter(isFirst).join("-"),
    step: step === "decode" ? m.decode : "",
    count: formatCount(tensors),
    dtype: encoding === "dense" ? dtype : `${dtype} ${escapeText(encoding)}`,
    shape: shapeText(shape, m),
    bytes: formatBytes(bytes),
    min: stats === null ? "-" : formatError(stats.min),
    max: stats === null ? "-" : formatError(stats.max),
    rms: stats === null ? "-" : formatError(stats.rms),
    nonFinite: stats === null ? "-" : `${stats.nan}/${stats.infinite}`,
  };
}

function isFirst(value: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(value) === index;
}

function shapeText(shape: TensorFold["shape"], m: InspectMessages): string {
  if (shape === null) return m.mixed;
  const axes = shape.map(([low, high]) => (low === high ? String(low) : `${low}..${high}`));
  return `[${axes.join(", ")}]`;
}
