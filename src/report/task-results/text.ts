/** The report of task results for a terminal. */

import { escapeText } from "../../core/escape.ts";
import type {
  TaskFigures,
  TaskInput,
  TaskResult,
  TaskResultsComparison,
  TaskSideFigures,
} from "../../core/task-results.ts";
import { formatCount } from "../format-number.ts";
import { MESSAGES } from "../messages/index.ts";
import { layOutLabels, padStart, width, wrapText } from "../table.ts";
import type { TextOptions } from "../text.ts";
import { evidence, headline } from "./conclusion.ts";
import { formatP, formatPercent, formatPoints } from "./format-points.ts";
import { TASK_MESSAGES, type TaskMessages } from "./messages.ts";
import { type TaskTableOptions, taskTable } from "./task-table.ts";

/** Items that are named of those that flipped, each way. */
const ITEMS_SHOWN = 5;
const FILE_LENGTH = 30;
const ID_LENGTH = 24;

interface Context extends TaskTableOptions {
  readonly dot: string;
}

type Row = readonly [label: string, text: string];

/**
 * The report as lines of text, ending with a newline: the verdict and what it rests on,
 * what was compared, and the figures. Below the table of several tasks the verdict stands
 * again: a log is read from its top, a terminal from its bottom.
 */
export function renderTaskText(result: TaskResultsComparison, options: TextOptions): string {
  const context: Context = {
    ...options,
    columns: Math.max(40, options.columns),
    m: TASK_MESSAGES[options.lang],
    dot: options.ascii ? "|" : "·",
    ellipsis: options.ascii ? ".." : "…",
  };
  const isLong = result.tasks.length > 1;
  const blocks = [
    verdictBlock(result, evidence(result, context.m), context),
    layOutLabels(inputRows(result, context), context.columns),
    ...(isLong ? [taskTable(result.tasks, context)] : []),
    layOutLabels(figureRows(result, context), context.columns),
    ...(isLong ? [verdictBlock(result, [], context)] : []),
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function inputRows(result: TaskResultsComparison, { m, dot }: Context): readonly Row[] {
  const { inputs, baseline, tasks, pooled } = result;
  const [only] = tasks;
  const items =
    pooled.groups === null
      ? formatCount(pooled.items)
      : m.groups(formatCount(pooled.items), formatCount(pooled.groups));
  return [
    baseline === null
      ? [m.labels.reference, runNames(inputs.reference)]
      : [m.labels.baseline, `${formatPercent(baseline)} %`],
    [m.labels.candidate, runNames(inputs.candidate)],
    ...(tasks.length === 1 && only !== undefined
      ? [[m.labels.task, taskText(only, m, dot)] as const]
      : []),
    [m.labels.items, items],
  ];
}

/** The files of each run; of a folder the first, and how many more. */
function runNames(runs: readonly (readonly TaskInput[])[]): string {
  return runs
    .map(([first, ...rest]) => {
      const name = escapeText(first?.file ?? "", FILE_LENGTH);
      return rest.length === 0 ? name : `${name} + ${formatCount(rest.length)}`;
    })
    .join(", ");
}

function taskText(
  { task, metric, filter, version }: TaskResult,
  m: TaskMessages,
  dot: string,
): string {
  return [task, metric, filter, version === null ? null : m.version(version)]
    .filter((part): part is string => part !== null && part !== "")
    .map((part) => escapeText(part, 60))
    .join(` ${dot} `);
}

function figureRows(result: TaskResultsComparison, { m }: Context): readonly Row[] {
  const { pooled, passAt } = result;
  const { reference, candidate, difference, flips, test } = pooled;
  const shares = [reference, candidate]
    .flatMap((side) => (side === null ? [] : [side, ...side.runs]))
    .map(({ accuracy }) => formatPercent(accuracy));
  const shareWidth = Math.max(...shares.map(width));
  const side = (label: string, figures: TaskSideFigures): readonly Row[] => {
    const many = figures.runs.length > 1;
    const share = (accuracy: number): string =>
      `${padStart(formatPercent(accuracy), shareWidth)} %`;
    const parts = [
      `${share(figures.accuracy)}  ${countText(figures, pooled.items, m)}`,
      ...(many ? [`pass@${passAt}`] : []),
      intervalText(figures, (bound) => formatPercent(bound), m),
    ];
    return [
      [label, parts.join(m.comma)],
      ...(many
        ? figures.runs.map(
            (run, i): Row => [
              `  ${m.run(formatCount(i + 1))}`,
              `${share(run.accuracy)}  ${countText(run, pooled.items, m)}`,
            ],
          )
        : []),
    ];
  };
  return [
    ...(reference === null ? [] : side(m.labels.reference, reference)),
    ...side(m.labels.candidate, candidate),
    [
      m.labels.difference,
      [
        m.points(formatPoints(difference.value)),
        intervalText(difference, (bound) => formatPoints(bound), m),
      ].join(m.comma),
    ],
    [
      flips === null ? "" : m.labels.flips,
      [
        ...(flips === null ? [] : [m.flips(formatCount(flips.lost), formatCount(flips.gained))]),
        m.p(m.tests[test.method], formatP(test.p)),
      ].join(m.semicolon),
    ],
    ...flippedRows(result, m),
  ];
}

/** The first items that flipped, of the only task. */
function flippedRows({ tasks, pooled }: TaskResultsComparison, m: TaskMessages): readonly Row[] {
  const [task, ...others] = tasks;
  const { flips } = pooled;
  if (task?.flipped == null || flips === null || others.length > 0) return [];
  const row = (label: string, ids: readonly string[], count: number): readonly Row[] => {
    const shown = ids.slice(0, ITEMS_SHOWN).map((id) => escapeText(id, ID_LENGTH));
    const rest = count - shown.length;
    const parts = [...shown, ...(rest > 0 ? [m.more(formatCount(rest))] : [])];
    return count === 0 ? [] : [[`  ${label}`, parts.join(", ")]];
  };
  return [
    ...row(m.labels.lost, task.flipped.lost, flips.lost),
    ...row(m.labels.gained, task.flipped.gained, flips.gained),
  ];
}

function countText(
  { correct }: { readonly correct: number | null },
  items: number,
  m: TaskMessages,
): string {
  return correct === null
    ? m.mean(formatCount(items))
    : m.of(formatCount(correct), formatCount(items));
}

function intervalText(
  { ci95, interval }: Pick<TaskFigures["difference"], "ci95" | "interval">,
  format: (bound: number) => string,
  m: TaskMessages,
): string {
  if (ci95 === null) return m.noInterval;
  return m.interval(format(ci95[0]), format(ci95[1]), m.methods[interval]);
}

/** @param beside sentences under the headline */
function verdictBlock(
  result: TaskResultsComparison,
  beside: readonly string[],
  context: Context,
): readonly string[] {
  const { lang, m, style, columns } = context;
  const colour = { pass: style.green, fail: style.red, inconclusive: style.yellow };
  const word = MESSAGES[lang].verdict[result.verdict];
  const indent = " ".repeat(width(word) + 2);
  const room = columns - indent.length;
  const [first = "", ...rest] = wrapText(headline(result, m), room);
  return [
    `${style.bold(colour[result.verdict](word))}  ${first}`,
    ...rest.map((line) => `${indent}${line}`),
    ...beside.flatMap((line) => wrapText(line, room)).map((line) => `${indent}${line}`),
  ];
}
