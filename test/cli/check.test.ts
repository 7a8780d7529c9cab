/** `npu-diff check`: all pairs of a config in one call. */

import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CheckResult } from "../../src/core/check-result.ts";
import { cli, type Ended } from "../support/cli.ts";
import { BAD_PAIR, GOOD_PAIR, writeConfig, writeRepository } from "../support/gate.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const { folder } = files;
const GONE_PAIR = { ...GOOD_PAIR, candidate: "gone.arrow" };

beforeAll(() => {
  writeRepository(folder);
  mkdirSync(join(folder, "deep", "er"), { recursive: true });
});

beforeEach(() => {
  rmSync(join(folder, "npu-diff.jsonc"), { force: true });
});

function check(config: unknown, ...args: string[]): Promise<Ended> {
  writeConfig(folder, config);
  return cli(["check", ...args], { cwd: folder });
}

async function checked(config: unknown, ...args: string[]): Promise<CheckResult> {
  return JSON.parse((await check(config, "--json", ...args)).stdout) as CheckResult;
}

describe("the worst of all pairs is the exit code", () => {
  test.each([
    ["all pass", { a: GOOD_PAIR, b: GOOD_PAIR }, 0],
    ["one fails", { a: GOOD_PAIR, b: BAD_PAIR }, 1],
    ["one cannot be compared", { a: BAD_PAIR, b: GONE_PAIR, c: GOOD_PAIR }, 2],
  ])("%s", async (_name, pairs, expected) => {
    const { code, stdout } = await check({ pairs });
    expect(code).toBe(expected);
    for (const name of Object.keys(pairs)) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  test("--exit-zero hides a failure, never an error", async () => {
    expect((await check({ pairs: { b: BAD_PAIR } }, "--exit-zero")).code).toBe(0);
    expect((await check({ pairs: { b: GONE_PAIR } }, "--exit-zero")).code).toBe(2);
  });

  test("what cannot be compared stops none of the others", async () => {
    const { pairs, verdict } = await checked({
      pairs: { a: GONE_PAIR, b: BAD_PAIR, c: GOOD_PAIR },
    });
    expect(verdict).toBe("error");
    expect(pairs.map((pair) => [pair.name, pair.verdict])).toEqual([
      ["a", "error"],
      ["b", "fail"],
      ["c", "pass"],
    ]);
    expect(pairs[0]?.error?.code).toBe("file-not-found");
    expect(pairs[1]?.result?.origin?.tensor).toBe("layers.2.mlp");
  });

  test("an unknown name has its nearest", async () => {
    const { code, stderr } = await check({ pairs: { smollm: GOOD_PAIR } }, "smolm");
    expect(stderr).toContain("did you mean smollm?");
    expect(code).toBe(2);
  });

  test("no pairs", async () => {
    const { code, stderr } = await check({ pairs: {} });
    expect(stderr).toMatch(/^error\[config-invalid\]: the config has no pairs/);
    expect(code).toBe(2);
  });
});

describe("reports", () => {
  test("only the named pairs", async () => {
    const { pairs } = await checked({ pairs: { a: BAD_PAIR, b: GOOD_PAIR } }, "b");
    expect(pairs.map(({ name }) => name)).toEqual(["b"]);
  });

  test("the text says what is wrong, in both languages", async () => {
    const pairs = { good: GOOD_PAIR, bad: BAD_PAIR };
    const english = await check({ pairs });
    expect(english.stdout).toMatch(/^FAIL {2}bad: layer 2 mlp diverges first/);
    expect(english.stdout.trimEnd()).toMatch(/\nFAIL {2}2 pairs: 1 failed, 1 passed$/);
    const chinese = await check({ pairs }, "--lang", "zh");
    expect(chinese.stdout.trimEnd()).toMatch(/\n不通过 {2}2 组：1 组不通过，1 组通过$/);
    expect(english.stdout).not.toContain("\u001b");
  });

  test("files beside the report, which is the same every time", async () => {
    const [json, md] = [files.path(".json"), files.path(".md")];
    const pairs = { good: GOOD_PAIR, bad: BAD_PAIR, gone: GONE_PAIR };
    const first = await check({ pairs }, "--json", "-o", json, "-o", md, "--jobs", "2");
    const second = await check({ pairs }, "--json", "--jobs", "1");
    expect(readFileSync(json, "utf8")).toBe(first.stdout);
    expect(second.stdout).toBe(first.stdout);
    expect(readFileSync(md, "utf8")).toMatch(/^## bad$/m);
    expect(first.stderr).toMatch(/^gone: error\[file-not-found\]: /m);
  });

  test("a page and a SARIF log of all pairs; the JSON is the same beside a page", async () => {
    const pairs = { good: GOOD_PAIR, 坏: BAD_PAIR, gone: GONE_PAIR };
    const said = ["--max-kl", "0.5%", "-o", "all.html", "-o", "all.sarif", "-o", "card.md"];
    const { code } = await check({ pairs }, ...said, "-o", "with.json");
    expect(code).toBe(2);
    const read = (name: string): string => readFileSync(join(folder, name), "utf8");
    expect(read("all.html").match(/<details class="pair"/g)).toHaveLength(3);
    // The page shows single tokens, which no other report has.
    expect(read("all.html").match(/class="cells"/g)).toHaveLength(2);
    await check({ pairs }, "--max-kl", "0.5%", "-o", "alone.json");
    expect(read("with.json")).toBe(read("alone.json"));
    const { runs } = JSON.parse(read("all.sarif")) as {
      readonly runs: readonly { readonly invocations: readonly { readonly exitCode: number }[] }[];
    };
    expect(runs.map(({ invocations }) => invocations[0]?.exitCode)).toEqual([2]);
    // Each card says how to repeat its pair, with what the call said.
    const commands = [...read("card.md").matchAll(/```sh\n(.*)\n```/g)].map(([, line]) => line);
    expect(commands).toEqual([
      "npu-diff check good --max-kl 0.005",
      "npu-diff check '坏' --max-kl 0.005",
    ]);
  });

  test("the config is no place for a report", async () => {
    const { code, stderr } = await check({ pairs: { a: GOOD_PAIR } }, "-o", "json=npu-diff.jsonc");
    expect(stderr).toContain("a report would replace another file of this call");
    expect(code).toBe(2);
  });
});

describe("rules", () => {
  test("what is switched off is said in every report, and fails nothing", async () => {
    const rules = {
      "layer/floor-ratio": "off",
      "layer/floor-ratio-p99": "off",
      "layer/floor-token": "off",
      "layer/floor-sample": "off",
    };
    const config = {
      pairs: { bad: { ...BAD_PAIR, overrides: [{ tensors: ["layers.2.mlp"], rules }] } },
    };
    const { code, stdout } = await check(config);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /layer\/floor-ratio is not applied to layers\.2\.mlp: switched off by\s+npu-diff\.jsonc:\d+/,
    );
    const json = await check(config, "--json");
    expect(json.stdout.match(/"config\/switched-off"/g)).toHaveLength(4);
    const md = await check(config, "--format", "md");
    expect(md.stdout.match(/switched off by npu-diff\.jsonc:\d+/g)).toHaveLength(4);
  });

  test("the place is the line of the config", async () => {
    const config = { pairs: { good: { ...GOOD_PAIR, rules: { "layer/floor-token": "off" } } } };
    const { pairs } = await checked(config);
    const lines = readFileSync(join(folder, "npu-diff.jsonc"), "utf8").split("\n");
    const line = 1 + lines.findIndex((text) => text.includes("layer/floor-token"));
    expect(pairs[0]?.result?.findings[0]).toMatchObject({
      rule: "config/switched-off",
      detail: { rule: "layer/floor-token", at: `npu-diff.jsonc:${String(line)}` },
    });
    const applied = pairs[0]?.result?.rules.find(({ rule }) => rule === "layer/floor-token");
    expect(applied).toMatchObject({ applied: false, reason: "switched-off" });
  });

  test("what is a warning is found, and fails nothing", async () => {
    const limits = { ...GOOD_PAIR.limits, maxAbs: 1e-12 };
    const failing = await checked({ pairs: { a: { ...GOOD_PAIR, limits } } });
    expect(failing.verdict).toBe("fail");
    const rules = { "limit/max-abs": "warning" };
    const { verdict, pairs } = await checked({ pairs: { a: { ...GOOD_PAIR, limits, rules } } });
    expect(verdict).toBe("pass");
    const found = pairs[0]?.result?.findings.filter(({ rule }) => rule === "limit/max-abs") ?? [];
    expect(found.length).toBeGreaterThan(0);
    expect(new Set(found.map(({ level }) => level))).toEqual(new Set(["warning"]));
  });

  test("a note may be made an error", async () => {
    const pair = { ...GOOD_PAIR, floor: ["floor.arrow", "good.arrow"] };
    expect((await checked({ pairs: { a: pair } })).verdict).toBe("pass");
    const rules = { "input/floor-dropped": "error" };
    const raised = await check({ pairs: { a: { ...pair, rules } } });
    expect(raised.stdout).toMatch(/^FAIL {2}a: good\.arrow /);
    expect(raised.code).toBe(1);
  });
});

describe("performance", () => {
  const BENCH = fileURLToPath(new URL("../../fixtures/vllm-bench", import.meta.url));
  const [one, other] = ["speed/0.18-plain.json", "speed/0.32-plain.json"];

  beforeAll(() => {
    mkdirSync(join(folder, "speed"), { recursive: true });
    for (const path of [one, other]) {
      copyFileSync(join(BENCH, path.replace("speed/", "")), join(folder, path));
    }
  });

  test("is shown for a pair that names it, and decides nothing, whichever side is slower", async () => {
    const there = { ...GOOD_PAIR, referencePerformance: one, candidatePerformance: other };
    const back = { ...GOOD_PAIR, referencePerformance: other, candidatePerformance: one };
    const { verdict, pairs } = await checked({
      pairs: { there, back, half: { ...GOOD_PAIR, candidatePerformance: one }, none: GOOD_PAIR },
    });
    const seen = pairs.map(({ result }) => {
      const performance = result?.performance ?? null;
      const { reference, candidate } = performance ?? {};
      const found = performance?.metrics.find(({ metric }) => metric === "output_tokens_per_s");
      return [reference?.file, candidate?.file, found?.ratio];
    });
    const [first, second] = ["0.18-plain.json", "0.32-plain.json"];
    const said = (path: string): number => {
      const json = JSON.parse(readFileSync(join(folder, path), "utf8")) as {
        readonly output_throughput: number;
      };
      return json.output_throughput;
    };
    const faster = said(other) / said(one);
    expect(faster).not.toBe(1);
    expect(seen).toEqual([
      [first, second, expect.closeTo(faster, 12)],
      [second, first, expect.closeTo(1 / faster, 12)],
      [undefined, first, null],
      [undefined, undefined, undefined],
    ]);
    expect([verdict, ...pairs.map((pair) => pair.verdict)]).toEqual(Array(5).fill("pass"));
  });

  test("that is not there leaves the pair uncompared, and no report replaces it", async () => {
    const gone = { ...GOOD_PAIR, candidatePerformance: "speed/none.json" };
    const { pairs } = await checked({ pairs: { gone } });
    expect([pairs[0]?.verdict, pairs[0]?.error?.code]).toEqual(["error", "file-not-found"]);
    const pair = { ...GOOD_PAIR, candidatePerformance: one };
    const { code, stderr } = await check({ pairs: { pair } }, "-o", one);
    expect(stderr).toContain("a report would replace another file of this call");
    expect(code).toBe(2);
  });

  test("is no setting for all pairs; config --show says where a pair has it from", async () => {
    const refused = await check({ candidatePerformance: one, pairs: { a: GOOD_PAIR } });
    expect(refused.stderr).toMatch(/has an unknown key "candidatePerformance"/);
    writeConfig(folder, { pairs: { a: { ...GOOD_PAIR, candidatePerformance: one } } });
    const { stdout } = await cli(["config", "--show"], { cwd: folder });
    expect(stdout).toMatch(/^ {2}referencePerformance +null +default$/m);
    expect(stdout).toMatch(
      /^ {2}candidatePerformance +"speed\/0\.18-plain\.json" +npu-diff\.jsonc:\d+$/m,
    );
  });
});

describe("where a value comes from", () => {
  const limits = { ...GOOD_PAIR.limits, maxKl: 1 };

  test("a flag stands before the environment, and that before the config", async () => {
    const config = { pairs: { a: { ...GOOD_PAIR, limits } } };
    const limit = async (env: Record<string, string>, ...args: string[]): Promise<unknown> => {
      writeConfig(folder, config);
      const { stdout } = await cli(["check", "--json", ...args], { cwd: folder, env });
      const { pairs } = JSON.parse(stdout) as CheckResult;
      const rule = pairs[0]?.result?.rules.find((one) => one.rule === "limit/kl");
      return [rule?.limit, rule?.limitFrom];
    };
    expect(await limit({})).toEqual([1, "config"]);
    expect(await limit({ NPU_DIFF_MAX_KL: "0.5" })).toEqual([0.5, "flag"]);
    expect(await limit({ NPU_DIFF_MAX_KL: "0.5" }, "--max-kl", "0.25")).toEqual([0.25, "flag"]);
  });

  test("a pair stands before what is said for all, an override before both, a flag before any", async () => {
    const config = {
      limits: { maxRelL2: 1e-12, maxFloorRatio: 2.5 },
      overrides: [{ tensors: ["embed"], limits: { maxRelL2: 1e-12 } }],
      pairs: { a: { ...GOOD_PAIR, limits: { maxRelL2: 1 } } },
    };
    const failing = (result: CheckResult): readonly (string | null | undefined)[] =>
      (result.pairs[0]?.result?.findings ?? [])
        .filter(({ rule }) => rule === "limit/rel-l2")
        .map(({ tensor }) => tensor);
    expect(failing(await checked(config))).toEqual(["embed"]);
    expect(failing(await checked(config, "--max-rel-l2", "1"))).toEqual([]);
  });
});

describe("where the config is", () => {
  test("in a folder above, as far as the git root", async () => {
    writeConfig(folder, { pairs: { a: GOOD_PAIR } });
    const { code } = await cli(["check"], { cwd: join(folder, "deep", "er") });
    expect(code).toBe(0);
    mkdirSync(join(folder, "deep", ".git"), { recursive: true });
    const stopped = await cli(["check"], { cwd: join(folder, "deep", "er") });
    expect(stopped.stderr).toMatch(/^error\[config-missing\]/);
    expect(stopped.code).toBe(2);
  });

  test("--config names another", async () => {
    writeConfig(folder, { pairs: { a: GOOD_PAIR } }, "other.jsonc");
    expect((await cli(["check", "--config", "other.jsonc"], { cwd: folder })).code).toBe(0);
  });

  test("two in one folder are an error", async () => {
    writeConfig(folder, { pairs: { a: GOOD_PAIR } });
    writeConfig(folder, { pairs: { a: GOOD_PAIR } }, "npu-diff.json");
    const { code, stderr } = await cli(["check"], { cwd: folder });
    rmSync(join(folder, "npu-diff.json"));
    expect(stderr).toContain("a folder holds two configs");
    expect(code).toBe(2);
  });
});
