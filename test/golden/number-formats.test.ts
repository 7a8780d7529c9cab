/** Number formats are what PyTorch says, NumPy and ml_dtypes do, and their makers write. */

import { describe, expect, test } from "vitest";
import { DTYPES, isFloatDType } from "../../src/core/dtype.ts";
import { FORMAT_IDS, FORMATS } from "../../src/core/number-format.ts";
import { expectedNoise } from "../../src/judge/noise.ts";
import { python } from "../support/python.ts";

interface Facts {
  readonly maxFinite: number;
  readonly minNormal: number;
  readonly minSubnormal: number;
  readonly unitRoundoff: number;
  readonly decimalDigits: number;
  readonly bits: number;
  readonly firstOverflow: number | null;
  readonly overflowsTo: string | null;
}

const TORCH = JSON.parse(python("number_formats.py")) as Readonly<Record<string, Facts>>;

/** The float32 next above a positive one. */
function above(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  view.setInt32(0, view.getInt32(0) + 1);
  return view.getFloat32(0);
}

describe.each(Object.keys(TORCH))("%s", (id) => {
  const format = FORMATS[id as keyof typeof FORMATS];
  const torch = TORCH[id] as Facts;

  test("its extremes, its rounding and its size", () => {
    const { maxFinite, minNormal, minSubnormal, unitRoundoff, decimalDigits } = format;
    expect({ maxFinite, minNormal, minSubnormal, unitRoundoff }).toEqual({
      maxFinite: torch.maxFinite,
      minNormal: torch.minNormal,
      minSubnormal: torch.minSubnormal,
      unitRoundoff: torch.unitRoundoff,
    });
    expect(decimalDigits).toBe(torch.decimalDigits);
    expect(format.signBits + format.exponentBits + format.mantissaBits).toBe(torch.bits);
  });

  test("where conversions overflow, and to what", () => {
    const { overflow } = format;
    if (torch.firstOverflow === null) {
      // Half a unit beyond the largest float64 is no float64.
      expect(overflow?.from).toBeNull();
      return;
    }
    if (overflow?.from == null) throw new Error(`${id} has no end`);
    expect(overflow.inclusive ? overflow.from : above(overflow.from)).toBe(torch.firstOverflow);
    expect(torch.overflowsTo).toBe(overflow.to === "NaN" ? "nan" : "inf");
  });
});

test("every dtype that holds real numbers is explained, with the limits' own facts", () => {
  const named = FORMAT_IDS.flatMap((id) => FORMATS[id].dtype ?? []);
  const real = (Object.keys(DTYPES) as (keyof typeof DTYPES)[]).filter(isFloatDType);
  expect(named.toSorted()).toEqual(real.toSorted());
  for (const id of FORMAT_IDS) {
    const { dtype, u, unitRoundoff, maxFinite } = FORMATS[id];
    if (dtype === null) continue;
    expect([u, maxFinite]).toEqual([DTYPES[dtype].u, DTYPES[dtype].maxFinite]);
    expect(u).toBe(unitRoundoff / 2);
  }
});

test("the formats of operands have the bits that their makers write", () => {
  // CANN: 11 bits of mantissa and the range of float32; NVIDIA: 10 bits, 8 of exponent.
  expect([FORMATS["dtype/hf32"].mantissaBits, FORMATS["dtype/hf32"].exponentBits]).toEqual([11, 8]);
  expect([FORMATS["dtype/tf32"].mantissaBits, FORMATS["dtype/tf32"].exponentBits]).toEqual([10, 8]);
  expect(FORMATS["dtype/tf32"].minNormal).toBe(FORMATS["dtype/f32"].minNormal);
});

test("the noise of a format grows with depth as correct engines were measured to", () => {
  const { tensors } = expectedNoise(2 ** -9, 24);
  const of = (name: string): number =>
    tensors.find(({ tensor }) => tensor === name)?.gm ?? Number.NaN;
  expect(of("embed")).toBeCloseTo(0.85 / 512, 12);
  expect(of("layers.0")).toBeCloseTo(2.8 / 512, 12);
  expect(of("layers.23")).toBeCloseTo((2.8 * Math.exp(0.37 * Math.log(24))) / 512, 12);
  expect(of("logits")).toBeCloseTo((1.9 * Math.exp(0.37 * Math.log(25))) / 512, 12);
  // SmolLM2 in bf16: 2.1 u, 4.5 u and 7.6 u in layers 0, 9 and 29; the constant is that of the worst layer.
  for (const [layer, measured] of [
    [0, 2.1],
    [9, 4.5],
    [29, 7.6],
  ] as const) {
    const found = expectedNoise(1, layer + 1).tensors.find(
      ({ tensor }) => tensor === `layers.${layer}`,
    );
    expect((found?.gm ?? 0) / measured).toBeGreaterThanOrEqual(1);
    expect((found?.gm ?? 0) / measured).toBeLessThan(1.5);
  }
});
