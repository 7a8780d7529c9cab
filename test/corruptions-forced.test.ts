/**
 * The corruptions of `corruptions.test.ts`, judged with forced references too;
 * and forced references that are none.
 */

import { beforeAll, describe, expect, test } from "vitest";
import {
  type Captured,
  capture,
  outcome,
  passes,
  scaled,
  tryCorruptions,
} from "./support/corrupt-candidate.ts";
import {
  type MemoryDump,
  readDump,
  type Stored,
  valuesOf,
  writeDump,
} from "./support/corrupt-dump.ts";
import { scratch } from "./support/scratch.ts";

const ENOUGH = 500;

const files = scratch();
let captured: Captured;

beforeAll(() => {
  captured = capture(files);
}, 120_000);

function written(dump: MemoryDump): string {
  const path = files.path();
  writeDump(path, dump);
  return path;
}

test("the good candidate passes with forced references", async () => {
  const candidate = captured.path("candidate");
  expect(await outcome({ ...captured.options("forced"), candidate })).toMatchObject({
    verdict: "pass",
  });
});

test("none of 500 corruptions passes with forced references", { timeout: 300_000 }, async () => {
  const tally = await tryCorruptions(captured, "forced", ENOUGH, () => files.path());
  expect(tally.passed).toEqual([]);
  expect([...tally.counted].filter(([, count]) => count === 0)).toEqual([]);
  expect(tally.belowNoise).toBeLessThan(0.15 * ENOUGH);
});

describe("a forced reference that is none does not let the candidate pass", () => {
  /** Compares the good candidate, or `candidate`, with `forged` in the place of its forced reference. */
  async function judged(forged: MemoryDump, candidate?: MemoryDump): Promise<boolean> {
    const floors = ["floor.1", "floor.2"];
    return passes(
      await outcome({
        ...captured.options("floors"),
        candidate: candidate === undefined ? captured.path("candidate") : written(candidate),
        forced: [written(forged), ...floors.map((name) => captured.path(`forced.${name}`))],
      }),
    );
  }

  const right = (): MemoryDump => readDump(captured.path("forced.candidate"));

  test("the candidate's forced reference itself does", async () => {
    expect(await judged(right())).toBe(true);
  });

  test("the candidate, with and without the right metadata", async () => {
    const { clean } = captured;
    expect(await judged({ ...clean, run: right().run })).toBe(false);
    expect(await judged(clean)).toBe(false);
  });

  test("a floor's, under its own name and under the candidate's", async () => {
    const floors = readDump(captured.path("forced.floor.2"));
    expect(await judged({ ...floors, run: right().run })).toBe(false);
    expect(await judged(floors)).toBe(false);
  });

  test("the reference", async () => {
    const reference = readDump(captured.path("reference"));
    expect(await judged({ ...reference, run: right().run })).toBe(false);
  });

  test("one whose samples are in another order, with their ids and without", async () => {
    const { run, tensors } = right();
    // Samples 2 and 3 are of one length.
    const moved = (tensor: Stored): Stored => ({
      ...tensor,
      sample: [0, 1, 3, 2][tensor.sample] ?? 0,
    });
    expect(await judged({ run, tensors: tensors.map(moved) })).toBe(false);
    const isToken = ({ dtype }: Stored): boolean =>
      valuesOf({ dtype, bytes: new Uint8Array() }) === null;
    const exchanged = tensors.map((tensor) => (isToken(tensor) ? tensor : moved(tensor)));
    expect(await judged({ run, tensors: exchanged })).toBe(false);
  });

  test("one that echoes what is wrong with the candidate", async () => {
    const wrong = scaled(captured, "layers.1.mlp", 1.05);
    const { run, tensors } = right();
    const echo = tensors.map((tensor) => {
      const { name, sample, step } = tensor;
      const same = (one: Stored): boolean =>
        one.name === name && one.sample === sample && one.step === step;
      return name === "layers.1.mlp" ? (wrong.tensors.find(same) ?? tensor) : tensor;
    });
    expect(await judged({ run, tensors: echo }, wrong)).toBe(false);
  });
});
