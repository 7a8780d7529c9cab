/** What lm-evaluation-harness 0.4.13 itself wrote (`fixtures/lm-eval/`), beside its own figures. */

import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareTaskResults } from "../../src/compare-task-results.ts";
import { cli } from "../support/cli.ts";
import { errorOf, scratch } from "../support/scratch.ts";

const FIXTURE = fileURLToPath(new URL("../../fixtures/lm-eval/", import.meta.url));
const REFERENCE = join(FIXTURE, "reference");
const CANDIDATE = join(FIXTURE, "candidate");
const files = scratch();

function summary(folder: string): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const name = readdirSync(join(folder, "tiny-llama")).find((one) => one.startsWith("results_"));
  const text = readFileSync(join(folder, "tiny-llama", name ?? ""), "utf8");
  return (JSON.parse(text) as { results: Record<string, Record<string, number>> }).results;
}

/** A copy of a side that a test may change. */
function copy(side: string): string {
  const folder = files.path("");
  cpSync(join(side, "tiny-llama"), folder, { recursive: true });
  return folder;
}

function fileOf(folder: string, prefix: string): string {
  return join(folder, readdirSync(folder).find((name) => name.startsWith(prefix)) ?? "");
}

function edit(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, "utf8")));
}

describe("the folders that --output_path makes", () => {
  test("accuracies are the harness's own, by its first metric and filter", () => {
    const result = compareTaskResults({ reference: [REFERENCE], candidate: [CANDIDATE] });
    const [reference, candidate] = [summary(REFERENCE), summary(CANDIDATE)];
    expect(
      result.tasks.map(({ task, metric, filter, version, otherFilters }) => ({
        ...{ task, metric, filter, version, otherFilters },
      })),
    ).toEqual([
      { task: "npu_choice", metric: "acc", filter: "none", version: "1", otherFilters: [] },
      {
        ...{ task: "npu_next", metric: "exact_match", filter: "first-word", version: "2" },
        otherFilters: ["whole"],
      },
    ]);
    for (const { task, metric, filter, ...figures } of result.tasks) {
      const name = `${metric},${filter ?? ""}`;
      expect(figures.reference?.accuracy).toBeCloseTo(reference[task]?.[name] ?? Number.NaN, 14);
      expect(figures.candidate.accuracy).toBeCloseTo(candidate[task]?.[name] ?? Number.NaN, 14);
    }
    expect(result.pooled.items).toBe(28);
  });

  test.each([
    ["acc_norm", "npu_choice", "none"],
    ["exact_match", "npu_next", "whole"],
  ])("--metric %s of %s, --filter %s", (metric, task, filter) => {
    const { pooled } = compareTaskResults({
      ...{ reference: [REFERENCE], candidate: [CANDIDATE], only: [task], metric, filter },
    });
    const expected = summary(REFERENCE)[task]?.[`${metric},${filter}`];
    expect(pooled.reference?.accuracy).toBeCloseTo(expected ?? Number.NaN, 14);
  });

  test("on the command line, with a table and what it was judged by", async () => {
    const { code, stdout, stderr } = await cli(["eval", REFERENCE, CANDIDATE]);
    expect(stdout).toMatch(/npu_choice +14 +50\.00 +21\.43 +-28\.57 .* undecided/);
    expect(stdout).toContain("npu_next is judged by its filter first-word");
    expect([code, stderr]).toEqual([1, ""]);
  });

  test("the order of lines does not matter, and a lone file takes the task's name from the other", () => {
    const reference = fileOf(join(REFERENCE, "tiny-llama"), "samples_npu_choice");
    const lines = readFileSync(fileOf(join(CANDIDATE, "tiny-llama"), "samples_npu_choice"), "utf8");
    const turned = files.file(`${lines.trimEnd().split("\n").toReversed().join("\n")}\n`, ".jsonl");
    const straight = compareTaskResults({ reference: [REFERENCE], candidate: [CANDIDATE] });
    const { tasks } = compareTaskResults({ reference: [reference], candidate: [turned] });
    expect(tasks[0]).toMatchObject({
      task: "npu_choice",
      difference: { ci95: straight.tasks[0]?.difference.ci95 },
      flips: straight.tasks[0]?.flips,
    });
  });
});

describe("refused", () => {
  const compare = (candidate: string): unknown =>
    errorOf(() => compareTaskResults({ reference: [REFERENCE], candidate: [candidate] }));

  test("a line that is missing: the summary knows how many there were", () => {
    const folder = copy(CANDIDATE);
    edit(
      fileOf(folder, "samples_npu_choice"),
      (text) => `${text.split("\n").slice(0, -2).join("\n")}\n`,
    );
    expect(compare(folder)).toMatchObject({ code: "results-truncated" });
  });

  test("another document, prompt or target under the same id", () => {
    for (const hash of ["doc_hash", "prompt_hash", "target_hash"]) {
      const folder = copy(CANDIDATE);
      edit(fileOf(folder, "samples_npu_choice"), (text) =>
        text.replace(new RegExp(`("${hash}": ")....`), "$1dead"),
      );
      expect(compare(folder)).toMatchObject({
        code: "items-differ",
        message: 'task "npu_choice": item "0" asks something else on each side',
      });
    }
  });

  test("another version of the task", () => {
    const folder = copy(CANDIDATE);
    edit(fileOf(folder, "results_"), (text) => text.replace('"npu_next": 2.0', '"npu_next": 3.0'));
    expect(compare(folder)).toMatchObject({
      code: "tasks-differ",
      message: 'task "npu_next" has another version on each side',
    });
  });

  test("a task that one side lacks", () => {
    const folder = copy(CANDIDATE);
    const samples = fileOf(folder, "samples_npu_next");
    renameSync(samples, samples.replace("npu_next", "npu_last"));
    edit(fileOf(folder, "results_"), (text) => text.replaceAll("npu_next", "npu_last"));
    expect(compare(folder)).toMatchObject({
      code: "tasks-differ",
      message: 'only the reference has task "npu_next"',
    });
  });

  test("a metric of which less is better", () => {
    const folder = copy(CANDIDATE);
    edit(fileOf(folder, "results_"), (text) => text.replace('"acc": true', '"acc": false'));
    const error = compare(folder);
    expect(error).toMatchObject({ code: "score-invalid" });
    expect(String(error)).toContain("less of acc is better");
  });

  test("two runs of a task in one folder, and the folders of two models", () => {
    const folder = copy(CANDIDATE);
    const samples = fileOf(folder, "samples_npu_next");
    cpSync(samples, samples.replace("2026-", "2027-"));
    expect(compare(folder)).toMatchObject({ code: "results-ambiguous" });
    const parent = files.path("");
    mkdirSync(parent);
    for (const name of ["a", "b"]) cpSync(copy(CANDIDATE), join(parent, name), { recursive: true });
    expect(compare(parent)).toMatchObject({ code: "results-ambiguous" });
  });

  test("a metric and a filter that there are not", () => {
    const both = { reference: [REFERENCE], candidate: [CANDIDATE] };
    expect(errorOf(() => compareTaskResults({ ...both, metric: "bleu" }))).toMatchObject({
      code: "metric-missing",
    });
    expect(errorOf(() => compareTaskResults({ ...both, filter: "none" }))).toMatchObject({
      code: "metric-missing",
    });
  });

  test("a baseline for two tasks", () => {
    const error = errorOf(() => compareTaskResults({ baseline: 0.5, candidate: [CANDIDATE] }));
    expect(error).toMatchObject({ code: "usage", message: "a baseline is of one task" });
  });
});
