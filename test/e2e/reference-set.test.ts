/**
 * `npu-diff compare` with the sets that `npu-dump reference` makes, on the tiny
 * model of the fixtures.
 */

import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { TensorResult } from "../../src/core/tensor-result.ts";
import { bothTools, HELD_OUT, ROOT, TINY_LLAMA } from "../support/both-tools.ts";

/** The layer whose MLP multiplies in TF32. */
const COARSE = 1;

const { folder, python, tinyDump, compare, compareText } = bothTools();

function engine(out: string, ...layer: readonly string[]): void {
  python(join(ROOT, "test/e2e/float32_engine.py"), TINY_LLAMA, "tokens.arrow", out, ...layer);
}

beforeAll(() => {
  const prompts = ["--prompts", HELD_OUT, "--limit", "6"];
  const bf16 = ["--dtype", "bfloat16", "--attn", "eager"];
  tinyDump("run", ...prompts, ...bf16, "--decode", "3", "-o", "npu.arrow");
  tinyDump(
    "run",
    "--tokens-from",
    "npu.arrow",
    "--decode",
    "3",
    "--batch",
    "3",
    ...bf16,
    "-o",
    "second.arrow",
  );
  tinyDump("run", ...prompts.slice(0, 2), "--limit", "5", ...bf16, "-o", "fewer.arrow");
  tinyDump("reference", "npu.arrow", "-o", "ref");
  tinyDump("run", ...prompts, "--dtype", "float32", "-o", "tokens.arrow");
  engine("float32.arrow");
  engine("tf32.arrow", String(COARSE));
  tinyDump("reference", "float32.arrow", "-o", "ref32");
  tinyDump("reference", "tf32.arrow", "-o", "ref32");
}, 600_000);

describe("a set", () => {
  test("gives the very bytes that its files by name give", async () => {
    const forced = readdirSync(join(folder, "ref")).filter((name) => name.startsWith("forced."));
    expect(forced).toHaveLength(3);
    const named = await compareText(
      ...["ref/reference.arrow", "npu.arrow", "--floor", "ref/floor.1.arrow"],
      ...["--floor", "ref/floor.2.arrow", ...forced.flatMap((name) => ["--forced", `ref/${name}`])],
      "--json",
    );
    const whole = await compareText("ref", "npu.arrow", "--json");
    expect(whole).toEqual(named);
    expect([whole.code, whole.stderr]).toEqual([0, expect.not.stringContaining("warning")]);
  });

  test("names each file that it gives", async () => {
    const [, { inputs }] = await compare("ref/", "npu.arrow");
    const files = [inputs.reference, ...inputs.floors, ...inputs.forced].map(({ file }) => file);
    expect(files.toSpliced(3, 1)).toEqual(
      ["reference", "floor.1", "floor.2", "forced.1", "forced.2"].map((name) => `${name}.arrow`),
    );
    expect(inputs.forced.map(({ run }) => (run["capture"] as { set: unknown }).set)).toEqual([
      { role: "forced", number: 0 },
      { role: "forced", number: 1 },
      { role: "forced", number: 2 },
    ]);
  });

  test("passes over the forced references of others, and says how to make the one that is absent", async () => {
    const { code, stderr } = await compareText("ref", "second.arrow");
    expect(stderr).toContain(
      "warning[input/forced-absent]: second.arrow has no forced reference among those given; " +
        "this makes it: npu-dump reference second.arrow --model MODEL -o ref\n",
    );
    expect(code).toBe(0);
    tinyDump("reference", "second.arrow", "-o", "ref");
    expect((await compareText("ref", "second.arrow")).stderr).not.toContain("warning");
    expect((await compareText("ref", "npu.arrow")).stderr).not.toContain("warning");
  });

  test("of other tokens is refused", async () => {
    const { code, stdout, stderr } = await compareText("ref", "fewer.arrow");
    expect(stderr).toMatch(/^error\[tokens-differ\]: /);
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("never takes a candidate that lies in its folder for a floor", async () => {
    mkdirSync(join(folder, "shared"));
    for (const name of readdirSync(join(folder, "ref"))) {
      copyFileSync(join(folder, "ref", name), join(folder, "shared", name));
    }
    copyFileSync(join(folder, "npu.arrow"), join(folder, "shared/npu.arrow"));
    copyFileSync(join(folder, "second.arrow"), join(folder, "shared/second.arrow"));
    const { stderr, stdout } = await compareText("shared", "shared/npu.arrow", "--json");
    expect(stderr).toMatch(/^warning\[input\/set-stranger\]: second\.arrow lies in/m);
    expect((JSON.parse(stdout) as ComparisonResult).inputs.floors).toHaveLength(2);
  });

  test("is never replaced by a report", async () => {
    const { code, stderr } = await compareText("ref", "npu.arrow", "-o", "md=ref/floor.1.arrow");
    expect(stderr).toMatch(/^error\[usage\]: a report would replace another file/);
    expect(code).toBe(2);
  });
});

describe("a float32 candidate beside a float64 reference", () => {
  const own = ({ tensors }: ComparisonResult): readonly (readonly [TensorResult, number])[] =>
    tensors
      .filter(({ name }) => name !== "embed")
      .map((tensor) => [tensor, tensor.own?.gmOverFloor ?? Number.NaN]);

  test("of a correct engine has the floor's errors, a few roundings large", async () => {
    const [, clean] = await compare("ref32", "float32.arrow");
    expect(clean.inputs.reference.run["dtype"]).toBe("F64");
    expect(clean.verdict).toBe("pass");
    for (const [{ name, own: figures }, ratio] of own(clean)) {
      expect(ratio, name).toBeGreaterThan(0.4);
      expect(ratio, name).toBeLessThan(1.6);
      expect(figures?.u, name).toBeLessThan(20);
    }
  });

  test("of one that multiplies in TF32 stands far out where it does", async () => {
    const [, coarse] = await compare("ref32", "tf32.arrow");
    expect(coarse.verdict).toBe("fail");
    expect(coarse.origin?.tensor).toBe(`layers.${String(COARSE)}.mlp`);
    for (const [{ name }, ratio] of own(coarse)) {
      if (name === `layers.${String(COARSE)}.mlp`) expect(ratio).toBeGreaterThan(100);
      else expect(ratio, name).toBeLessThan(1.6);
    }
  });
});
