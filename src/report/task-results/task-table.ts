/** The tasks of a comparison, a line each. */

import { escapeText } from "../../core/escape.ts";
import type { TaskResult } from "../../core/task-results.ts";
import { formatCount } from "../format-number.ts";
import { MESSAGES } from "../messages/index.ts";
import { layOutTable, width } from "../table.ts";
import { fitNames } from "../tensor-label.ts";
import type { TextOptions } from "../text.ts";
import { formatPercent, formatPoints } from "./format-points.ts";
import type { TaskMessages } from "./messages.ts";

/** Tasks that the table lists; `--json` has all. */
const TASKS_SHOWN = 60;

/** Columns that a name needs; where it has fewer, others give way. */
const NAME_WIDTH = 16;

export interface TaskTableOptions extends TextOptions {
  readonly m: TaskMessages;
  readonly ellipsis: string;
}

interface TaskColumn {
  readonly title: string;
  readonly align: "left" | "right";
  readonly cell: (task: TaskResult) => string;
  /** Whether it gives way where names need room. */
  readonly isOptional?: boolean;
}

const URGENCY = { fail: 0, inconclusive: 1, pass: 2 } as const;

/** Lines of the table, indented by two. Of very many tasks those that the reader must see. */
export function taskTable(
  all: readonly TaskResult[],
  options: TaskTableOptions,
): readonly string[] {
  const { m, columns, ellipsis, style } = options;
  const tasks =
    all.length <= TASKS_SHOWN
      ? all
      : all.toSorted((a, b) => URGENCY[a.verdict] - URGENCY[b.verdict]).slice(0, TASKS_SHOWN);
  const roomBeside = (shown: readonly TaskColumn[]): number =>
    columns - 2 - shown.reduce((sum, column) => sum + 2 + widthOf(column, tasks), 0);
  const names = tasks.map(({ task }) => escapeText(task, 200));
  const needed = Math.min(NAME_WIDTH, Math.max(...names.map(width)));
  let shown = columnsOf(options);
  while (roomBeside(shown) < needed && shown.some(({ isOptional }) => isOptional === true)) {
    const gone = shown.find(({ isOptional }) => isOptional === true);
    shown = shown.filter((column) => column !== gone);
  }
  const fitted = fitNames(names, names, Math.max(8, roomBeside(shown)), ellipsis);
  const lines = layOutTable(
    [{ title: m.columns.task, align: "left" }, ...shown],
    tasks.map((task, i) => [fitted[i] ?? "", ...shown.map(({ cell }) => cell(task))]),
  );
  const rest = all.length - tasks.length;
  return [
    ...lines.map((line, i) =>
      i > 0 && tasks[i - 1]?.verdict === "fail" ? style.bold(`  ${line}`) : `  ${line}`,
    ),
    ...(rest > 0 ? [`  ${m.more(formatCount(rest))}`] : []),
  ];
}

function columnsOf({ m, lang }: TaskTableOptions): readonly TaskColumn[] {
  const words = MESSAGES[lang].tensorVerdict;
  const right = "right" as const;
  return [
    {
      title: m.columns.items,
      align: right,
      cell: ({ items }) => formatCount(items),
      isOptional: true,
    },
    {
      title: m.columns.reference,
      align: right,
      cell: ({ reference }) => (reference === null ? "-" : formatPercent(reference.accuracy)),
      isOptional: true,
    },
    {
      title: m.columns.candidate,
      align: right,
      cell: ({ candidate }) => formatPercent(candidate.accuracy),
    },
    {
      title: m.columns.difference,
      align: right,
      cell: ({ difference }) => formatPoints(difference.value),
    },
    {
      title: m.columns.interval,
      align: right,
      cell: ({ difference: { ci95 } }) =>
        ci95 === null ? "-" : ci95.map((bound) => formatPoints(bound)).join(" "),
    },
    { title: m.columns.verdict, align: "left", cell: ({ verdict }) => words[verdict] },
  ];
}

function widthOf({ title, cell }: TaskColumn, tasks: readonly TaskResult[]): number {
  return Math.max(width(title), ...tasks.map((task) => width(cell(task))));
}
