/** Task results that lie, break off, or mean harm. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareTaskResults } from "../../src/compare-task-results.ts";
import { cli } from "../support/cli.ts";
import { errorOf, random, scratch } from "../support/scratch.ts";
import { jsonLines } from "../support/task-files.ts";

const files = scratch();
const GOOD = jsonLines([{ correct: true }, { correct: false }, { correct: true }]);

function compare(candidate: string | Uint8Array, reference: string = GOOD): unknown {
  const [a, b] = [files.file(reference, ".jsonl"), files.file(candidate, ".jsonl")];
  return errorOf(() => compareTaskResults({ reference: [a], candidate: [b] }));
}

describe("an error with a code, not a verdict", () => {
  test.each<[string, string | Uint8Array, string, RegExp]>([
    ["an empty file", "", "file-empty", /is empty/],
    ["blank lines", "\n \n\n", "file-empty", /holds no item/],
    ["a line that breaks off", GOOD.slice(0, -5), "results-truncated", /breaks off in line 3/],
    ["a line that is missing", GOOD.split("\n").slice(1).join("\n"), "items-differ", /item "0"/],
    ["an item more", `${GOOD}{"id": 9, "correct": true}\n`, "items-differ", /only the candidate/],
    ["an item twice", `${GOOD}{"id": "1", "correct": true}\n`, "duplicate-items", /item "1" twice/],
    ["no JSON", "correct: true\n", "results-invalid", /line 1 is not JSON/],
    ["a list", "[1, 2]\n", "results-invalid", /is not an object/],
    ["bytes", new Uint8Array([0x7b, 0xff, 0x0a]), "results-invalid", /not UTF-8/],
    ["no id", '{"correct": true}\n', "results-invalid", /which item/],
    ["an id that is an object", '{"id": {}, "correct": true}\n', "results-invalid", /which item/],
    ["no score", '{"id": 1}\n', "results-invalid", /has no score/],
    ["no score later", `${GOOD}{"id": 7}\n`, "score-invalid", /line 4/],
    ["NaN", '{"id": 0, "score": NaN}\n', "score-invalid", /line 1/],
    ["infinity", '{"id": 0, "score": 1e999}\n', "score-invalid", /line 1/],
    ["a score of 17", '{"id": 0, "score": 17}\n', "score-invalid", /line 1/],
    ["a negative score", '{"id": 0, "score": -0.1}\n', "score-invalid", /line 1/],
    ["a word for a score", '{"id": 0, "correct": "true"}\n', "score-invalid", /line 1/],
    ["null", '{"id": 0, "correct": null}\n', "score-invalid", /line 1/],
    ["less is better", lessIsBetter("brier_score"), "score-invalid", /less of brier_score/],
    [
      "plain lines among the harness's",
      `${harness(0)}{"id": 1, "acc": 1}\n`,
      "results-invalid",
      /another format/,
    ],
    [
      "the harness's among plain lines",
      `${GOOD}${harness(9)}`,
      "results-invalid",
      /another format/,
    ],
    ["a task a line", tasks(5000), "results-invalid", /too many tasks/],
    ["deep nesting", `{"id": ${"[".repeat(1e6)}\n`, "results-invalid", /line 1 is not JSON/],
  ])("%s", (_name, candidate, code, message) => {
    const error = compare(candidate);
    expect(error).toMatchObject({ code });
    expect(String(error)).toMatch(message);
  });

  test("what an item asks differs, or its group", () => {
    const item = (extra: object): string => jsonLines([{ correct: true, ...extra }]);
    const cases = [
      [{ prompt: "1 + 1?" }, { prompt: "1 + 2?" }],
      [{ target: "2" }, { target: 2.5 }],
      [{ group: "a" }, { group: "b" }],
      [{ group: "a" }, {}],
    ] as const;
    for (const [mine, theirs] of cases) {
      expect(compare(item(mine), item(theirs))).toMatchObject({ code: "items-differ" });
    }
    expect(compare(item({ prompt: "same" }), item({ prompt: "same" }))).toBe(undefined);
    expect(compare(item({ prompt: "said on one side" }), item({}))).toBe(undefined);
  });

  test("a file that is not there, and a folder without results", () => {
    const error = (candidate: string): unknown =>
      errorOf(() => compareTaskResults({ baseline: 0.5, candidate: [candidate] }));
    expect(error(join(files.folder, "none.jsonl"))).toMatchObject({ code: "file-not-found" });
    expect(error("/dev/zero")).toMatchObject({ code: "file-unreadable" });
    expect(error("/proc/self/fd")).toMatchObject({ code: "file-not-found" });
  });

  test("a line without an end", () => {
    const path = files.path(".jsonl");
    writeFileSync(path, Buffer.alloc(65 * 1024 * 1024, "x"));
    const error = errorOf(() => compareTaskResults({ baseline: 0.5, candidate: [path] }));
    expect(error).toMatchObject({ code: "results-invalid" });
    expect(String(error)).toContain("line 1 is too long");
  });

  test("pass@2 of scores between", () => {
    const scores = files.file(jsonLines([{ score: 0.5 }, { score: 1 }]), ".jsonl");
    const error = errorOf(() =>
      compareTaskResults({ baseline: 0.5, candidate: [scores, scores], passAt: 2 }),
    );
    expect(error).toMatchObject({ code: "score-invalid" });
    expect(String(error)).toContain("pass@2");
  });

  test("a share that is none, from code", () => {
    const candidate = [files.file(GOOD, ".jsonl")];
    for (const options of [{ baseline: Number.NaN }, { baseline: 0.5, maxDrop: Number.NaN }, {}]) {
      const error = errorOf(() => compareTaskResults({ candidate, ...options }));
      expect(error).toMatchObject({ code: "usage" });
    }
  });
});

describe("read as it is meant", () => {
  test("NaN in a document, as Python writes it, harms no score", () => {
    const line =
      '{"id": 0, "doc": {"x": NaN, "y": -Infinity, "z": "NaN \\" NaN"}, "correct": true}';
    expect(compare(`${line}\n`, line)).toBe(undefined);
  });

  test("CRLF, blank lines between, and no newline at the end", () => {
    expect(compare(GOOD.trimEnd().replaceAll("\n", "\r\n\r\n"))).toBe(undefined);
  });

  test("names of prototypes are names", () => {
    const items = ["__proto__", "constructor", "toString", ""].flatMap((task) =>
      ["__proto__", "hasOwnProperty"].map(
        (id) => `{"task": ${JSON.stringify(task)}, "id": "${id}", "correct": true}\n`,
      ),
    );
    expect(compare(items.join(""), items.join(""))).toBe(undefined);
  });

  test("answers are compared as text, with numbers beside strings", () => {
    const path = files.file(
      jsonLines([
        { prediction: "72", target: 72 },
        { prediction: " Paris ", target: "Paris" },
        { prediction: "paris", target: "Paris" },
      ]),
      ".jsonl",
    );
    const { pooled } = compareTaskResults({ baseline: 0.5, candidate: [path] });
    expect(pooled.candidate.correct).toBe(2);
  });
});

test("no name acts on the terminal, on Markdown, or on a CI that reads it", async () => {
  const evil = "\u001b[2J<script>|@all\u202e\n::error::";
  const lines = (correct: boolean): string =>
    ["a", "b"]
      .map((task) => `${JSON.stringify({ task: `${evil}${task}`, id: evil, correct })}\n`)
      .join("");
  const [a, b] = [files.file(lines(true), ".jsonl"), files.file(lines(false), ".jsonl")];
  for (const format of ["text", "md"]) {
    const { stdout } = await cli(["eval", a, b, "--format", format]);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(stdout).not.toMatch(/^::/m);
    if (format === "md") expect(stdout).not.toMatch(/<script|(?<!\\)\|@|[^;]@all/);
  }
  const broken = files.file(`${lines(true)}${lines(true)}`, ".jsonl");
  const { code, stderr } = await cli(["eval", a, broken]);
  expect(stderr.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  expect([code, stderr.split("\n")[0]]).toEqual([
    2,
    expect.stringContaining("error[duplicate-items]"),
  ]);
});

test("a report never replaces an input", async () => {
  const path = join(files.folder, "both.md");
  writeFileSync(path, GOOD);
  const { code, stderr } = await cli(["eval", path, path, "-o", path]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("another file of this call")]);
});

test("a hundred thousand items in groups are a matter of seconds, and the same each time", async () => {
  const next = random(9);
  const side = (shift: number): string =>
    files.file(
      Array.from(
        { length: 100_000 },
        (_, id) =>
          `{"id": ${id}, "group": ${Math.floor(id / 3)}, "score": ${Math.min(1, next() * shift)}}\n`,
      ).join(""),
      ".jsonl",
    );
  const argv = ["eval", side(1), side(1), "--json"];
  const start = performance.now();
  const first = await cli(argv);
  expect(performance.now() - start).toBeLessThan(20_000);
  expect((await cli(argv)).stdout).toBe(first.stdout);
  expect(JSON.parse(first.stdout)).toMatchObject({
    pooled: { items: 100_000, groups: 33_334, test: { method: "student-t" } },
  });
});

function harness(id: number): string {
  return `${JSON.stringify({ doc_id: id, filter: "none", metrics: ["acc"], acc: 1 })}\n`;
}

function tasks(count: number): string {
  return jsonLines(
    Array.from({ length: count }, (_, task) => ({ task: `${task}`, correct: true })),
  );
}

function lessIsBetter(metric: string): string {
  return `${JSON.stringify({ doc_id: 0, filter: "none", metrics: [metric], [metric]: 0.1 })}\n`;
}
