/**
 * A good candidate of a real model, corrupted in hundreds of ways that know
 * nothing of the judge: none passes. What is smaller than the noise of correct
 * engines, by an account of its own, is set aside and counted.
 */

import { beforeAll, expect, test } from "vitest";
import { type Captured, capture, outcome, tryCorruptions } from "./support/corrupt-candidate.ts";
import { scratch } from "./support/scratch.ts";

const ENOUGH = 500;

const files = scratch();
let captured: Captured;

beforeAll(() => {
  captured = capture(files);
}, 120_000);

test.each(["nothing", "floors"] as const)("the good candidate passes with %s", async (mode) => {
  const candidate = captured.path("candidate");
  expect(await outcome({ ...captured.options(mode), candidate })).toMatchObject({
    verdict: "pass",
  });
});

test.each(["nothing", "floors"] as const)(
  "none of 500 corruptions passes with %s",
  { timeout: 300_000 },
  async (mode) => {
    const tally = await tryCorruptions(captured, mode, ENOUGH, () => files.path());
    expect(tally.passed).toEqual([]);
    expect([...tally.counted].filter(([, count]) => count === 0)).toEqual([]);
    expect(tally.belowNoise).toBeLessThan(0.15 * ENOUGH);
  },
);
