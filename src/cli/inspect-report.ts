/** How `npu-diff inspect` shows what is in a dump. */

import { escapeText } from "../core/escape.ts";
import type { PerformanceResult } from "../core/performance.ts";
import { type Remarks, readImported } from "../dump/imported.ts";
import { formatBytes, formatCount, formatError } from "../report/format-number.ts";
import { machineJson } from "../report/json.ts";
import { performanceBlocks } from "../report/performance/text.ts";
import { layOutTable, padEnd, width } from "../report/table.ts";
import { fitNames } from "../report/tensor-label.ts";
import { makeContext, type TextOptions } from "../report/text.ts";
import type { FoldStats, Inspection, LogitsInspection, TensorFold } from "./inspect-dump.ts";

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
  const count = tensors.reduce((sum, fold) => sum + fold.tensors, 0);
  const rows: (readonly [string, string])[] = [
    ["file", `${escapeText(file)} · ${formatBytes(bytes)}${repaired ? " · repaired" : ""}`],
    [
      "tensors",
      [`${formatCount(count)} in ${formatCount(samples)} samples`, ...reducedText(encodings)].join(
        ", ",
      ),
    ],
    ...(logits === null ? [] : logitsRows(logits)),
    ...importRows(run),
    ...metadata(inspection),
  ];
  const labelWidth = Math.max(...rows.map(([label]) => width(label)));
  const lines = rows.map(([label, text]) => `  ${padEnd(label, labelWidth)}  ${text}`);
  const context = makeContext(options);
  const blocks = [
    ["npu-diff inspect", ...lines],
    table(tensors, context.columns),
    ...performanceBlocks(inspection.performance, context),
  ];
  return `${blocks.map((block) => block.join("\n")).join("\n\n")}\n`;
}

/** How many tensors are not stored densely. */
function reducedText({ stats, sketch }: Inspection["encodings"]): readonly string[] {
  return [
    ...(stats === 0 ? [] : [`${formatCount(stats)} of them as statistics`]),
    ...(sketch === 0 ? [] : [`${formatCount(sketch)} as sketches`]),
  ];
}

/** The form of the logits, and the figures that it cannot give. */
function logitsRows({
  form,
  samples,
  k,
  lse,
  tokenLogprob,
}: LogitsInspection): readonly (readonly [string, string])[] {
  const of = `in ${formatCount(samples)} samples`;
  if (form === "whole") return [["logits", `whole ${of}`]];
  if (form === "statistics") return [["logits", `statistics ${of}: no figure of quality`]];
  const [least, most] = k ?? [0, 0];
  const holds = [
    ...(most === 0 ? [] : [`the ${least === most ? most : `${least} to ${most}`} best tokens`]),
    ...(tokenLogprob ? ["token_logprob"] : []),
    ...(lse ? ["lse"] : []),
  ];
  const lacks = [
    ...(tokenLogprob ? [] : ["perplexity"]),
    ...(most === 0 ? ["top-1 agreement", "a bound of KL"] : []),
  ];
  return [
    ["logits", `reduced ${of}: ${holds.join(", ")}`],
    ["", `not enough for ${[...lacks, "KL and flips"].join(", ")}`],
  ];
}

/** Of the file of another tool: the format, what was not read, and what was assumed. */
function importRows(run: Inspection["run"]): readonly (readonly [string, string])[] {
  const imported = readImported(run);
  if (imported === null) return [];
  const listed = (
    label: string,
    { first, count }: Remarks,
  ): readonly (readonly [string, string])[] =>
    count === 0
      ? []
      : [
          [label, `${formatCount(count)} entries`],
          ...first
            .slice(0, MAX_REMARKS)
            .map(
              ({ name, why }) => ["", `${escapeText(name, 60)}: ${escapeText(why, 60)}`] as const,
            ),
          ...(count > MAX_REMARKS ? [["", "more in --json"] as const] : []),
        ];
  return [
    ["format", escapeText(imported.format, 60)],
    ...listed("not read", imported.skipped),
    ...listed("assumed", imported.assumed),
  ];
}

function metadata({ run, end }: Inspection): readonly (readonly [string, string])[] {
  // What was imported is shown in words above.
  const leaves = [...flatten("", { ...run, imported: {} }), ...flatten("end", end)];
  const shown = leaves
    .slice(0, MAX_METADATA)
    .map(([key, text]) => [escapeText(key, 40), escapeText(text, 60)] as const);
  const more = leaves.length - shown.length;
  return more > 0 ? [...shown, ["…", `${more} more in --json`]] : shown;
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

function table(tensors: readonly TensorFold[], columns: number): readonly string[] {
  const shown = tensors.slice(0, MAX_ROWS);
  const cells = shown.map((fold) => [
    fold.layers === null ? "-" : fold.layers.map(String).filter(isFirst).join("-"),
    fold.step === "decode" ? "decode" : "",
    formatCount(fold.tensors),
    fold.encoding === "dense" ? fold.dtype : `${fold.dtype} ${escapeText(fold.encoding)}`,
    shapeText(fold.shape),
    formatBytes(fold.bytes),
    ...statsCells(fold.stats),
  ]);
  const titles = [
    "LAYER",
    "STEP",
    "COUNT",
    "DTYPE",
    "SHAPE",
    "BYTES",
    "MIN",
    "MAX",
    "RMS",
    "NAN/INF",
  ];
  const used = titles.map((title, i) =>
    Math.max(width(title), ...cells.map((row) => width(row[i] ?? ""))),
  );
  // A column that is empty throughout says nothing.
  const kept = titles.flatMap((_, i) =>
    OPTIONAL.has(i) && cells.every((row) => row[i] === "" || row[i] === "-") ? [] : [i],
  );
  const room = columns - 2 - kept.reduce((sum, i) => sum + 2 + (used[i] ?? 0), 0);
  const escaped = shown.map(({ name }) => escapeText(name, 400));
  const names = fitNames(escaped, escaped, Math.max(16, room), "…");
  const lines = layOutTable(
    [
      { title: "TENSOR", align: "left" },
      ...kept.map((i) => ({
        title: titles[i] ?? "",
        align: i === 1 || i === 3 || i === 4 ? ("left" as const) : ("right" as const),
      })),
    ],
    cells.map((row, r) => [names[r] ?? "", ...kept.map((i) => row[i] ?? "")]),
  );
  const more = tensors.length - shown.length;
  return [...lines, ...(more > 0 ? [`… ${more} more rows in --json`] : [])].map((l) => `  ${l}`);
}

function isFirst(value: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(value) === index;
}

function shapeText(shape: TensorFold["shape"]): string {
  if (shape === null) return "mixed";
  const axes = shape.map(([low, high]) => (low === high ? String(low) : `${low}..${high}`));
  return `[${axes.join(", ")}]`;
}

function statsCells(stats: FoldStats | null): readonly string[] {
  if (stats === null) return ["-", "-", "-", "-"];
  const { min, max, rms, nan, infinite } = stats;
  return [formatError(min), formatError(max), formatError(rms), `${nan}/${infinite}`];
}
