/** `checkPairs`, by which a program runs the gate: the same result as the command line's. */

import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import {
  type CheckConfig,
  type CheckOptions,
  checkPairs,
  isNpuDiffError,
  type NpuDiffError,
  readStored,
  renderCheckJson,
} from "../src/index.ts";
import { cli } from "./support/cli.ts";
import { BAD_PAIR, GOOD_PAIR, writeConfig, writeRepository } from "./support/gate.ts";
import { scratch } from "./support/scratch.ts";

const { folder } = scratch();
const GONE_PAIR = { ...GOOD_PAIR, candidate: "gone.arrow" };
const CONFIG: CheckConfig = { pairs: { gone: GONE_PAIR, bad: BAD_PAIR, good: GOOD_PAIR } };

beforeAll(() => {
  writeRepository(folder);
});

async function refused(given: Partial<CheckOptions>): Promise<NpuDiffError> {
  try {
    await checkPairs({ folder, ...given });
  } catch (error) {
    if (isNpuDiffError(error)) return error;
    throw error;
  }
  throw new Error("it was checked");
}

test("from a file, from a folder and from an object: what check --json writes", async () => {
  writeConfig(folder, CONFIG);
  const { stdout, code } = await cli(["check", "--json", "--max-kl", "0.5"], { cwd: folder });
  expect(code).toBe(2);
  const call = { limits: { maxKl: 0.5 }, jobs: 2 };
  const path = join(folder, "npu-diff.jsonc");
  expect(renderCheckJson(await checkPairs({ ...call, config: path }))).toBe(stdout);
  expect(renderCheckJson(await checkPairs({ ...call, folder }))).toBe(stdout);
  const made = await checkPairs({ ...call, config: CONFIG, folder });
  expect(renderCheckJson({ ...made, config: "npu-diff.jsonc" })).toBe(stdout);
  expect(made.config).toBe("config");
  expect(readStored(stdout, "check.json").result.verdict).toBe("error");
});

test("what cannot be compared is an error in the result, and whoever looks on is told of each pair", async () => {
  const told: string[] = [];
  const { verdict, pairs } = await checkPairs(
    { config: CONFIG, folder },
    {
      comparing(pair) {
        told.push(`${pair}: begins`);
        return {
          progress: ({ done, total }) => {
            if (done === total - 1 && told.at(-1) !== `${pair}: runs`) told.push(`${pair}: runs`);
          },
        };
      },
      compared: (pair, result) =>
        Promise.resolve().then(() => told.push(`${pair}: ${result.verdict}`)),
      failed: (pair, error) => told.push(`${pair}: ${error.code}`),
    },
  );
  expect(verdict).toBe("error");
  expect(pairs.map((pair) => [pair.name, pair.verdict, pair.error?.code])).toEqual([
    ["gone", "error", "file-not-found"],
    ["bad", "fail", undefined],
    ["good", "pass", undefined],
  ]);
  expect(told).toEqual([
    ...["gone: begins", "gone: file-not-found"],
    ...["bad: begins", "bad: runs", "bad: fail"],
    ...["good: begins", "good: runs", "good: pass"],
  ]);
});

test("the place of what an object says is its key", async () => {
  const rules = { "layer/floor-token": "off" } as const;
  const config = { pairs: { a: { ...GOOD_PAIR, rules } } };
  const { pairs } = await checkPairs({ config, folder, pairs: ["a"] });
  expect(pairs[0]?.result?.findings[0]).toMatchObject({
    rule: "config/switched-off",
    detail: { at: "config.pairs.a.rules.layer/floor-token" },
  });
});

test.each([
  ["an unknown key", { pairs: { a: { ...GOOD_PAIR, flor: [] } } }, "config.pairs.a.flor", "floor"],
  [
    "a wrong value",
    { pairs: { a: { ...GOOD_PAIR, candidate: 3 } } },
    "config.pairs.a.candidate",
    "",
  ],
  ["no pairs", { pairs: {} }, "config.pairs", ""],
])("a config of %s is refused, and the place is named", async (_name, config, place, meant) => {
  const error = await refused({ config: config as unknown as CheckConfig });
  expect(error.code).toBe("config-invalid");
  const said = [error.help, ...error.facts.map(({ text }) => `config.${text}`)].join(" ");
  expect(said).toContain(place);
  expect(error.help).toContain(meant);
});

test.each([
  ["an option that is none", { candidates: ["a"] }, "usage"],
  ["a limit out of its range", { limits: { minTop1: 98 } }, "usage"],
  ["a pair that is none", { pairs: ["goood"] }, "usage"],
  ["a baseline to update where none is named", { update: "new" }, "usage"],
  ["a file that is none", { config: "none.jsonc" }, "config-missing"],
] as const)("%s is refused", async (_name, given, code) => {
  expect((await refused({ config: CONFIG, ...given })).code).toBe(code);
});

test("the baseline: asked for, written, held to", async () => {
  const path = join(folder, "accepted.json");
  const config = { baseline: "accepted.json", pairs: { good: GOOD_PAIR } };
  const missing = await refused({ config, needsBaseline: true });
  expect(missing.code).toBe("baseline-missing");
  const temporary: string[] = [];
  const written = await checkPairs(
    { config, folder, update: "all" },
    { temporary: (file) => temporary.push(file) },
  );
  expect(written.baseline).toEqual({ file: "accepted.json", state: "written" });
  expect([temporary.length, temporary.some((file) => existsSync(file)), existsSync(path)]).toEqual([
    1,
    false,
    true,
  ]);
  const held = await checkPairs({ config, folder, needsBaseline: true });
  expect([held.verdict, held.baseline?.state]).toEqual(["pass", "compared"]);
  rmSync(path);
});
