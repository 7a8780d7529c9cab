/** How `npu-diff inspect` shows what is in a dump. */

import { escapeText } from "../core/escape.ts";
import type { PerformanceResult } from "../core/performance.ts";
import { type Remarks, readImported } from "../dump/imported.ts";
import { formatBytes, formatCount, formatError } from "../report/format-number.ts";
import { machineJson } from "../report/json.ts";
import { performanceBlocks } from "../report/performance/text.ts";
import { layOutTable, padEnd, width } from "../report/table.ts";
import { fitNames } from "../report/tensor-label.ts";
import { makeContext, type TextContext, type TextOptions } from "../report/text.ts";
import type { FoldStats, Inspection, LogitsInspection, TensorFold } from "./inspect-dump.ts";
import { columnTitles, INSPECT_MESSAGES, type InspectMessages } from "./inspect-messages.ts";

/** Metadata lines and table rows that are shown; `--json` has all. */
const MAX_METADATA = 40;
const MAX_ROWS = 60;

/** Lines about what of another tool's file was not read or assumed. */
const MAX_REMARKS = 5;

/** Columns that are left out where no row fills them: the step, and the statistics. */
const OPTIONAL: ReadonlySet<number> = new Set([1, 6, 7, 8, 9]);

/** A dump, and its performance where it holds any. */
export interface InspectedDump extends Inspection {
  readonly performance: PerformanceResult | null;
}

export function renderInspectionJson(inspection: InspectedDump): string {
  return machineJson({ schemaVersion: 1, ...inspection });
}

/** Metadata, a table of tensors, and performance, at most `columns` wide where names allow it. */
export function renderInspectionText(inspection: InspectedDump, options: TextOptions): string {
  const { file, bytes, samples, tensors, repaired, logits, encodings, run } = inspection;
  const context = makeContext(options);
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
  const labelWidth = Math.max(...rows.map(([label]) => width(label)));
  const lines = rows.map(([label, text]) => `  ${padEnd(label, labelWidth)}  ${text}`);
  const blocks = [
    ["npu-diff inspect", ...lines],
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
  { ellipsis }: TextContext,
): readonly (readonly [string, string])[] {
  // What was imported is shown in words above.
  const leaves = [...flatten("", { ...run, imported: {} }), ...flatten("end", end)];
  const shown = leaves
    .slice(0, MAX_METADATA)
    .map(([key, text]) => [escapeText(key, 40), escapeText(text, 60)] as const);
  const more = leaves.length - shown.length;
  return more > 0 ? [...shown, [ellipsis, m.moreInJson(formatCount(more))]] : shown;
}

/** The leaves of the metadata by dotted path; lists stay in one piece. */
function flatten(prefix: string, value: unknown): readonly (readonly [string, string])[] {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) =>
      flatten(prefix === "" ? key : `${prefix}.${key}`, inner),
    );
  }
  return [[prefix, typeof value === "string" ? value : JSON.stringify(value)]];
}

function table(
  tensors: readonly TensorFold[],
  m: InspectMessages,
  { columns, ellipsis }: TextContext,
): readonly string[] {
  const shown = tensors.slice(0, MAX_ROWS);
  const cells = shown.map((fold) => [
    fold.layers === null ? "-" : fold.layers.map(String).filter(isFirst).join("-"),
    fold.step === "decode" ? m.decode : "",
    formatCount(fold.tensors),
    fold.encoding === "dense" ? fold.dtype : `${fold.dtype} ${escapeText(fold.encoding)}`,
    shapeText(fold.shape, m),
    formatBytes(fold.bytes),
    ...statsCells(fold.stats),
  ]);
  const titles = columnTitles(m);
  const used = titles.map((title, i) =>
    Math.max(width(title), ...cells.map((row) => width(row[i] ?? ""))),
  );
  // A column that is empty throughout says nothing.
  const kept = titles.flatMap((_, i) =>
    OPTIONAL.has(i) && cells.every((row) => row[i] === "" || row[i] === "-") ? [] : [i],
  );
  const room = columns - 2 - kept.reduce((sum, i) => sum + 2 + (used[i] ?? 0), 0);
  const escaped = shown.map(({ name }) => escapeText(name, 400));
  const names = fitNames(escaped, escaped, Math.max(16, room), ellipsis);
  const lines = layOutTable(
    [
      { title: m.tensor, align: "left" },
      ...kept.map((i) => ({
        title: titles[i] ?? "",
        align: i === 1 || i === 3 || i === 4 ? ("left" as const) : ("right" as const),
      })),
    ],
    cells.map((row, r) => [names[r] ?? "", ...kept.map((i) => row[i] ?? "")]),
  );
  const more = tensors.length - shown.length;
  return [...lines, ...(more > 0 ? [`${ellipsis} ${m.moreRows(formatCount(more))}`] : [])].map(
    (l) => `  ${l}`,
  );
}

function isFirst(value: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(value) === index;
}

function shapeText(shape: TensorFold["shape"], m: InspectMessages): string {
  if (shape === null) return m.mixed;
  const axes = shape.map(([low, high]) => (low === high ? String(low) : `${low}..${high}`));
  return `[${axes.join(", ")}]`;
}

function statsCells(stats: FoldStats | null): readonly string[] {
  if (stats === null) return ["-", "-", "-", "-"];
  const { min, max, rms, nan, infinite } = stats;
  return [formatError(min), formatError(max), formatError(rms), `${nan}/${infinite}`];
}
