import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { FloatDType } from "../../src/core/dtype.ts";
import { decodeInto, readIntegers } from "../../src/dump/decode.ts";

interface Golden {
  readonly sha256: string;
  readonly sample: readonly (readonly [number, string])[];
}

// Made by golden/make_decode.py with PyTorch.
const golden = JSON.parse(
  readFileSync(new URL("golden/decode.json", import.meta.url), "utf8"),
) as Record<string, Golden>;

/** The float64 bits of `values`, every NaN as the quiet one. */
function bitsOf(values: Float64Array): BigUint64Array {
  const bits = new BigUint64Array(values.buffer.slice(0));
  for (const [i, value] of values.entries()) {
    if (Number.isNaN(value)) bits[i] = 0x7ff8000000000000n;
  }
  return bits;
}

function decode(dtype: FloatDType, bytes: Uint8Array, count: number): Float64Array {
  const out = new Float64Array(count);
  decodeInto(dtype, bytes, out);
  return out;
}

describe("decodeInto", () => {
  it.each(["F16", "BF16", "F8_E4M3", "F8_E5M2"] as const)(
    "decodes every pattern of %s as PyTorch does",
    (dtype) => {
      const wide = dtype === "F16" || dtype === "BF16";
      const patterns = wide
        ? Uint16Array.from({ length: 65536 }, (_, i) => i)
        : Uint8Array.from({ length: 256 }, (_, i) => i);
      const bits = bitsOf(decode(dtype, new Uint8Array(patterns.buffer), patterns.length));
      const { sample, sha256 } = golden[dtype] as Golden;
      for (const [pattern, expected] of sample) {
        expect([pattern, bits[pattern]?.toString(16).padStart(16, "0")]).toEqual([
          pattern,
          expected,
        ]);
      }
      expect(createHash("sha256").update(bits).digest("hex")).toBe(sha256);
    },
  );

  it("decodes F32 and F64 at any alignment", () => {
    const values = [0, -0, 1.5, 2 ** -149, -3.4028234663852886e38, Infinity, -Infinity, NaN];
    for (const [dtype, source] of [
      ["F32", new Uint8Array(Float32Array.from(values).buffer)],
      ["F64", new Uint8Array(Float64Array.from(values).buffer)],
    ] as const) {
      for (const shift of [0, 1, 3, 4]) {
        const shifted = new Uint8Array(source.length + shift);
        shifted.set(source, shift);
        expect([...decode(dtype, shifted.subarray(shift), values.length)]).toEqual(values);
      }
    }
  });

  it("decodes small floats at odd positions", () => {
    // 0x3f80 is 1 in BF16; 0x3c00 is 1 in F16.
    expect([...decode("BF16", Uint8Array.of(9, 0x80, 0x3f).subarray(1), 1)]).toEqual([1]);
    expect([...decode("F16", Uint8Array.of(9, 0x00, 0x3c).subarray(1), 1)]).toEqual([1]);
  });

  it("decodes nothing from nothing and refuses lengths that disagree", () => {
    expect(decode("F32", new Uint8Array(0), 0)).toHaveLength(0);
    expect(() => decode("F32", new Uint8Array(7), 2)).toThrow(RangeError);
    expect(() => decode("BF16", new Uint8Array(2), 2)).toThrow(RangeError);
  });
});

describe("readIntegers", () => {
  it("reads every integer dtype with its sign, at any alignment", () => {
    const ids = BigInt64Array.from([0n, -1n, 49151n, 2n ** 53n - 1n, -(2n ** 53n) + 1n]);
    const shifted = new Uint8Array(1 + ids.byteLength);
    shifted.set(new Uint8Array(ids.buffer), 1);
    expect([...readIntegers("I64", shifted.subarray(1))]).toEqual([...ids].map(Number));
    const bytes = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0);
    expect([...readIntegers("I32", bytes)]).toEqual([-1, 1]);
    expect([...readIntegers("I16", bytes)]).toEqual([-1, -1, 1, 0]);
    expect([...readIntegers("I8", bytes.subarray(3, 5))]).toEqual([-1, 1]);
    expect([...readIntegers("U8", bytes.subarray(3, 5))]).toEqual([255, 1]);
    expect([...readIntegers("BOOL", bytes.subarray(3, 6))]).toEqual([1, 1, 0]);
  });

  it("refuses what no float64 holds exactly", () => {
    const ids = BigInt64Array.from([5n, 2n ** 53n]);
    expect(() => readIntegers("I64", new Uint8Array(ids.buffer))).toThrow(
      expect.objectContaining({ code: "dump-corrupt" }),
    );
    expect(() => readIntegers("F32", new Uint8Array(4))).toThrow(
      expect.objectContaining({ code: "dump-corrupt" }),
    );
    expect(() => readIntegers("I32", new Uint8Array(5))).toThrow(RangeError);
  });
});
