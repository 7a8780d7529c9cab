/** In which format a file of another tool was computed, where only its values tell. */

import { describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { type FileTensors, f32, i64, safetensors } from "../support/safetensors.ts";
import { random, scratch } from "../support/scratch.ts";

const files = scratch();
const TOKENS = 8;
const WIDTH = 32;

/** Rounds to bfloat16, to nearest even, by the bits of float32. */
function bfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  const [found = 0] = bits;
  bits[0] = (found + 0x7fff + ((found >>> 16) & 1)) & 0xffff_0000;
  return new Float32Array(bits.buffer)[0] ?? 0;
}

/** Rounds to float16 where that has 11 bits: between 2^-14 and 2^16. */
function float16(value: number): number {
  const step = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 10);
  return Math.round(value / step) * step;
}

const exact = (value: number): number => value;
const values = (seed: number, count: number): number[] => {
  const next = random(seed);
  return Array.from({ length: count }, () => (next() < 0.5 ? -1 : 1) * (0.01 + next()));
};

function path(round: (value: number) => number, more: FileTensors = {}): string {
  const layer = (seed: number) => f32([TOKENS, WIDTH], values(seed, TOKENS * WIDTH).map(round));
  const layers = Object.fromEntries([0, 1, 2].map((i) => [`model.layers.${i}`, layer(i)]));
  const ids = i64([TOKENS], [...Array(TOKENS).keys()]);
  return files.file(safetensors({ input_ids: ids, ...layers, ...more }), ".safetensors");
}

function computed(file: string): { readonly dtype: string; readonly assumed: unknown } {
  const dump = openDump(file);
  dump.close();
  const { assumed } = dump.run["imported"] as { readonly assumed: unknown };
  return { dtype: dump.run.dtype, assumed };
}

describe("float32 that holds the values of another format", () => {
  test.each([
    ["BF16", bfloat16],
    ["F16", float16],
  ] as const)("is of %s, which is told as assumed", (dtype, round) => {
    const told = [{ name: "dtype", why: `${dtype}, since F32 holds no other values` }];
    expect(computed(path(round))).toEqual({ dtype, assumed: told });
  });

  test("is float32 where one value is of no other format, or where there are few", () => {
    expect(computed(path(exact))).toEqual({ dtype: "F32", assumed: [] });
    const few = safetensors({ "layers.0": f32([1, 32], values(1, 32).map(bfloat16)) });
    expect(computed(files.file(few, ".safetensors"))).toEqual({ dtype: "F32", assumed: [] });
  });

  test("says so by most of its hidden states, whatever its logits are", () => {
    const logits = f32([TOKENS, 512], values(9, TOKENS * 512));
    expect(computed(path(bfloat16, { logits })).dtype).toBe("BF16");
    const states = { "model.layers.3": f32([TOKENS, WIDTH], values(3, TOKENS * WIDTH)) };
    expect(computed(path(bfloat16, states)).dtype).toBe("BF16");
    const more = { ...states, "model.layers.4": f32([TOKENS, WIDTH], values(4, TOKENS * WIDTH)) };
    const most = { ...more, "model.norm": f32([TOKENS, WIDTH], values(5, TOKENS * WIDTH)) };
    expect(computed(path(bfloat16, most)).dtype).toBe("F32");
  });

  test("is held to the limits of that format: right and wrong are told apart", async () => {
    const reference = path(exact);
    const rounded = await compareDumps({ reference, candidate: path(bfloat16) });
    expect([rounded.verdict, rounded.preset]).toEqual(["pass", "bf16"]);
    expect(rounded.findings.map(({ rule }) => rule)).toContain("input/assumed");
    const wrong = await compareDumps({
      reference,
      candidate: path((value) => bfloat16(1.25 * value)),
    });
    expect([wrong.verdict, wrong.origin?.tensor]).toEqual(["fail", "layers.0"]);
    const strict = await compareDumps({ reference, candidate: path(bfloat16), preset: "f32" });
    expect(strict.verdict).toBe("fail");
  });
});
