/** The table of a comparison as other programs read it: Python's csv module. */

import { expect, test } from "vitest";
import { renderCsv } from "../../src/report/csv.ts";
import { python } from "../support/python.ts";
import { scratch } from "../support/scratch.ts";
import { comparison, RESULTS, tensor } from "./results.ts";

const files = scratch();

function read(text: string): readonly Readonly<Record<string, string>>[] {
  return JSON.parse(python("read_csv.py", files.file(text, ".csv"))) as never;
}

/** The value at a dotted path. */
function at(value: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (one, key) => (one === null ? null : (one as Record<string, unknown>)[key]),
      value,
    );
}

test.each(["pass", "fail by layer", "not finite", "statistics"] as const)(
  "every figure of %s is where its path in JSON says",
  (name) => {
    const result = RESULTS[name];
    const rows = read(renderCsv(result));
    expect(rows.length).toBe(result.tensors.length);
    for (const [i, row] of rows.entries()) {
      for (const [path, text] of Object.entries(row)) {
        const value = at(result.tensors[i], path);
        expect(text, path).toBe(value === null ? "" : (value as string | number).toString());
      }
    }
  },
);

test("names that are formulas, quotes and lines are texts in one cell", () => {
  const names = ["=1+1", "+x", "-x", "@x", 'a"b', "a,b", "a\nb", "'=1", " =1"];
  const rows = read(renderCsv(comparison({ tensors: names.map((name) => tensor(name, 1, 1)) })));
  expect(rows.map(({ name }) => name)).toEqual([
    ...["'=1+1", "'+x", "'-x", "'@x", 'a"b', "a,b", "a\\nb", "'=1", " =1"],
  ]);
});
