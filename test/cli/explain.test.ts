import { describe, expect, test } from "vitest";
import { FORMAT_IDS } from "../../src/core/number-format.ts";
import { CAUSE_IDS } from "../../src/diagnose/cause-texts/ids.ts";
import { RULE_IDS } from "../../src/judge/rules.ts";
import { width } from "../../src/report/table.ts";
import { cli } from "../support/cli.ts";

interface Format {
  readonly noiseFloor: {
    readonly layers: number;
    readonly tensors: readonly { readonly tensor: string; readonly gm: number }[];
  };
}

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
    expect(all.map(({ id }) => id)).toEqual([...RULE_IDS, ...CAUSE_IDS, ...FORMAT_IDS]);
  });

  test("a number format: its bits, its range, and what it costs at a depth", async () => {
    const { code, stdout, stderr } = await cli(["explain", "dtype/f16", "--layers", "24"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^dtype\/f16 {2}float16: /);
    for (const fact of ["5 exponent, 10 mantissa", "65504", "65520 becomes Infinity", "2^-11"]) {
      expect(stdout).toContain(fact);
    }
    expect(stdout).toContain("with 24 layers");
    expect(stdout).toContain("layers.23.attn");
    const zh = await cli(["explain", "dtype/f8_e4m3", "--lang", "zh"]);
    expect(zh.stdout).toContain("|x| > 464 变为 NaN");
    const other = await cli(["explain", "dtype/hf32"]);
    expect(other.stdout).toContain("not measured");
  });

  test("a number format as JSON, with figures that follow from --layers", async () => {
    const ask = async (...words: readonly string[]): Promise<Format> =>
      JSON.parse((await cli(["explain", "dtype/bf16", "--json", ...words])).stdout) as Format;
    const [plain, deep] = [await ask(), await ask("--layers", "64")];
    expect(plain).toMatchObject({ kind: "dtype", dtype: "BF16", unitRoundoff: 2 ** -8 });
    expect(plain.noiseFloor.layers).toBe(32);
    const logits = (one: Format): number => one.noiseFloor.tensors.at(-1)?.gm ?? Number.NaN;
    expect(logits(deep) / logits(plain)).toBeCloseTo((65 / 33) ** 0.37, 12);
    expect(await ask("--layers", "1")).toMatchObject({ noiseFloor: { layers: 1 } });
  });

  test.each(["en", "zh"])("number formats in %s fit into 80 columns", async (lang) => {
    for (const id of FORMAT_IDS) {
      const { stdout } = await cli(["explain", id, "--lang", lang]);
      expect(stdout.startsWith(`${id}  `)).toBe(true);
      expect(stdout.split("\n").filter((line) => width(line) > 80 && !line.startsWith(id))).toEqual(
        [],
      );
      expect(/\p{Script=Han}/u.test(stdout)).toBe(lang === "zh");
      expect(stdout).not.toMatch(/\p{Script=Han}[,;:]/u);
    }
  });

  test("without an id, all of them", async () => {
    const { code, stdout } = await cli(["explain"]);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(
      RULE_IDS.length + CAUSE_IDS.length + FORMAT_IDS.length,
    );
  });

  test.each([
    [["explain", "cause/scal"], /did you mean cause\/scale\?/],
    [
      ["explain", "cause/constructor"],
      /there is no rule, cause or number format "cause\/constructor"/,
    ],
    [["explain", "cause/scale", "cause/sign"], /npu-diff explain takes at most 1 argument/],
    [["explain", ""], /takes at most 1 argument/],
    [["explain", "BF16"], /did you mean dtype\/bf16\?/],
    [["explain", "dtype/F16"], /did you mean dtype\/f16\?/],
    [["explain", "rotary-base"], /did you mean cause\/rotary-base\?/],
    [["explain", "dtype/toString"], /there is no rule, cause or number format/],
    [["explain", "dtype/bf16", "--layers", "0"], /--layers needs a whole number/],
    [["explain", "dtype/bf16", "--layers", "1e9"], /--layers needs a whole number/],
    [["explain", "dtype/bf16", "--layers", "1", "--layers", "2"], /--layers was given 2 times/],
    [["explain", "cause/scale", "--layers", "3"], /leave --layers out/],
    [["compare", "a", "b", "--layers", "3"], /--layers/],
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
    expect(await ask("explain", "dtype/b")).toContain("dtype/bf16");
    expect(await ask("compare", "cause/s")).not.toContain("cause/scale");
  });
});
