/** `npu-diff compare --forced` as a shell sees it. */

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { cli } from "../support/cli.ts";

const cwd = fileURLToPath(new URL("../../fixtures/own/", import.meta.url));
const PAIR = ["compare", "reference.arrow", "candidate.arrow"];
const FLOORS = ["--floor", "floor.1.arrow", "--floor", "floor.2.arrow"];
const OF_FLOORS = ["--forced", "forced.floor.1.arrow", "--forced", "forced.floor.2.arrow"];
const ALL = [...PAIR, ...FLOORS, "--forced", "forced.candidate.arrow", ...OF_FLOORS];

test("own errors stand beside the plain figures", async () => {
  const { code, stdout, stderr } = await cli(ALL, { cwd });
  expect(stdout).toMatch(/^ +LAYER +TENSOR .* x FLOOR +OWN +VERDICT$/m);
  expect(stdout).toContain("its own error, the largest of any module");
  expect(stdout.match(/^ {2}forced /gm)).toHaveLength(3);
  expect(stderr).toMatch(/^warning\[input\/own-unknown\]: layers\.0\.mlp /m);
  expect(code).toBe(1);
  const json = JSON.parse((await cli([...ALL, "--json"], { cwd })).stdout) as ComparisonResult;
  expect(json.tensors.find(({ name }) => name === "embed")?.own?.gmOverFloor).toBeCloseTo(0.892, 3);
});

test("without a floor's forced reference they are in units of u", async () => {
  const { stdout, stderr } = await cli(
    [...PAIR, ...FLOORS, "--forced", "forced.candidate.arrow", "--lang", "zh"],
    { cwd },
  );
  expect(stdout).toMatch(/自身\/u/);
  expect(stdout).toContain("各模块自身误差最大");
  expect(stderr).toMatch(/input\/forced-absent/);
});

describe("refused with three parts and exit 2", () => {
  test.each([
    ["a forced reference of a floor that is not given", [...PAIR, ...OF_FLOORS]],
    ["two of one dump", [...ALL, "--forced", "forced.candidate.arrow"]],
  ])("%s", async (_name, args) => {
    const { code, stdout, stderr } = await cli(args, { cwd });
    expect(stderr).toMatch(
      /^error\[forced-incompatible\]: .+\n( {2}(forced|candidate|floor) .+\n){2,} {2}help: .+\n$/,
    );
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("a report never replaces a forced reference", async () => {
    const { code, stderr } = await cli([...ALL, "-o", "md=forced.candidate.arrow"], { cwd });
    expect(stderr).toMatch(/^error\[usage\]: a report would replace another file/);
    expect(code).toBe(2);
  });
});

test("the help and the completion know the option", async () => {
  expect((await cli(["compare", "--help"])).stdout).toMatch(/--forced +Forced reference/);
  const { stdout } = await cli(["--get-yargs-completions", "npu-diff", "compare", "--fo"]);
  expect(stdout).toContain("--forced");
});
