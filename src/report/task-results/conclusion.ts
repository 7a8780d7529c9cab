/** The verdict of task results in a sentence, and what must be known beside it. */

import { escapeText } from "../../core/escape.ts";
import type { TaskResultsComparison } from "../../core/task-results.ts";
import { formatCount } from "../format-number.ts";
import { formatPoints, pointsBeside } from "./format-points.ts";
import type { TaskMessages } from "./messages.ts";

/** Names of tasks that are listed. */
const NAMES_SHOWN = 5;
/** Columns of a name in a sentence. */
const NAME_LENGTH = 40;

/** `PASS` belongs before it. */
export function headline(result: TaskResultsComparison, m: TaskMessages): string {
  const { pooled, tasks, verdict, decide, maxDrop } = result;
  const { value, ci95 } = pooled.difference;
  const failed = tasks.filter((task) => task.verdict === "fail");
  if (verdict === "fail" && pooled.verdict !== "fail") {
    const { limit } = pointsBeside([], maxDrop);
    return m.verdict.tasksBeyond(
      `${formatCount(failed.length)} / ${formatCount(tasks.length)}`,
      limit,
    );
  }
  const shown = pointsBeside([value, ...(ci95 ?? [])], maxDrop);
  const [point = "", low = "", high = ""] = shown.values;
  const { limit } = shown;
  if (decide === "point") return m.verdict.point(point, limit);
  if (ci95 === null) return m.verdict.noInterval(limit);
  if (verdict === "pass") return m.verdict.within(point, low, limit);
  if (verdict === "fail") return m.verdict.beyond(point, high, limit);
  return m.verdict.open(low, high, limit);
}

/** What the verdict rests on and what would change it, the most important first. */
export function evidence(result: TaskResultsComparison, m: TaskMessages): readonly string[] {
  const { pooled, tasks, decide, limitFrom, baseline, passAt, inputs } = result;
  const many = tasks.length > 1;
  const failed = many ? tasks.filter(({ verdict }) => verdict === "fail") : [];
  const open = many ? tasks.filter(({ verdict }) => verdict === "inconclusive") : [];
  const { ci95 } = pooled.difference;
  const runs = Math.max(inputs.reference.length, inputs.candidate.length);
  const filters = tasks.filter(({ otherFilters }) => otherFilters.length > 0);
  const twice = givenTwice(result);
  const isOpen = result.verdict === "inconclusive";
  return [
    ...(failed.length > 0
      ? [
          m.tasksFail(
            names(
              failed.map(({ task }) => task),
              m,
            ),
          ),
        ]
      : []),
    ...(open.length > 0 ? [m.tasksOpen(formatCount(open.length), formatCount(tasks.length))] : []),
    // Two digits: more is not known.
    ...(isOpen && pooled.itemsNeeded !== null
      ? [m.needed(formatCount(Number(pooled.itemsNeeded.toPrecision(2))))]
      : []),
    ...(isOpen ? [m.decidePoint] : []),
    ...(decide === "point" && ci95 !== null
      ? [m.byPoint(formatPoints(ci95[0]), formatPoints(ci95[1]))]
      : []),
    ...(twice.length > 0 ? [m.sameBytes(names(twice, m))] : []),
    ...(limitFrom === "method" ? [m.defaultLimit] : []),
    ...(many && decide === "interval" ? [m.taskIntervalNote] : []),
    ...(baseline === null ? [] : [m.baselineNote]),
    ...(passAt < runs ? [m.runsNote(formatCount(passAt))] : []),
    ...filters
      .slice(0, NAMES_SHOWN)
      .map(({ task, filter, otherFilters }) =>
        m.filterNote(name(task) || m.labels.task, name(filter ?? ""), names(otherFilters, m)),
      ),
  ];
}

/** Files whose bytes another file has as well: a side beside itself, or a run taken for two. */
function givenTwice({ inputs }: TaskResultsComparison): readonly string[] {
  const all = [...inputs.reference, ...inputs.candidate].flat();
  const seen = new Set<string>();
  return all
    .filter(({ sha256 }) => {
      const isSeen = seen.has(sha256);
      seen.add(sha256);
      return isSeen;
    })
    .map(({ file }) => file);
}

function name(text: string): string {
  return escapeText(text, NAME_LENGTH);
}

function names(all: readonly string[], m: TaskMessages): string {
  const shown = all.slice(0, NAMES_SHOWN).map(name).join(", ");
  const rest = all.length - NAMES_SHOWN;
  return rest > 0 ? `${shown}, ${m.more(formatCount(rest))}` : shown;
}
