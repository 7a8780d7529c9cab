/** `npu-diff report`: a stored result rendered, and judged, again. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { CheckResult } from "../../src/core/check-result.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { cli, type Ended } from "../support/cli.ts";
import { BAD_PAIR, GOOD_PAIR, writeConfig, writeRepository } from "../support/gate.ts";
import { asStats, hidden, writeReduced } from "../support/reduced-run.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const { folder } = files;
const FLOOR = ["--floor", "floor.arrow", "--max-floor-ratio", "2.5"];
const GOOD = ["ref.arrow", "good.arrow", ...FLOOR];
const BAD = ["ref.arrow", "bad.arrow", ...FLOOR];
const STATS = ["stats-a.arrow", "stats-b.arrow"];

function run(...args: string[]): Promise<Ended> {
  return cli(args, { cwd: folder });
}

async function resultOf(...args: string[]): Promise<ComparisonResult> {
  return JSON.parse((await run(...args, "--json")).stdout) as ComparisonResult;
}

/** Everything of a result that a judgement makes, in an order of its own. */
function judgement({ verdict, findings, rules, tensors, groups }: ComparisonResult): unknown {
  const lines = (values: readonly unknown[]): readonly string[] =>
    values.map((value) => JSON.stringify(value)).toSorted();
  return {
    verdict,
    // Which module the error begins in is not looked for again.
    findings: lines(findings.map((one) => ({ ...one, role: null }))),
    rules: lines(rules),
    tensors: tensors.map((one) => [one.name, one.verdict]),
    groups: groups.map((one) => one.verdict),
  };
}

beforeAll(async () => {
  writeRepository(folder);
  const statistics = (factor: number) => [
    ...hidden("embed"),
    ...asStats(hidden("layers.0", (value) => factor * value)),
  ];
  writeReduced(join(folder, "stats-a.arrow"), "a", statistics(1));
  writeReduced(join(folder, "stats-b.arrow"), "b", statistics(1 + 1e-6));
  writeConfig(folder, {
    pairs: { good: GOOD_PAIR, bad: BAD_PAIR, gone: { ...GOOD_PAIR, candidate: "x" } },
  });
  await run("compare", ...GOOD, "-o", "good.json");
  await run("compare", ...BAD, "-o", "bad.json");
  await run("compare", ...STATS, "-o", "stats.json");
  await run("check", "-o", "check.json");
});

describe("rendered again", () => {
  test.each(["good", "bad", "stats", "check"])("%s: the same bytes", async (name) => {
    const stored = readFileSync(join(folder, `${name}.json`), "utf8");
    expect((await run("report", `${name}.json`, "--json")).stdout).toBe(stored);
  });

  test.each(["text", "md", "junit", "sarif", "github"])(
    "%s: as the comparison said",
    async (format) => {
      const again = await run("report", "bad.json", "--format", format, "--lang", "zh");
      const first = await run("compare", ...BAD, "--format", format, "--lang", "zh");
      // How to repeat it is not in the result: it is what a card ends with.
      const [said] = first.stdout.split("\n#### 复现方法");
      expect([again.code, again.stdout.trimEnd()]).toEqual([first.code, said?.trimEnd()]);
    },
  );

  test("a check, with the exit code of the worst pair", async () => {
    const again = await run("report", "check.json");
    const first = await run("check");
    expect([again.code, again.stdout]).toEqual([2, first.stdout]);
  });

  test("files and --exit-zero", async () => {
    const page = files.path(".html");
    const { code } = await run("report", "bad.json", "-o", page, "--exit-zero");
    expect(readFileSync(page, "utf8")).toContain("<!doctype html>");
    expect(code).toBe(0);
    const onto = await run("report", "bad.json", "-o", "bad.json");
    expect(onto.stderr).toContain("a report would replace another file of this call");
  });
});

describe("judged again as the comparison would", () => {
  test.each<[string, string[], string, string[]]>([
    ["a limit that is kept", GOOD, "good", ["--max-abs", "1"]],
    ["one that is broken", GOOD, "good", ["--max-abs", "1e-7"]],
    ["a cosine", GOOD, "good", ["--min-cosine", "1"]],
    ["several", GOOD, "good", ["--max-rel-l2", "1e-12", "--max-mse", "1e-15", "--max-kl", "1e-20"]],
    [
      "the quality",
      GOOD,
      "good",
      ["--max-ppl-increase", "0.1%", "--min-top1", "1", "--decide", "point"],
    ],
    ["repetitions that nobody made", GOOD, "good", ["--min-determinism", "0.5"]],
    ["first tokens", GOOD, "good", ["--min-first-token", "1"]],
    ["a failure stays one", BAD, "bad", ["--max-kl", "100"]],
    ["statistics that break it", STATS, "stats", ["--max-abs", "1e-12"]],
  ])("%s", async (_name, dumps, name, limits) => {
    const again = await resultOf("report", `${name}.json`, ...limits);
    const first = await resultOf("compare", ...dumps, ...limits);
    if (name === "stats") {
      // What statistics leave open is named with the tensors that they were looked at in.
      expect(again.verdict).toBe(first.verdict);
    } else {
      expect(judgement(again)).toEqual(judgement(first));
    }
  });

  test("a looser limit takes a failure away, and where it began", async () => {
    await run("compare", ...GOOD, "--max-abs", "1e-12", "-o", "strict.json");
    expect((await resultOf("report", "strict.json")).verdict).toBe("fail");
    const loose = await resultOf("report", "strict.json", "--max-abs", "1");
    expect([loose.verdict, loose.origin]).toEqual(["pass", null]);
  });

  test("statistics never pass, whatever the limit", async () => {
    await run("compare", ...STATS, "--max-abs", "1e-12", "-o", "strict.json");
    const loose = await resultOf("report", "strict.json", "--max-abs", "1e12");
    expect(loose.verdict).not.toBe("pass");
  });

  test("every pair of a check", async () => {
    const { stdout, stderr } = await run("report", "check.json", "--max-abs", "1e-12", "--json");
    const { pairs, verdict } = JSON.parse(stdout) as CheckResult;
    expect(pairs.map((pair) => pair.verdict)).toEqual(["fail", "fail", "error"]);
    expect(verdict).toBe("error");
    expect(stderr).toContain("judged again from the stored figures");
  });

  test("what a result cannot tell is refused", async () => {
    const ratio = await run("report", "good.json", "--max-floor-ratio", "9");
    expect([ratio.code, ratio.stderr]).toEqual([2, expect.stringContaining("only the dumps tell")]);
    await run("compare", ...BAD, "--fail-fast", "-o", "stopped.json");
    const stopped = await run("report", "stopped.json", "--max-abs", "1e9");
    expect([stopped.code, stopped.stderr]).toEqual([2, expect.stringContaining("stopped")]);
  });
});

describe("refused", () => {
  const changed = (change: (document: Record<string, unknown>) => void): string => {
    const document = JSON.parse(readFileSync(join(folder, "bad.json"), "utf8")) as Record<
      string,
      unknown
    >;
    change(document);
    return JSON.stringify(document);
  };

  test.each<[string, () => string | Uint8Array]>([
    [
      "a failure that calls itself a pass",
      () =>
        changed((one) => {
          one["verdict"] = "pass";
        }),
    ],
    [
      "one without its findings",
      () =>
        changed((one) => {
          one["verdict"] = "pass";
          one["findings"] = [];
        }),
    ],
    [
      "nothing compared",
      () =>
        changed((one) => {
          Object.assign(one, { verdict: "pass", findings: [], tensors: [], rules: [] });
        }),
    ],
    [
      "a pass that was stopped",
      () =>
        changed((one) => {
          const tensors = (one["tensors"] as { verdict: string }[]).filter(
            ({ verdict }) => verdict === "pass",
          );
          Object.assign(one, { verdict: "pass", findings: [], tensors, stopped: true });
        }),
    ],
    [
      "an unknown key",
      () =>
        changed((one) => {
          one["more"] = 1;
        }),
    ],
    [
      "a missing key",
      () =>
        changed((one) => {
          delete one["quality"];
        }),
    ],
    [
      "a word for a number",
      () =>
        changed((one) => {
          Object.assign((one["tensors"] as object[])[0] ?? {}, { relL2: "x" });
        }),
    ],
    [
      "another version",
      () =>
        changed((one) => {
          one["schemaVersion"] = 2;
        }),
    ],
    ["another document", () => '{"$schema": "npu-diff/schema/task-results.schema.json"}'],
    ["a prototype", () => '{"__proto__": {"verdict": "pass"}}'],
    ["null", () => "null"],
    ["no JSON", () => "verdict: pass"],
    ["deep nesting", () => "[".repeat(1_000_000)],
    ["bytes", () => Uint8Array.from([0xff, 0xfe, 0])],
    ["nothing", () => ""],
  ])("%s", async (_name, make) => {
    const path = files.path(".json");
    writeFileSync(path, make());
    const { code, stdout, stderr } = await run("report", path);
    expect(stderr).toMatch(/^error\[(?:result-invalid|file-unreadable)\]: .+\n( {2}\S.*\n)+$/);
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("a file that is not there", async () => {
    const { code, stderr } = await run("report", "none.json");
    expect(stderr).toMatch(/^error\[file-unreadable\]/);
    expect(code).toBe(2);
  });
});
