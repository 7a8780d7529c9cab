/**
 * `npu-diff compare` with the sets that `npu-dump reference` makes, on the tiny
 * model of the fixtures.
 */

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { TensorResult } from "../../src/core/tensor-result.ts";
import { cli, type Ended } from "../support/cli.ts";
import { scratch } from "../support/scratch.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PYTHON = join(ROOT, ".venv/bin/python");
const MODEL = join(ROOT, "fixtures/tiny-llama");

/** The layer whose MLP multiplies in TF32. */
const COARSE = 1;

const { folder } = scratch();

function python(...args: readonly string[]): string {
  return execFileSync(PYTHON, args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function npuDump(...args: readonly string[]): string {
  const options = ["--model", MODEL, "--threads", "1", "--no-progress"];
  return python("-m", "npu_dump", ...args, ...options);
}

function engine(out: string, ...layer: readonly string[]): void {
  python(join(ROOT, "test/e2e/float32_engine.py"), MODEL, "tokens.arrow", out, ...layer);
}

beforeAll(() => {
  const prompts = ["--prompts", join(ROOT, "fixtures/text/held-out.txt"), "--limit", "6"];
  const bf16 = ["--dtype", "bfloat16", "--attn", "eager"];
  npuDump("run", ...prompts, ...bf16, "--decode", "3", "-o", "npu.arrow");
  npuDump(
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
  npuDump("run", ...prompts.slice(0, 2), "--limit", "5", ...bf16, "-o", "fewer.arrow");
  npuDump("reference", "npu.arrow", "-o", "ref");
  npuDump("run", ...prompts, "--dtype", "float32", "-o", "tokens.arrow");
  engine("float32.arrow");
  engine("tf32.arrow", String(COARSE));
  npuDump("reference", "float32.arrow", "-o", "ref32");
  npuDump("reference", "tf32.arrow", "-o", "ref32");
}, 600_000);

async function compare(...args: readonly string[]): Promise<Ended> {
  return cli(["compare", ...args], { cwd: folder });
}

async function result(...args: readonly string[]): Promise<ComparisonResult> {
  return JSON.parse((await compare(...args, "--json")).stdout) as ComparisonResult;
}

describe("a set", () => {
  test("gives the very bytes that its files by name give", async () => {
    const forced = readdirSync(join(folder, "ref")).filter((name) => name.startsWith("forced."));
    expect(forced).toHaveLength(3);
    const named = await compare(
      ...["ref/reference.arrow", "npu.arrow", "--floor", "ref/floor.1.arrow"],
      ...["--floor", "ref/floor.2.arrow", ...forced.flatMap((name) => ["--forced", `ref/${name}`])],
      "--json",
    );
    const whole = await compare("ref", "npu.arrow", "--json");
    expect(whole).toEqual(named);
    expect([whole.code, whole.stderr]).toEqual([0, expect.not.stringContaining("warning")]);
  });

  test("names each file that it gives", async () => {
    const { inputs } = await result("ref/", "npu.arrow");
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
    const { code, stderr } = await compare("ref", "second.arrow");
    expect(stderr).toContain(
      "warning[input/forced-absent]: second.arrow has no forced reference among those given; " +
        "this makes it: npu-dump reference second.arrow --model MODEL -o ref\n",
    );
    expect(code).toBe(0);
    npuDump("reference", "second.arrow", "-o", "ref");
    expect((await compare("ref", "second.arrow")).stderr).not.toContain("warning");
    expect((await compare("ref", "npu.arrow")).stderr).not.toContain("warning");
  });

  test("of other tokens is refused", async () => {
    const { code, stdout, stderr } = await compare("ref", "fewer.arrow");
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
    const { stderr, stdout } = await compare("shared", "shared/npu.arrow", "--json");
    expect(stderr).toMatch(/^warning\[input\/set-stranger\]: second\.arrow lies in/m);
    expect((JSON.parse(stdout) as ComparisonResult).inputs.floors).toHaveLength(2);
  });

  test("is never replaced by a report", async () => {
    const { code, stderr } = await compare("ref", "npu.arrow", "-o", "md=ref/floor.1.arrow");
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
    const clean = await result("ref32", "float32.arrow");
    expect(clean.inputs.reference.run["dtype"]).toBe("F64");
    expect(clean.verdict).toBe("pass");
    for (const [{ name, own: figures }, ratio] of own(clean)) {
      expect(ratio, name).toBeGreaterThan(0.4);
      expect(ratio, name).toBeLessThan(1.6);
      expect(figures?.u, name).toBeLessThan(20);
    }
  });

  test("of one that multiplies in TF32 stands far out where it does", async () => {
    const coarse = await result("ref32", "tf32.arrow");
    expect(coarse.verdict).toBe("fail");
    expect(coarse.origin?.tensor).toBe(`layers.${String(COARSE)}.mlp`);
    for (const [{ name }, ratio] of own(coarse)) {
      if (name === `layers.${String(COARSE)}.mlp`) expect(ratio).toBeGreaterThan(100);
      else expect(ratio, name).toBeLessThan(1.6);
    }
  });
});
