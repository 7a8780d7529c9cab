/** The baseline of `npu-diff check`: written, compared with, and what it excuses. */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BASELINE_SCHEMA, BASELINE_SCHEMA_ID } from "../../src/config/baseline-file.ts";
import type { CheckResult } from "../../src/core/check-result.ts";
import type { Finding } from "../../src/core/findings.ts";
import { publishedSchema } from "../../src/report/json.ts";
import { cli, type Ended } from "../support/cli.ts";
import { BAD_PAIR, GOOD_PAIR, writeConfig, writeRepository, writeRun } from "../support/gate.ts";
import { scratch } from "../support/scratch.ts";
import { toyTensors, writeToyRun } from "../support/toy-run.ts";

const files = scratch();
const { folder } = files;
const BASELINE = join(folder, "npu-diff.baseline.json");
const SCHEMA = publishedSchema(BASELINE_SCHEMA, {
  id: BASELINE_SCHEMA_ID,
  source: "src/config/baseline-file.ts",
  title: "Baseline of npu-diff check",
});

type Env = Readonly<Record<string, string>>;

beforeAll(() => {
  writeRepository(folder);
  writeRun(join(folder, "worse.arrow"), { noise: 4e-7, seed: 1 });
  writeRun(join(folder, "better.arrow"), { noise: 2e-8, seed: 1 });
  const less = toyTensors().filter(({ name }) => name !== "norm");
  writeToyRun(join(folder, "less.arrow"), less, { id: "less" });
  writeToyRun(join(folder, "other.arrow"), toyTensors(), {
    id: "other",
    ids: (sample) => Array.from({ length: [7, 5][sample] ?? 0 }, () => 3),
  });
  mkdirSync(join(folder, "sub"), { recursive: true });
});

beforeEach(() => {
  rmSync(BASELINE, { force: true });
});

function check(pairs: object, args: readonly string[] = [], env: Env = {}): Promise<Ended> {
  return checkWith({ baseline: "npu-diff.baseline.json", pairs }, args, env);
}

function checkWith(config: object, args: readonly string[], env: Env = {}): Promise<Ended> {
  writeConfig(folder, config);
  return cli(["check", ...args], { cwd: folder, env: { CI: "", ...env } });
}

async function findings(pairs: object, more: object = {}): Promise<readonly Finding[]> {
  const config = { baseline: "npu-diff.baseline.json", pairs, ...more };
  const { stdout } = await checkWith(config, ["--json"]);
  const [pair] = (JSON.parse(stdout) as CheckResult).pairs;
  return (pair?.result?.findings ?? []).filter(({ rule }) => rule.startsWith("baseline/"));
}

/** A pair whose noise no absolute limit looks at. */
function loose(candidate: string): object {
  return { ...GOOD_PAIR, candidate, limits: { maxFloorRatio: 1000 } };
}

test("the committed schema is the generated one, and accepts what is written", async () => {
  await expect(SCHEMA).toMatchFileSnapshot("../../schema/baseline.schema.json");
  await check({ good: GOOD_PAIR, bad: BAD_PAIR }, ["-u"]);
  const validate = new Ajv2020().compile(JSON.parse(SCHEMA) as object);
  expect(validate(JSON.parse(readFileSync(BASELINE, "utf8")))).toBe(true);
});

describe("writing", () => {
  test("one tensor a line, sorted, the same bytes every time", async () => {
    const pairs = { b: GOOD_PAIR, a: GOOD_PAIR };
    const first = await check(pairs, ["-u", "--jobs", "1"]);
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining("written")]);
    const text = readFileSync(BASELINE, "utf8");
    await check(pairs, ["--update", "--jobs", "2"]);
    expect(readFileSync(BASELINE, "utf8")).toBe(text);
    const { pairs: written } = JSON.parse(text) as { pairs: Record<string, unknown> };
    expect(Object.keys(written)).toEqual(["a", "b"]);
    expect(text.split("\n").filter((line) => line.includes('"gm"'))).toHaveLength(2 * 15);
    // Figures have six digits; the hashes are no figures.
    for (const [figure] of text.matchAll(/(?<=": )-?[\d.]+(?:e-?\d+)?(?=[, }])/g)) {
      expect(Number(Number(figure).toPrecision(6))).toBe(Number(figure));
    }
  });

  test("-u of a name keeps the others, -u of all drops what is no longer a pair", async () => {
    await check({ a: GOOD_PAIR, b: GOOD_PAIR }, ["-u"]);
    const pairsOf = (): string[] =>
      Object.keys((JSON.parse(readFileSync(BASELINE, "utf8")) as { pairs: object }).pairs);
    await check({ a: GOOD_PAIR }, ["-u", "a"]);
    expect(pairsOf()).toEqual(["a", "b"]);
    await check({ a: GOOD_PAIR }, ["-u"]);
    expect(pairsOf()).toEqual(["a"]);
  });

  test("nothing is written where a pair could not be compared", async () => {
    const { code, stdout } = await check({ a: GOOD_PAIR, b: loose("gone.arrow") }, ["-u"]);
    expect(code).toBe(2);
    expect(stdout).toContain("not written");
    expect(existsSync(BASELINE)).toBe(false);
  });

  test("an accepted failure stays a failure", async () => {
    expect((await check({ bad: BAD_PAIR }, ["-u"])).code).toBe(1);
    expect((await check({ bad: BAD_PAIR })).code).toBe(1);
  });

  test.each([[["--update=new"]], [["-u=new"]], [["-u", "new"]], [["--update", "new"]]])(
    "%s only adds",
    async (args) => {
      await check({ a: loose("less.arrow") }, ["-u"]);
      const before = readFileSync(BASELINE, "utf8");
      const { code } = await check({ a: loose("worse.arrow"), b: GOOD_PAIR }, args);
      const after = readFileSync(BASELINE, "utf8");
      // The figures of less.arrow are 0, and stay; what it lacks is added.
      expect(code).toBe(1);
      expect(after).toContain('"norm"');
      for (const line of before.split("\n").filter((one) => one.includes('"gm"'))) {
        expect(after).toContain(line.replace(/,$/, ""));
      }
      expect(Object.keys((JSON.parse(after) as { pairs: object }).pairs)).toEqual(["a", "b"]);
    },
  );

  test("there must be a place for it", async () => {
    const { code, stderr } = await checkWith({ pairs: { a: GOOD_PAIR } }, ["-u"]);
    expect(stderr).toContain("the config names no baseline to update");
    expect(code).toBe(2);
    const wrong = await check({ a: GOOD_PAIR }, ["--update=some"]);
    expect(wrong.stderr).toContain("expected  all, new");
  });
});

describe("comparing", () => {
  test("the same figures hold", async () => {
    await check({ a: GOOD_PAIR }, ["-u"]);
    expect((await check({ a: GOOD_PAIR }, [], { CI: "true" })).code).toBe(0);
    expect(await findings({ a: GOOD_PAIR })).toEqual([]);
  });

  test("a worse figure fails, though no absolute limit does", async () => {
    await check({ a: loose("good.arrow") }, ["-u"]);
    expect((await check({ a: loose("worse.arrow") })).code).toBe(1);
    const found = await findings({ a: loose("worse.arrow") });
    const regression = found.find(
      ({ tensor, detail }) => tensor === "layers.1" && detail["metric"] === "tokenRelL2.gm",
    );
    expect(regression?.level).toBe("error");
    const before = Number(regression?.detail["baseline"]);
    // Twice the noise is about twice the error, as float32 rounds it; the allowance is a tenth.
    expect(Number(regression?.value) / before).toBeGreaterThan(1.8);
    expect(Number(regression?.value) / before).toBeLessThan(2.2);
    expect(regression?.limit).toBeCloseTo(1.1 * before, 15);
  });

  test("an allowance lets it be worse by a share, and by an amount", async () => {
    await check({ a: loose("good.arrow") }, ["-u"]);
    const allowed = (allowance: object): Promise<readonly Finding[]> =>
      findings({ a: loose("worse.arrow") }, { allowance });
    expect(await allowed({ relative: 10 })).toEqual([]);
    const gm = (found: readonly Finding[]): number =>
      found.filter(({ detail }) => detail["metric"] === "tokenRelL2.gm").length;
    expect(gm(await allowed({ absolute: { gm: 1e-7 } }))).toBeGreaterThan(0);
    expect(gm(await allowed({ absolute: { gm: 1e-5 } }))).toBe(0);
  });

  test("a better figure is told", async () => {
    await check({ a: loose("good.arrow") }, ["-u"]);
    const [found, ...rest] = await findings({ a: loose("better.arrow") });
    expect(rest).toEqual([]);
    expect(found).toMatchObject({ rule: "baseline/improved", level: "info" });
  });

  test("a tensor that is gone fails, one that is new is told", async () => {
    await check({ a: loose("good.arrow") }, ["-u"]);
    const pair = { ...GOOD_PAIR, skip: ["norm"] };
    expect(await findings({ a: pair })).toMatchObject([
      { rule: "baseline/gone", level: "error", tensor: "norm" },
    ]);
    await check({ a: pair }, ["-u"]);
    expect(await findings({ a: GOOD_PAIR })).toMatchObject([
      { rule: "baseline/new", level: "warning", tensor: "norm" },
    ]);
  });

  test("a floor that is gone takes its figures along", async () => {
    await check({ a: GOOD_PAIR }, ["-u"]);
    const found = await findings({ a: { ...GOOD_PAIR, floor: [] } });
    expect(new Set(found.map(({ detail }) => detail["metric"]))).toEqual(new Set(["floorRatio"]));
  });

  test("other tokens are nothing to compare with", async () => {
    await check({ a: GOOD_PAIR }, ["-u"]);
    const pair = { ...GOOD_PAIR, reference: "other.arrow", candidate: "other.arrow", floor: [] };
    const { code, stdout } = await check({ a: pair });
    expect(stdout).toMatch(/\[baseline-differs\] the baseline of "a" is one of other\s+tokens/);
    expect(stdout).toMatch(/npu-diff\.baseline\.json\s+[0-9a-f]{64}\n +this run\s+[0-9a-f]{64}\n/);
    expect(code).toBe(2);
  });

  test("so is another preset", async () => {
    await check({ a: GOOD_PAIR }, ["-u"]);
    const { code, stdout } = await check({ a: GOOD_PAIR }, ["--preset", "bf16"]);
    expect(stdout).toContain("another preset");
    expect(code).toBe(2);
  });

  test("a regression may be a warning, by the config", async () => {
    await check({ a: loose("good.arrow") }, ["-u"]);
    const pair = { ...loose("worse.arrow"), rules: { "baseline/regression": "warning" } };
    const { code, stdout } = await check({ a: pair });
    expect(code).toBe(0);
    expect(stdout).toContain("baseline/regression is a warning only");
  });
});

describe("without a baseline", () => {
  test("locally a hint, in CI an error", async () => {
    const local = await check({ a: GOOD_PAIR });
    expect(local.code).toBe(0);
    expect(local.stdout).toContain("npu-diff check -u");
    const ci = await check({ a: GOOD_PAIR }, [], { CI: "true" });
    expect(ci.code).toBe(2);
    expect(ci.stderr).toMatch(/^error\[baseline-missing\]: there is no baseline\n/);
    expect((await check({ a: GOOD_PAIR }, [], { CI: "false" })).code).toBe(0);
  });

  test("of a pair that is new", async () => {
    await check({ a: GOOD_PAIR }, ["-u"]);
    expect((await check({ a: GOOD_PAIR, b: GOOD_PAIR })).code).toBe(0);
    const ci = await check({ a: GOOD_PAIR, b: GOOD_PAIR }, [], { CI: "1" });
    expect(ci.stdout).toContain('the baseline has no pair "b"');
    expect(ci.code).toBe(2);
  });
});

describe('allowance.against = "baseline"', () => {
  const allowance = { against: "baseline" };

  test("a known failure is a warning as long as it is no worse", async () => {
    const config = { baseline: "npu-diff.baseline.json", allowance, pairs: { a: BAD_PAIR } };
    expect((await checkWith(config, ["-u"])).code).toBe(0);
    const { code, stdout } = await checkWith(config, []);
    expect(code).toBe(0);
    expect(stdout).toMatch(/findings are no worse than in npu-diff\.baseline\.json/);
  });

  test("a failure that the baseline does not know fails", async () => {
    const config = (candidate: string): object => ({
      baseline: "npu-diff.baseline.json",
      allowance: { ...allowance, relative: 1e12 },
      pairs: { a: { ...GOOD_PAIR, candidate } },
    });
    expect((await checkWith(config("good.arrow"), ["-u"])).code).toBe(0);
    expect((await checkWith(config("bad.arrow"), [])).code).toBe(1);
  });

  test("what is missing is never excused", async () => {
    const pair = { ...GOOD_PAIR, candidate: "less.arrow" };
    const config = { baseline: "npu-diff.baseline.json", allowance, pairs: { a: pair } };
    expect((await checkWith(config, ["-u"])).code).toBe(1);
    expect((await checkWith(config, [])).code).toBe(1);
  });
});

describe("a baseline that somebody damaged", () => {
  test.each<[string, string, RegExp]>([
    ["no JSON", "{", /npu-diff\.baseline\.json:\d+ is no baseline/],
    ["a conflict of a merge", "<<<<<<< HEAD\n{}\n", /:1 is no baseline/],
    [
      "another version",
      '{"$schema": "npu-diff/schema/baseline.schema.json",\n"schemaVersion": 2, "pairs": {}}',
      /:2 is no baseline/,
    ],
    [
      "an unknown figure",
      '{"$schema": "npu-diff/schema/baseline.schema.json", "schemaVersion": 1, "pairs": {"a": {}}}',
      /is no baseline/,
    ],
    ["deep nesting", "[".repeat(200_000), /is no baseline/],
    ["a report", '{"verdict": "pass"}', /is no baseline/],
  ])("%s", async (_name, text, expected) => {
    writeFileSync(BASELINE, text);
    for (const args of [[], ["-u"]]) {
      const { code, stderr } = await check({ a: GOOD_PAIR }, args);
      expect(stderr).toMatch(expected);
      expect(code).toBe(2);
    }
    expect(readFileSync(BASELINE, "utf8")).toBe(text);
  });

  test("figures that are no numbers keep nothing", async () => {
    await check({ a: GOOD_PAIR }, ["-u"]);
    const text = readFileSync(BASELINE, "utf8");
    writeFileSync(BASELINE, text.replace(/"gm": [^,]+/, '"gm": "NaN"'));
    expect(await findings({ a: GOOD_PAIR })).toMatchObject([
      { rule: "baseline/regression", tensor: "embed" },
    ]);
  });

  test("reports do not replace it", async () => {
    const { code, stderr } = await check({ a: GOOD_PAIR }, ["-u", "-o", "npu-diff.baseline.json"]);
    expect(stderr).toContain("a report would replace another file of this call");
    expect(code).toBe(2);
  });
});
