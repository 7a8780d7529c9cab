/** The reports of task results, and the published schema of the JSON one. */

import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { compareTaskResults } from "../../src/compare-task-results.ts";
import type { TaskResultsComparison } from "../../src/core/task-results.ts";
import { MESSAGES } from "../../src/report/messages/index.ts";
import { PLAIN } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";
import { renderTaskJson, renderTaskSchema } from "../../src/report/task-results/json.ts";
import { renderTaskMarkdown } from "../../src/report/task-results/markdown.ts";
import { renderTaskText } from "../../src/report/task-results/text.ts";
import { random, scratch } from "../support/scratch.ts";
import { jsonLines, pairOf, rightOrWrong, twoRuns } from "../support/task-files.ts";

const files = scratch();

/** Real comparisons of made items; names of files do not depend on the run. */
function cases(): Readonly<Record<string, TaskResultsComparison>> {
  const [greedy, sampled] = twoRuns(1319, { first: 63, second: 238, either: 281 });
  const runs = [rightOrWrong(files, greedy), rightOrWrong(files, sampled)];
  const pair = (counts: Parameters<typeof pairOf>[1]) => {
    const [reference = "", candidate = ""] = pairOf(1319, counts).map((items) =>
      rightOrWrong(files, items),
    );
    return { reference: [reference], candidate: [candidate] };
  };
  const tasks = (shift: number): string =>
    files.file(
      Array.from({ length: 40 }, (_, task) => {
        const next = random(task);
        const lines = Array.from({ length: 60 }, () => ({
          task: `mmlu_${task}_of_a_rather_long_name`,
          correct: next() < (task === 7 ? 0.9 - shift : 0.6),
        }));
        return jsonLines(lines);
      }).join(""),
      ".jsonl",
    );
  const scores = (shift: number): string => {
    const next = random(3);
    const lines = Array.from({ length: 90 }, (_, item) => ({
      group: `passage ${Math.floor(item / 3)}`,
      score: Math.round(1000 * Math.max(0, next() * 0.8 - shift * next())) / 1000,
    }));
    return files.file(jsonLines(lines), ".jsonl");
  };
  const few = (score: number): string =>
    files.file(jsonLines([{ score }, { score: 1 - score / 2 }, { score: 0.5 }]), ".jsonl");
  return {
    "baseline alone": compareTaskResults({ baseline: 0.22, candidate: runs, passAt: 2 }),
    "baseline by point": compareTaskResults({
      ...{ baseline: 0.22, candidate: runs, passAt: 2, decide: "point", maxDrop: 0.01 },
    }),
    "paired pass": compareTaskResults(pair({ both: 287, lost: 3, gained: 2 })),
    "paired fail": compareTaskResults(pair({ both: 200, lost: 90, gained: 10 })),
    "paired open": compareTaskResults({
      ...pair({ both: 278, lost: 12, gained: 3 }),
      maxDrop: 0.01,
    }),
    "one task falls": compareTaskResults({ reference: [tasks(0)], candidate: [tasks(0.6)] }),
    "scores in groups": compareTaskResults({ reference: [scores(0)], candidate: [scores(0.1)] }),
    "too few": compareTaskResults({ reference: [few(0.4)], candidate: [few(0.2)] }),
    "mean over runs": compareTaskResults({ reference: runs, candidate: runs.toReversed() }),
  };
}

const CASES = Object.entries(cases());

const VARIANTS = {
  "en-80": { lang: "en", ascii: false, columns: 80, style: PLAIN },
  "zh-80": { lang: "zh", ascii: false, columns: 80, style: PLAIN },
  "en-60-ascii": { lang: "en", ascii: true, columns: 60, style: PLAIN },
} as const;

describe.each(Object.entries(VARIANTS))("%s", (variant, options) => {
  test.each(CASES)("%s", async (name, result) => {
    const text = renderTaskText(result, options);
    const file = `eval-${name.replaceAll(" ", "-")}.${variant}.txt`;
    await expect(text).toMatchFileSnapshot(`snapshots/${file}`);
    expect(text.split("\n").filter((line) => width(line) > options.columns)).toEqual([]);
    // The verdict leads, and below a table of tasks it stands again.
    const verdict = `${MESSAGES[options.lang].verdict[result.verdict]}  `;
    expect(text.startsWith(verdict)).toBe(true);
    expect(text.trimEnd().split("\n\n").at(-1)?.startsWith(verdict)).toBe(result.tasks.length > 1);
    expect(text).toMatch(/[^\s]\n$/);
    expect(text).not.toMatch(/[ \t]\n/);
    if (options.ascii) expect(text).toMatch(/^[\u0000-\u007f]*$/);
  });
});

describe.each(["en", "zh"] as const)("Markdown, %s", (lang) => {
  test.each(CASES)("%s", async (name, result) => {
    const file = `eval-${name.replaceAll(" ", "-")}.${lang}.md`;
    await expect(renderTaskMarkdown(result, { lang })).toMatchFileSnapshot(`snapshots/${file}`);
  });
});

describe("JSON", () => {
  const validate = new Ajv2020({ allErrors: true }).compile(
    JSON.parse(renderTaskSchema()) as Record<string, unknown>,
  );

  test("the committed schema is the generated one", async () => {
    await expect(renderTaskSchema()).toMatchFileSnapshot("../../schema/task-results.schema.json");
  });

  test.each(CASES)("the schema accepts: %s", (_name, result) => {
    const document: unknown = JSON.parse(renderTaskJson(result));
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(document).toMatchObject({ ...result, tasks: result.tasks });
  });

  test("it rejects a field that is missing, unknown, or of another type, at any place", () => {
    const [, [, result] = []] = CASES;
    const text = result === undefined ? "" : renderTaskJson(result);
    const objects = (value: unknown): readonly Record<string, unknown>[] =>
      typeof value !== "object" || value === null
        ? []
        : [
            ...(Array.isArray(value) ? [] : [value as Record<string, unknown>]),
            ...Object.values(value).flatMap(objects),
          ];
    const count = objects(JSON.parse(text)).length;
    expect(count).toBeGreaterThan(10);
    for (let at = 0; at < count; at += 1) {
      const changed = (change: (place: Record<string, unknown>) => void): boolean => {
        const document: unknown = JSON.parse(text);
        change(objects(document)[at] ?? {});
        return validate(document);
      };
      const keys = Object.keys(objects(JSON.parse(text))[at] ?? {});
      for (const key of keys) {
        expect(
          changed((place) => {
            Reflect.deleteProperty(place, key);
          }),
        ).toBe(false);
        expect(changed((place) => void (place[key] = [[true]]))).toBe(false);
      }
      expect(changed((place) => void (place["unknown"] = 1))).toBe(false);
    }
  });
});
