import { describe, expect, test } from "vitest";
import { CAUSE_IDS } from "../../src/diagnose/cause-texts/ids.ts";
import { RULE_IDS } from "../../src/judge/rules.ts";
import { cli } from "../support/cli.ts";

describe.concurrent("npu-diff explain", () => {
  test("a cause: what it is, what it usually is, what to try", async () => {
    const { code, stdout, stderr } = await cli(["explain", "cause/scale"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^cause\/scale {2}scaled\n/);
    expect(stdout).toContain("npu-diff compare, from the dumps alone");
    expect(stdout).toContain("residual_multiplier");
  });

  test("in Chinese", async () => {
    const { code, stdout } = await cli(["explain", "cause/rotary-base", "--lang", "zh"]);
    expect(code).toBe(0);
    expect(stdout).toContain("npu-dump probe，需要模型权重");
  });

  test("as JSON, of one and of all", async () => {
    const one = JSON.parse((await cli(["explain", "cause/scale", "--json"])).stdout) as object;
    expect(one).toMatchObject({
      kind: "cause",
      id: "cause/scale",
      by: "compare",
      lang: "en",
      text: { title: "scaled" },
    });
    const all = JSON.parse((await cli(["explain", "--json"])).stdout) as { id: string }[];
    expect(all.map(({ id }) => id)).toEqual([...RULE_IDS, ...CAUSE_IDS]);
  });

  test("without an id, all of them", async () => {
    const { code, stdout } = await cli(["explain"]);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(RULE_IDS.length + CAUSE_IDS.length);
  });

  test.each([
    [["explain", "cause/scal"], /did you mean cause\/scale\?/],
    [["explain", "cause/constructor"], /there is no rule or cause "cause\/constructor"/],
    [["explain", "cause/scale", "cause/sign"], /npu-diff explain takes at most 1 argument/],
    [["explain", ""], /takes at most 1 argument/],
  ])("%j is refused", async (argv, expected) => {
    const { code, stdout, stderr } = await cli(argv);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(expected);
  });

  test("the shell completes ids", async () => {
    const ask = async (...words: readonly string[]): Promise<readonly string[]> =>
      (await cli(["--get-yargs-completions", "npu-diff", ...words])).stdout.split("\n");
    const ids = await ask("explain", "cause/s");
    expect(ids).toContain("cause/scale");
    expect(ids).not.toContain("cause/token");
    expect(await ask("explain", "cause/scale", "cause/s")).not.toContain("cause/scale");
    expect(await ask("compare", "cause/s")).not.toContain("cause/scale");
  });
});
