/** Pairs the items of all runs of both sides. Whatever is not the same items is refused. */

import { counted } from "../core/counted.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { ItemContent, TaskItems, TaskRun } from "../dump/task-results/task-run.ts";

/** A run, and how messages call it: `reference`, `candidate run 2`. */
export interface LabelledRun {
  readonly label: string;
  readonly run: TaskRun;
}

/** The scores of one task, items in one order on all sides. */
export interface AlignedTask
  extends Pick<TaskItems, "task" | "metric" | "filter" | "otherFilters" | "version"> {
  readonly ids: readonly string[];
  /** Scores by run and item; no run where there is only a baseline. */
  readonly reference: readonly (readonly number[])[];
  readonly candidate: readonly (readonly number[])[];
  /** The group of each item, counted from 0 in the order of items; null where each is its own. */
  readonly groups: readonly number[] | null;
}

/**
 * Aligns every run with the first, whose order of items and tasks holds.
 *
 * @throws NpuDiffError `tasks-differ` where a task is not on all sides, or is another version, metric or
 *   filter of it; `items-differ` where items or what they ask differ
 */
export function alignTaskRuns(
  reference: readonly TaskRun[],
  candidate: readonly TaskRun[],
): readonly AlignedTask[] {
  const runs = [...labelled("reference", reference), ...labelled("candidate", candidate)];
  const [first, ...others] = runs;
  if (first === undefined) return [];
  const lone = loneName(runs);
  const named = (items: TaskItems): string => lone ?? items.task;
  for (const other of others) checkTasks(first, other, named);
  return first.run.tasks.map((base) => {
    const task = named(base);
    const scoresOf = (side: readonly TaskRun[], name: string): readonly (readonly number[])[] =>
      labelled(name, side).map(({ label, run }) => {
        const items = run.tasks.find((one) => named(one) === task) ?? base;
        return items === base
          ? base.scores
          : orderedScores({ label: first.label, items: base }, { label, items }, task);
      });
    return {
      task,
      metric: base.metric,
      filter: base.filter,
      otherFilters: base.otherFilters,
      version: base.version,
      ids: base.ids,
      reference: scoresOf(reference, "reference"),
      candidate: scoresOf(candidate, "candidate"),
      groups: numbered(base.groups),
    };
  });
}

function labelled(side: string, runs: readonly TaskRun[]): readonly LabelledRun[] {
  return runs.map((run, i) => ({ label: i === 0 ? side : `${side} run ${i + 1}`, run }));
}

/** The name of the only task, where each run has one and some files do not name it; null otherwise. */
function loneName(runs: readonly LabelledRun[]): string | null {
  const names = runs.map(({ run }) => (run.tasks.length === 1 ? run.tasks[0]?.task : undefined));
  const given = new Set(names.filter((name) => name !== ""));
  return given.size === 1 && names.includes("") ? ([...given][0] ?? null) : null;
}

function checkTasks(
  first: LabelledRun,
  other: LabelledRun,
  named: (items: TaskItems) => string,
): void {
  const differ = (what: string, mine: string, theirs: string, help: string) =>
    new NpuDiffError("tasks-differ", {
      what,
      facts: [
        { label: first.label, text: mine },
        { label: other.label, text: theirs },
      ],
      help,
    });
  for (const [here, there] of [
    [first, other],
    [other, first],
  ] as const) {
    const known = new Set(there.run.tasks.map(named));
    const missing = here.run.tasks.map(named).find((task) => !known.has(task));
    if (missing !== undefined) {
      throw differ(
        `only the ${here.label} has ${missing === "" ? "items of no task" : `task ${JSON.stringify(missing)}`}`,
        first.run.tasks.map(named).join(", ") || "no name",
        other.run.tasks.map(named).join(", ") || "no name",
        "run the same tasks on both sides, or choose those of both with --only and --skip",
      );
    }
  }
  for (const mine of first.run.tasks) {
    const theirs = other.run.tasks.find((one) => named(one) === named(mine)) ?? mine;
    const facts = [
      ["metric", mine.metric, theirs.metric],
      ["filter", mine.filter, theirs.filter],
      ["version", mine.version, theirs.version],
    ] as const;
    const found = facts.find(([, a, b]) => a !== null && b !== null && a !== b);
    if (found !== undefined) {
      const [what, a, b] = found;
      throw differ(
        `task ${JSON.stringify(named(mine))} has another ${what} on each side`,
        `${what} ${a ?? ""}`,
        `${what} ${b ?? ""}`,
        what === "version"
          ? "evaluate both sides with one version of the task"
          : `choose one for both with --${what}`,
      );
    }
  }
}

interface Side {
  readonly label: string;
  readonly items: TaskItems;
}

/** The scores of `other`, in the order of `first`. */
function orderedScores(first: Side, other: Side, task: string): readonly number[] {
  const at = new Map(other.items.ids.map((id, i) => [id, i]));
  const differ = (what: string, mine: string, theirs: string, help: string) =>
    new NpuDiffError("items-differ", {
      what: task === "" ? what : `task ${JSON.stringify(task)}: ${what}`,
      facts: [
        { label: first.label, text: `${first.items.file}: ${mine}` },
        { label: other.label, text: `${other.items.file}: ${theirs}` },
      ],
      help,
    });
  const counts = [first.items.ids.length, other.items.ids.length].map((n) => counted(n, "item"));
  const absent = (side: Side, id: string) =>
    differ(
      `only the ${side.label} has item ${JSON.stringify(id)}`,
      counts[0] ?? "",
      counts[1] ?? "",
      "evaluate the same items on both sides (the same --limit and --samples), to the end",
    );
  const order = first.items.ids.map((id) => {
    const place = at.get(id);
    if (place === undefined) throw absent(first, id);
    return place;
  });
  if (at.size > order.length) {
    const known = new Set(first.items.ids);
    const extra = other.items.ids.find((id) => !known.has(id));
    if (extra !== undefined) throw absent(other, extra);
  }
  order.forEach((place, i) => {
    const id = first.items.ids[i] ?? "";
    const found = differing(first.items.contents[i], other.items.contents[place]);
    if (found !== null) {
      throw differ(
        `item ${JSON.stringify(id)} asks something else on each side`,
        `${found.what} ${found.mine}`,
        `${found.what} ${found.theirs}`,
        found.what === "prompt hash"
          ? "use the same chat template, number of examples and seed on both sides"
          : "evaluate both sides on the same data",
      );
    }
    const groups = [first.items.groups[i], other.items.groups[place]];
    if (groups[0] !== groups[1]) {
      throw differ(
        `item ${JSON.stringify(id)} is in another group on each side`,
        `group ${groups[0] ?? "none"}`,
        `group ${groups[1] ?? "none"}`,
        "give both sides the same groups",
      );
    }
  });
  return order.map((place) => other.items.scores[place] ?? Number.NaN);
}

const CONTENT_WORDS = {
  document: "document hash",
  prompt: "prompt hash",
  target: "target hash",
} as const satisfies Record<keyof ItemContent, string>;

/** What of an item differs, where both sides say it. */
function differing(mine: ItemContent | undefined, theirs: ItemContent | undefined) {
  if (mine === undefined || theirs === undefined) return null;
  for (const part of ["document", "prompt", "target"] as const) {
    if (mine[part] !== "" && theirs[part] !== "" && mine[part] !== theirs[part]) {
      return { what: CONTENT_WORDS[part], mine: mine[part], theirs: theirs[part] };
    }
  }
  return null;
}

/** Numbers for the groups; null where no two items share one. */
function numbered(groups: readonly (string | null)[]): readonly number[] | null {
  const numbers = new Map<string, number>();
  let next = 0;
  const result = groups.map((group) => {
    const known = group === null ? undefined : numbers.get(group);
    if (known !== undefined) return known;
    const number = next;
    next += 1;
    if (group !== null) numbers.set(group, number);
    return number;
  });
  return next < groups.length ? result : null;
}
