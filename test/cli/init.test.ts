/** From two dumps to a gate in CI: `npu-diff init`, `check -u`, `check`. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readConfig } from "../../src/config/load.ts";
import { starterName, starterText } from "../../src/config/starter.ts";
import type { CheckResult } from "../../src/core/check-result.ts";
import { cli, type Ended } from "../support/cli.ts";
import { writeConfig, writeRepository } from "../support/gate.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const { folder } = files;
const pairs = new URL("../../fixtures/pairs/", import.meta.url).pathname;
const REFERENCE = join(pairs, "clean/reference.arrow");
const FLOOR = join(pairs, "clean/floor.arrow");
const CLEAN = join(pairs, "clean/candidate.arrow");
const FAULTY = join(pairs, "rotary-base/candidate.arrow");

function run(cwd: string, env: Record<string, string>, ...args: string[]): Promise<Ended> {
  return cli(args, { cwd, env: { CI: "", ...env } });
}

describe("three commands in an empty git repository", () => {
  const cwd = join(folder, "port");
  const ci = { CI: "true", NO_COLOR: "1" };

  test("init, check -u, check", async () => {
    mkdirSync(join(cwd, ".git"), { recursive: true });
    const candidate = join(cwd, "npu.arrow");
    writeFileSync(candidate, readFileSync(CLEAN));
    const made = await run(cwd, {}, "init", REFERENCE, "npu.arrow", "--floor", FLOOR);
    expect([made.code, made.stderr]).toEqual([0, ""]);
    expect(made.stdout).toMatch(
      /^wrote {2}npu-diff\.jsonc {2}pair npu-bf16\nnext: npu-diff check -u/,
    );
    const accepted = await run(cwd, {}, "check", "-u");
    expect(accepted.stdout).toMatch(/^PASS {2}1 pair: 1 passed$/m);
    expect(accepted.code).toBe(0);
    const again = await run(cwd, ci, "check");
    expect(again.stdout).toMatch(/baseline {2}npu-diff\.baseline\.json {2}compared/);
    expect(again.code).toBe(0);
    // The gate holds: the same config with a faulty candidate fails.
    writeFileSync(candidate, readFileSync(FAULTY));
    const { code, stdout } = await run(cwd, ci, "check", "--json");
    const [pair] = (JSON.parse(stdout) as CheckResult).pairs;
    expect(code).toBe(1);
    expect(pair?.result?.origin?.tensor).toBe("layers.2.attn");
    expect(pair?.result?.findings.map(({ rule }) => rule)).toContain("baseline/regression");
  });
});

describe("init", () => {
  const cwd = join(folder, "init");
  beforeAll(() => {
    writeRepository(cwd);
    mkdirSync(join(cwd, "ci"));
  });
  beforeEach(() => {
    for (const name of ["npu-diff.jsonc", "npu-diff.yaml", "ci/npu-diff.jsonc"]) {
      rmSync(join(cwd, name), { force: true });
    }
  });

  test("refuses to overwrite without --force", async () => {
    await run(cwd, {}, "init", "ref.arrow", "good.arrow");
    const before = readFileSync(join(cwd, "npu-diff.jsonc"), "utf8");
    const { code, stderr } = await run(cwd, {}, "init", "ref.arrow", "bad.arrow");
    expect(stderr).toMatch(/^error\[output-unwritable\]: there is a config already/);
    expect(code).toBe(2);
    expect(readFileSync(join(cwd, "npu-diff.jsonc"), "utf8")).toBe(before);
    const forced = await run(cwd, {}, "init", "ref.arrow", "bad.arrow", "--force");
    expect(forced.code).toBe(0);
    expect(readFileSync(join(cwd, "npu-diff.jsonc"), "utf8")).toContain("bad.arrow");
  });

  test("leaves one under another name alone, with --force as well", async () => {
    writeFileSync(join(cwd, "npu-diff.yaml"), "pairs: {}\n");
    const { code } = await run(cwd, {}, "init", "ref.arrow", "good.arrow", "--force");
    expect(code).toBe(2);
  });

  test("in another folder, with paths from there", async () => {
    const args = ["init", "ref.arrow", "good.arrow", "--preset", "f32", "-o", "ci/npu-diff.jsonc"];
    const { stdout } = await run(cwd, {}, ...args);
    expect(stdout).toContain('npu-diff check -u --config "ci/npu-diff.jsonc"');
    const { config } = readConfig(join(cwd, "ci/npu-diff.jsonc"), cwd);
    expect(Object.values(config.pairs)).toEqual([
      { reference: "../ref.arrow", candidate: "../good.arrow", preset: "f32" },
    ]);
  });

  test("names the schema that the project has installed, or else its own", async () => {
    const schemaOf = async (path: string): Promise<string> => {
      await run(cwd, {}, "init", "ref.arrow", "good.arrow", "--force", "-o", path);
      const { config } = readConfig(join(cwd, path), cwd);
      return config.$schema ?? "";
    };
    const own = await schemaOf("npu-diff.jsonc");
    const published = readFileSync(new URL("../../schema/config.schema.json", import.meta.url));
    expect(readFileSync(new URL(own))).toEqual(published);
    const installed = "node_modules/npu-diff/schema/config.schema.json";
    mkdirSync(dirname(join(cwd, installed)), { recursive: true });
    writeFileSync(join(cwd, installed), published);
    expect(await schemaOf("npu-diff.jsonc")).toBe(`./${installed}`);
    rmSync(join(cwd, "npu-diff.jsonc"));
    expect(await schemaOf("ci/npu-diff.jsonc")).toBe(`../${installed}`);
    rmSync(join(cwd, "node_modules"), { recursive: true });
  });

  test.each([
    ["a dump that is not there", ["ref.arrow", "none.arrow"]],
    ["a floor that is not there", ["ref.arrow", "good.arrow", "--floor", "none.arrow"]],
    ["a path without comments", ["ref.arrow", "good.arrow", "-o", "npu-diff.json"]],
  ])("writes nothing for %s", async (_name, args) => {
    const { code } = await run(cwd, {}, "init", ...args);
    expect(code).toBe(2);
    expect(() => readConfig(join(cwd, "npu-diff.jsonc"), cwd)).toThrow(/cannot be read/);
  });

  test("hostile names stay names", () => {
    const hostile = '*/ "x": 1 \u2028\n\u001b[31m__proto__';
    const name = starterName(hostile, "npu.arrow", "BF16");
    const path = files.path(".jsonc");
    const pair = { name, reference: hostile, candidate: hostile, floor: [hostile], forced: [] };
    const schema = null;
    writeFileSync(path, starterText({ ...pair, schema, preset: null }));
    const { config } = readConfig(path, folder);
    expect(config.pairs[name]).toEqual({
      reference: hostile,
      candidate: hostile,
      floor: [hostile],
    });
    expect(starterName("org/SmolLM2-135M", "x", "BF16")).toBe("smollm2-135m-bf16");
    expect(starterName(null, "npu.rank*.arrow", "F32")).toBe("npu.rank-f32");
    expect(starterName("…", "", "")).toBe("pair");
  });
});

describe("config", () => {
  const cwd = join(folder, "config");
  beforeAll(() => {
    mkdirSync(join(cwd, ".git"), { recursive: true });
    writeConfig(cwd, {
      limits: { maxKl: 0.5 },
      pairs: { a: { reference: "r", candidate: "c", limits: { minTop1: 0.9 } } },
    });
  });

  test("alone it checks", async () => {
    const { code, stdout } = await run(cwd, {}, "config");
    expect(stdout).toBe("npu-diff.jsonc  1 pair: a\n");
    expect(code).toBe(0);
  });

  test("--show prints every value with its origin", async () => {
    const env = { NPU_DIFF_DECIDE: "point", NPU_DIFF_LANG: "zh" };
    const { stdout } = await run(cwd, env, "config", "--show", "--max-abs", "1e-3");
    for (const line of [
      /^ {2}limits\.maxKl +0\.5 +npu-diff\.jsonc:3$/m,
      /^ {2}limits\.minTop1 +0\.9 +npu-diff\.jsonc:\d+$/m,
      /^ {2}limits\.maxAbs +0\.001 +--max-abs$/m,
      /^ {2}decide +"point" +NPU_DIFF_DECIDE$/m,
      /^ {2}lang +"zh" +NPU_DIFF_LANG$/m,
      /^ {2}preset +"auto" +default$/m,
      /^ {2}allowance\.relative +0\.1 +default$/m,
    ]) {
      expect(stdout).toMatch(line);
    }
  });

  test("--json", async () => {
    const { stdout } = await run(cwd, {}, "config", "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      config: "npu-diff.jsonc",
      pairs: { a: { "limits.maxKl": { value: 0.5, from: "npu-diff.jsonc:3" } } },
    });
  });

  test("an unknown name and a wrong value are errors", async () => {
    expect((await run(cwd, {}, "config", "b")).code).toBe(2);
    expect((await run(cwd, { NPU_DIFF_MAX_KL: "x" }, "config", "--show")).code).toBe(2);
  });
});

test("the shell completes the commands", async () => {
  const { stdout } = await cli(["--get-yargs-completions", "npu-diff", ""]);
  for (const command of ["check", "init", "config"]) expect(stdout).toContain(command);
});
