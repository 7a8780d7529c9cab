/** A published evaluation of a port: GSM8K, 1,319 items, one greedy and one sampled run. */

import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import type { TaskResultsComparison } from "../../src/core/task-results.ts";
import { cli } from "../support/cli.ts";
import { scratch } from "../support/scratch.ts";
import { pairOf, rightOrWrong, twoRuns } from "../support/task-files.ts";

const files = scratch();
const ITEMS = 1319;

/** What SciPy and statsmodels say of the same counts. */
const PAIRED = JSON.parse(
  readFileSync(new URL("../../fixtures/paired/expected.json", import.meta.url), "utf8"),
) as {
  readonly wilson: readonly { correct: number; items: number; ci95: [number, number] }[];
  readonly baseline: readonly { correct: number; items: number; baseline: number; p: number }[];
  readonly paired: readonly {
    lost: number;
    gained: number;
    items: number;
    mcnemar: number;
    ci95: [number, number];
  }[];
};

describe("63 and 238 right, 281 in either, against a baseline of 22.00 %", () => {
  let runs: readonly string[];
  beforeAll(() => {
    const [greedy, sampled] = twoRuns(ITEMS, { first: 63, second: 238, either: 281 });
    runs = [rightOrWrong(files, greedy), rightOrWrong(files, sampled)];
  });
  const call = async (...more: readonly string[]) => {
    const [greedy = "", sampled = ""] = runs;
    const argv = ["eval", "--baseline", "22.00%", greedy, "--candidate-run", sampled];
    return cli([...argv, "--pass-at", "2", "--max-drop", "1%", ...more]);
  };

  test("the published figures, and an interval that does not decide", async () => {
    const { code, stdout, stderr } = await call();
    expect(stdout).toMatch(/candidate +21\.30 % +281 of 1319, pass@2, 95 % 19\.18 to 23\.60/);
    expect(stdout).toMatch(/run 1 +4\.78 % +63 of 1319\n/);
    expect(stdout).toMatch(/run 2 +18\.04 % +238 of 1319\n/);
    expect(stdout).toMatch(/difference +-0\.70 points, 95 % -2\.82 to \+1\.60/);
    expect(stdout).toMatch(/^INCONCLUSIVE {2}the items do not decide/m);
    expect(stdout).toContain("the baseline is a number alone");
    expect([code, stderr]).toEqual([3, ""]);
  });

  test("its bounds are those of SciPy and statsmodels", async () => {
    const { stdout } = await call("--json");
    const { pooled, verdict } = JSON.parse(stdout) as TaskResultsComparison;
    const wilson = PAIRED.wilson.find(({ correct }) => correct === 281)?.ci95 ?? [];
    const binomial = PAIRED.baseline.find(({ correct }) => correct === 281);
    expect(verdict).toBe("inconclusive");
    expect(pooled.candidate.correct).toBe(281);
    expect(pooled.difference.value).toBeCloseTo(281 / ITEMS - 0.22, 14);
    wilson.forEach((bound, i) => {
      expect(pooled.candidate.ci95?.[i]).toBeCloseTo(bound, 12);
      expect(pooled.difference.ci95?.[i]).toBeCloseTo(bound - 0.22, 12);
    });
    expect(pooled.test.method).toBe("binomial-exact");
    expect(pooled.test.p).toBeCloseTo(binomial?.p ?? Number.NaN, 9);
    expect([pooled.flips, pooled.reference]).toEqual([null, null]);
  });

  test("by the value alone it passes, as it was published", async () => {
    const { code, stdout } = await call("--decide", "point");
    expect(stdout).toMatch(/^PASS {2}-0\.70 points by its value alone, limit -1\.00$/m);
    expect(stdout).toContain("the 95 % interval, -2.82 to +1.60, was not held to the limit");
    expect(code).toBe(0);
  });

  test("the number of items that it names would decide", async () => {
    const { stdout } = await call("--json");
    const { pooled } = JSON.parse(stdout) as TaskResultsComparison;
    const items = pooled.itemsNeeded ?? 0;
    const decided = (count: number): boolean => {
      const share = 281 / ITEMS;
      const centre = (share + 1.96 ** 2 / (2 * count)) / (1 + 1.96 ** 2 / count);
      const half =
        (1.96 / (1 + 1.96 ** 2 / count)) *
        Math.sqrt((share * (1 - share)) / count + 1.96 ** 2 / (4 * count ** 2));
      return centre - half - 0.22 > -0.01;
    };
    expect([decided(items * 1.01), decided(items * 0.98)]).toEqual([true, false]);
  });

  test("without --pass-at the mean over the runs counts, and that is said", async () => {
    const [greedy = "", sampled = ""] = runs;
    const { code, stdout } = await cli([
      ...["eval", "--baseline", "22%", greedy, "--candidate-run", sampled],
    ]);
    // (63 + 238) / 2 of 1,319.
    expect(stdout).toMatch(/candidate +11\.41 % +mean of 1319, pass@1, .*Student t/);
    expect(stdout).toContain("pass@1 takes the runs for draws of one kind");
    expect(code).toBe(1);
  });
});

describe("the same items on both sides", () => {
  const sides = (counts: Parameters<typeof pairOf>[1]): readonly string[] =>
    pairOf(ITEMS, counts).map((items) => rightOrWrong(files, items));

  test.each([
    ["12 lost and 3 gained", 12, 3, "inconclusive", 3],
    ["nothing flipped", 0, 0, "pass", 0],
    ["one lost", 1, 0, "pass", 0],
    ["all lost", 1319, 0, "fail", 1],
    ["all gained", 0, 1319, "pass", 0],
  ] as const)("%s", async (_name, lost, gained, verdict, status) => {
    const both = lost === 1319 || gained === 1319 ? 0 : 270;
    const { code, stdout } = await cli(["eval", ...sides({ both, lost, gained }), "--json"]);
    const { pooled, ...result } = JSON.parse(stdout) as TaskResultsComparison;
    const expected = PAIRED.paired.find(
      (one) => one.items === ITEMS && one.lost === lost && one.gained === gained,
    );
    expect(pooled.flips).toEqual({ lost, gained });
    expect(pooled.test.method).toBe("mcnemar-exact");
    expect(pooled.test.p).toBeCloseTo(expected?.mcnemar ?? Number.NaN, 10);
    for (const i of [0, 1] as const) {
      expect(pooled.difference.ci95?.[i]).toBeCloseTo(expected?.ci95[i] ?? Number.NaN, 10);
    }
    expect([result.verdict, code]).toEqual([verdict, status]);
  });

  test("a drop beyond the limit fails, and says at best how much", async () => {
    const { code, stdout } = await cli(["eval", ...sides({ both: 200, lost: 90, gained: 10 })]);
    expect(stdout).toMatch(/^FAIL {2}accuracy fell by more than 1\.00 points: -6\.07, at best -/m);
    expect(stdout).toMatch(/lost +\d+(, \d+){4}, and 85 more\n/);
    expect(code).toBe(1);
  });

  test("a value at the limit is within it, whatever rounding makes of it", async () => {
    const items = Array.from({ length: 100 }, (_, item) => item);
    const reference = rightOrWrong(
      files,
      items.map((item) => item < 99),
    );
    const candidate = rightOrWrong(
      files,
      items.map((item) => item < 98),
    );
    expect(0.98 - 0.99).toBeLessThan(-0.01);
    const { code } = await cli(["eval", reference, candidate, "--decide", "point"]);
    expect(code).toBe(0);
  });

  test("pass@2 of two runs on both sides is paired", async () => {
    const [a1, a2] = twoRuns(ITEMS, { first: 63, second: 238, either: 281 });
    const paths = [a1, a2, a2, a1].map((run) => rightOrWrong(files, run));
    const [reference = "", reference2 = "", candidate = "", candidate2 = ""] = paths;
    const { code, stdout } = await cli([
      ...["eval", reference, candidate, "--reference-run", reference2],
      ...["--candidate-run", candidate2, "--pass-at", "2", "--json"],
    ]);
    const { pooled } = JSON.parse(stdout) as TaskResultsComparison;
    expect([pooled.reference?.correct, pooled.candidate.correct]).toEqual([281, 281]);
    expect([pooled.flips, code]).toEqual([{ lost: 0, gained: 0 }, 0]);
  });
});
