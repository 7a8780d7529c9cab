/** Task results as the table that model cards of ported models print. */

import { escapeLine } from "../../core/escape.ts";
import type {
  TaskFigures,
  TaskJudgement,
  TaskResultsComparison,
  TaskSideFigures,
} from "../../core/task-results.ts";
import { formatCount } from "../format-number.ts";
import { markdownTable, NO_SIDE } from "../markdown-parts.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { evidence, headline } from "./conclusion.ts";
import { formatP, formatPercent, formatPoints } from "./format-points.ts";
import { TASK_MESSAGES, type TaskMessages } from "./messages.ts";

/** Title, a row a task, the conclusion, and how the figures were made. */
export function renderTaskMarkdown(
  result: TaskResultsComparison,
  { lang }: { readonly lang: Language },
): string {
  const m = TASK_MESSAGES[lang];
  const words = MESSAGES[lang];
  const { tasks, pooled, baseline, passAt } = result;
  const row = (name: string, one: TaskFigures & TaskJudgement): readonly string[] => [
    name,
    formatCount(one.items),
    baseline === null ? sideCell(one.reference) : `${formatPercent(baseline)} %`,
    sideCell(one.candidate),
    formatPoints(one.difference.value),
    one.difference.ci95 === null
      ? NO_SIDE
      : one.difference.ci95.map((bound) => formatPoints(bound)).join(" … "),
    one.flips === null
      ? NO_SIDE
      : m.flipsInCell(formatCount(one.flips.lost), formatCount(one.flips.gained)),
    formatP(one.test.p),
    words.tensorVerdict[one.verdict],
  ];
  const runs = Math.max(result.inputs.reference.length, result.inputs.candidate.length);
  const nameOf = ({ task, metric, filter }: TaskResultsComparison["tasks"][number]): string =>
    [task, metric, filter, ...(runs > 1 ? [`pass@${passAt}`] : [])]
      .filter((part) => part !== null && part !== "")
      .join(", ");
  const columns = baseline === null ? m.card : { ...m.card, reference: m.labels.baseline };
  const { task, items, reference, candidate, difference, interval, flips, p, verdict } = columns;
  const table = markdownTable([
    [task, items, reference, candidate, difference, interval, flips, p, verdict],
    ...tasks.map((one) => row(nameOf(one), one)),
    ...(tasks.length > 1 ? [row(`**${m.labels.all}**`, pooled)] : []),
  ]);
  const notes = [...methods(result, m), ...runLines(result, m), ...evidence(result, m)];
  const sections = [
    [`### ${m.title}${words.colon}${words.verdict[result.verdict]}`],
    table,
    [escapeLine(headline(result, m))],
    notes.map((note) => `- ${escapeLine(note)}`),
  ];
  return `${sections.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function sideCell(side: TaskSideFigures | null): string {
  return side === null ? NO_SIDE : `${formatPercent(side.accuracy)} %`;
}

/** Which interval and which test. */
function methods({ pooled }: TaskResultsComparison, m: TaskMessages): readonly string[] {
  const { difference, test } = pooled;
  return [`${m.card.interval}: ${m.methods[difference.interval]}; p: ${m.tests[test.method]}`];
}

/** The runs of a side that has several. */
function runLines({ pooled }: TaskResultsComparison, m: TaskMessages): readonly string[] {
  return (["reference", "candidate"] as const).flatMap((side) => {
    const runs = pooled[side]?.runs ?? [];
    if (runs.length < 2) return [];
    const shares = runs.map(({ accuracy, correct }, i) => {
      const count =
        correct === null ? "" : ` (${m.of(formatCount(correct), formatCount(pooled.items))})`;
      return `${m.run(formatCount(i + 1))} ${formatPercent(accuracy)} %${count}`;
    });
    return [`${m.labels[side]}: ${shares.join(", ")}`];
  });
}
