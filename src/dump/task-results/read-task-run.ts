/** Reads one run of an evaluation. */

import { basename } from "node:path";
import { counted } from "../../core/counted.ts";
import { NpuDiffError } from "../../core/errors.ts";
import type { TaskInput, TaskResultsOptions } from "../../core/task-results.ts";
import { matchesAny } from "../contract.ts";
import { DumpFile } from "../dump-file.ts";
import { ItemReader, isLowerBetter } from "./item.ts";
import { type JsonLine, readJsonLines } from "./json-lines.ts";
import { readSummary, type TaskSummary } from "./summary.ts";
import { namedSamples, summaryOf, taskFilesAt } from "./task-files.ts";
import type { ItemContent, TaskItems, TaskRun } from "./task-run.ts";

/** What of a run counts. */
export type TaskSelection = Pick<TaskResultsOptions, "metric" | "filter" | "only" | "skip">;

const KIND = {
  expected: "JSON lines, one item each",
  help: "give samples_*.jsonl of lm_eval --log_samples, the folder that holds them, or a file of JSON lines",
  whenEmpty: "run the evaluation again, and look for why it stopped",
};

/** Tasks of one file; with more, what names a task names an item. */
const MAX_TASKS = 4096;

/** Other filters of a task that are remembered. */
const MAX_FILTERS = 16;

/**
 * Reads the run at `path`: a file, or the folder of a run.
 *
 * @throws NpuDiffError with the code of what is wrong with it; nothing is left out silently
 */
export function readTaskRun(path: string, selection: TaskSelection): TaskRun {
  const inputs: TaskInput[] = [];
  const tasks: TaskItems[] = [];
  for (const file of taskFilesAt(path)) {
    const task = namedSamples(file)?.task;
    if (task !== undefined && !counts(task, selection)) continue;
    const read = readTaskFile(file, selection);
    inputs.push(read.input);
    tasks.push(...read.tasks);
  }
  const twice = tasks.find(({ task }, i) => tasks.findIndex((one) => one.task === task) !== i);
  if (twice !== undefined) {
    const files = tasks.filter(({ task }) => task === twice.task).map(({ file }) => file);
    throw new NpuDiffError("results-ambiguous", {
      what: `two files have task ${JSON.stringify(twice.task)}`,
      facts: [{ label: "found", text: files.join(", ") }],
      help: "give one file a task; several runs of one side are given by --reference-run and --candidate-run",
    });
  }
  if (tasks.length === 0) {
    throw new NpuDiffError("nothing-aligned", {
      what: "no task is left to compare",
      facts: [
        { label: "file", text: path },
        { label: "only", text: selection.only.join(", ") || "all" },
        { label: "skip", text: selection.skip.join(", ") || "none" },
      ],
      help: "check the patterns of --only and --skip",
    });
  }
  return { inputs, tasks };
}

/** Whether a task is among those that are asked for. */
function counts(task: string, { only, skip }: TaskSelection): boolean {
  return (only.length === 0 || matchesAny(only, task)) && !matchesAny(skip, task);
}

function readTaskFile(
  path: string,
  selection: TaskSelection,
): { readonly input: TaskInput; readonly tasks: readonly TaskItems[] } {
  const named = namedSamples(path);
  const summaryPath = named === null ? null : summaryOf(path, named.date);
  const summary = summaryPath === null ? null : readSummary(summaryPath);
  const file = DumpFile.open(path, KIND);
  try {
    const reader = new ItemReader(file);
    const builders = new Map<string, TaskBuilder>();
    const lines = readJsonLines(file);
    let next = lines.next();
    let isEmpty = true;
    for (; next.done !== true; next = lines.next()) {
      const line = next.value;
      isEmpty = false;
      const task = named?.task ?? reader.task(line.value) ?? "";
      if (!counts(task, selection)) continue;
      let builder = builders.get(task);
      if (builder === undefined) {
        builder = new TaskBuilder(file, reader, task, selection, summary?.(task) ?? null);
        builders.set(task, builder);
        if (builders.size > MAX_TASKS) throw tooManyTasks(file);
      }
      builder.add(line);
    }
    if (isEmpty) {
      throw file.fail(
        "file-empty",
        `${file.name} holds no item`,
        { found: "blank lines", expected: KIND.expected },
        KIND.whenEmpty,
      );
    }
    return {
      input: { file: basename(path), bytes: file.size, sha256: next.value },
      tasks: Array.from(builders.values(), (builder) => builder.build()),
    };
  } finally {
    file.close();
  }
}

function tooManyTasks(file: DumpFile): NpuDiffError {
  return file.fail(
    "results-invalid",
    `${file.name} names too many tasks`,
    { found: `more than ${MAX_TASKS}`, expected: "the same task in many lines" },
    "leave task out of the lines where each has one of its own",
  );
}

/** Collects the items of one task; the first line says which metric and filter count. */
class TaskBuilder {
  readonly task: string;
  readonly #file: DumpFile;
  readonly #reader: ItemReader;
  readonly #selection: TaskSelection;
  readonly #summary: TaskSummary | null;
  readonly #filters = new Set<string>();
  readonly #lineOf = new Map<string, number>();
  readonly #scores: number[] = [];
  readonly #groups: (string | null)[] = [];
  readonly #contents: ItemContent[] = [];
  #choice: { readonly metric: string; readonly filter: string | null } | null = null;

  constructor(
    file: DumpFile,
    reader: ItemReader,
    task: string,
    selection: TaskSelection,
    summary: TaskSummary | null,
  ) {
    this.task = task;
    this.#file = file;
    this.#reader = reader;
    this.#selection = selection;
    this.#summary = summary;
  }

  add({ value, number }: JsonLine): void {
    const reader = this.#reader;
    const { metric, filter } = (this.#choice ??= this.#choose(value, number));
    const found = reader.filter(value);
    if (found !== null && this.#filters.size < MAX_FILTERS) this.#filters.add(found);
    if ((found === null) !== (filter === null)) {
      throw this.#file.fail(
        "results-invalid",
        `${this.#file.name}: line ${number} is of another format than the first`,
        {
          found: found === null ? "no filter and metrics" : "a filter and metrics",
          expected: filter === null ? "none, as before" : "both, as before",
        },
        "keep results of the harness and others in files of their own",
      );
    }
    // The harness writes an item once for each filter.
    if (found !== filter) return;
    const id = reader.id(value, number);
    const earlier = this.#lineOf.get(id);
    if (earlier !== undefined) throw this.#duplicate(id, earlier, number);
    this.#lineOf.set(id, number);
    this.#scores.push(reader.score(value, metric, number));
    this.#groups.push(reader.group(value));
    this.#contents.push(reader.content(value));
  }

  build(): TaskItems {
    const filter = this.#choice?.filter ?? null;
    const items = this.#scores.length;
    if (items === 0) {
      throw this.#missing("filter", filter ?? "", [...this.#filters]);
    }
    const expected = this.#summary?.items ?? items;
    if (items !== expected) {
      throw this.#file.fail(
        "results-truncated",
        `${this.#file.name} does not hold all items of its task`,
        { found: counted(items, "item"), expected: `${expected}, by the summary beside it` },
        "copy the file again, or run the evaluation again",
      );
    }
    return {
      task: this.task,
      metric: this.#choice?.metric ?? "",
      filter,
      otherFilters: [...this.#filters].filter((one) => one !== filter).sort(),
      version: this.#summary?.version ?? null,
      file: this.#file.name,
      ids: [...this.#lineOf.keys()],
      scores: this.#scores,
      groups: this.#groups,
      contents: this.#contents,
    };
  }

  #choose(value: JsonLine["value"], line: number) {
    const metrics = this.#reader.metrics(value);
    const { metric: asked, filter } = this.#selection;
    const metric = asked ?? metrics[0];
    const isThere =
      metric !== undefined && (metrics.includes(metric) || Object.hasOwn(value, metric));
    if (!isThere) {
      throw metrics.length === 0
        ? this.#file.fail(
            "results-invalid",
            `${this.#file.name}: line ${line} has no score`,
            {
              found: Object.keys(value).slice(0, 20).join(", ") || "an empty object",
              expected: "correct, score, or prediction and target",
            },
            'give every line a score, such as {"id": "q1", "correct": true}',
          )
        : this.#missing("metric", metric ?? "", metrics);
    }
    if (this.#summary?.higherIsBetter(metric) === false || isLowerBetter(metric)) {
      throw this.#file.fail(
        "score-invalid",
        `${this.#file.name}: less of ${metric} is better`,
        { found: metric, expected: "a metric of which more is better" },
        "choose another metric with --metric",
      );
    }
    const isHarness = this.#reader.filter(value) !== null;
    return { metric, filter: isHarness ? (filter ?? this.#reader.filter(value)) : null };
  }

  #missing(what: "metric" | "filter", name: string, known: readonly string[]) {
    return this.#file.fail(
      "metric-missing",
      `${this.#file.name}: task ${JSON.stringify(this.task)} has no ${what} ${JSON.stringify(name)}`,
      { found: known.join(", "), expected: name },
      `choose one of these with --${what}, or leave the task out with --skip`,
    );
  }

  #duplicate(id: string, earlier: number, line: number) {
    return this.#file.fail(
      "duplicate-items",
      `${this.#file.name} has item ${JSON.stringify(id)} twice`,
      { found: `lines ${earlier} and ${line}`, expected: "one line an item" },
      "give each run a file of its own: --reference-run and --candidate-run add runs",
    );
  }
}
