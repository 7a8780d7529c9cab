/** The kernel against the plain float64 path, on jobs of every kind. */

import { afterAll, describe, expect, test } from "vitest";
import {
  decodeJob,
  encodeJob,
  type Job,
  type JobSide,
  numbersOf,
} from "../../../src/measure/kernel/job.ts";
import { runWithOracle } from "../../../src/measure/kernel/oracle.ts";
import {
  AT,
  CHANNEL_SUMS,
  LOGITS,
  ROW,
  ROW_NUMBERS,
  resultLayout,
  SIDE_LOGITS,
  SIDE_LOGITS_NUMBERS,
  TOTALS,
} from "../../../src/measure/kernel/results.ts";
import { JobRunner } from "../../../src/measure/kernel/run-job.ts";
import { compileKernel } from "../../../src/measure/kernel/wasm.ts";
import { scratch } from "../../support/scratch.ts";
import { type CaseLimits, JobFile, Random, randomJob } from "./random-job.ts";

const files = scratch();
const file = new JobFile(files.path(".bin"));
afterAll(() => {
  file.close();
});
const runner = new JobRunner(compileKernel());

/** Plain sums of so many terms are off by less than this share of Σ|terms|. */
const SUM_TOLERANCE = 1e-12;

interface Outcome {
  readonly job: Job;
  readonly kernel: Float64Array;
  readonly oracle: Float64Array;
}

function run(job: Job): Outcome {
  const { length } = resultLayout(job);
  const [kernel, oracle] = [new Float64Array(length).fill(777), new Float64Array(length).fill(555)];
  // As it comes from another thread.
  const numbers = new Float64Array(numbersOf(job));
  encodeJob(job, numbers);
  runner.run(decodeJob(numbers), kernel);
  runWithOracle(job, oracle);
  return { job, kernel, oracle };
}

/** What differs more than it may, in words; empty where nothing does. */
function differences(outcome: Outcome): string[] {
  const { job, kernel, oracle } = outcome;
  const found: string[] = [];
  const check = (what: string, at: number, tolerance: number): void => {
    const [mine, theirs] = [kernel[at] as number, oracle[at] as number];
    if (Object.is(mine, theirs) || Math.abs(mine - theirs) <= tolerance) return;
    found.push(`${what}: ${String(mine)} for ${String(theirs)}`);
  };
  checkTotals(outcome, found);
  for (const name of EXACT) check(name, AT[name], 0);
  for (let i = 0; i < 6; i += 1) check(`non-finite ${String(i)}`, AT.nonFiniteX + i, 0);
  if ((oracle[AT.maxAbs] as number) >= 0) for (const name of PLACES) check(name, AT[name], 0);
  if ((oracle[AT.mismatched] as number) > 0) for (const name of MISMATCH) check(name, AT[name], 0);
  const { stride, channelsAt } = resultLayout(job);
  const others = job.sides.length - 1;
  for (let row = 0; row < job.rows; row += 1) {
    const at = TOTALS + row * stride;
    for (let side = 0; side < others; side += 1) {
      const from = at + side * ROW_NUMBERS;
      const of = (place: number): number => oracle[from + place] as number;
      const where = `row ${String(row)}, side ${String(side)}`;
      check(`${where} rho`, from + ROW.rho, SUM_TOLERANCE * of(ROW.rho));
      check(`${where} xx`, from + ROW.xx, SUM_TOLERANCE * of(ROW.xx));
      check(`${where} dd`, from + ROW.dd, SUM_TOLERANCE * of(ROW.dd));
      const product = Math.sqrt(of(ROW.xx) * of(ROW.dd));
      check(`${where} xd`, from + ROW.xd, SUM_TOLERANCE * product);
      check(`${where} d`, from + ROW.d, SUM_TOLERANCE * Math.sqrt(of(ROW.dd) * job.width));
      check(`${where} max`, from + ROW.maxAbs, 0);
      check(`${where} count`, from + ROW.count, 0);
      const distance = of(ROW.cosineDistance);
      check(`${where} distance`, from + ROW.cosineDistance, Math.max(1e-7 * distance, 4e-15));
    }
    if (job.truth === null) continue;
    const rowAt = at + others * (ROW_NUMBERS + SIDE_LOGITS_NUMBERS);
    for (let side = 0; side < others; side += 1) {
      const from = at + others * ROW_NUMBERS + side * SIDE_LOGITS_NUMBERS;
      const kl = oracle[from + SIDE_LOGITS.kl] as number;
      // It is a difference of numbers as large as the log-sum-exps.
      const size = Math.max(
        1,
        Math.abs(oracle[rowAt] as number),
        Math.abs(oracle[rowAt + 1] as number),
      );
      check("kl", from + SIDE_LOGITS.kl, Math.max(1e-10 * size, 1e-9 * Math.abs(kl)));
      check("sigma", from + SIDE_LOGITS.sigma, 1e-9 * (oracle[from + SIDE_LOGITS.sigma] as number));
    }
    for (const place of [LOGITS.lseReference, LOGITS.lseCandidate]) {
      check("lse", rowAt + place, 1e-11 * (1 + Math.abs(oracle[rowAt + place] as number)));
    }
    for (const [name, place] of Object.entries(LOGITS).slice(2)) check(name, rowAt + place, 0);
  }
  if (job.leastRowError === null) return found;
  for (let i = 0; i < CHANNEL_SUMS * job.width; i += 1) {
    check(
      `channel sum ${String(i)}`,
      channelsAt + i,
      1e-12 * (1 + Math.abs(oracle[channelsAt + i] as number)) * job.rows,
    );
  }
  return found;
}

const EXACT = ["count", "maxAbs", "mismatched", "saturated", "differing"] as const;
const PLACES = ["maxRow", "maxColumn", "maxX", "maxY"] as const;
const MISMATCH = ["mismatchRow", "mismatchColumn", "mismatchX", "mismatchY"] as const;

/** The sums over all rows, which either side may have scaled. */
function checkTotals({ kernel, oracle }: Outcome, found: string[]): void {
  const value = (numbers: Float64Array, place: number, index: number): number =>
    ((numbers[place] as number) + (numbers[place + 1] as number)) *
    2 ** (numbers[AT.exponents + index] as number);
  const of = (place: number, index: number): number => value(oracle, place, index);
  const [xx, yy, dd] = [of(AT.xx, 0), of(AT.yy, 1), of(AT.dd, 3)];
  const count = oracle[AT.count] as number;
  const scales = {
    xx,
    yy,
    xy: Math.sqrt(xx * yy),
    dd,
    xd: Math.sqrt(xx * dd),
    d: Math.sqrt(dd * count),
    absD: Math.sqrt(dd * count),
  };
  for (const [index, [name, scale]] of Object.entries(scales).entries()) {
    const place = AT[name as keyof typeof scales];
    const [mine, theirs] = [value(kernel, place, index), value(oracle, place, index)];
    if (Object.is(mine, theirs) || Math.abs(mine - theirs) <= SUM_TOLERANCE * scale) continue;
    found.push(`${name}: ${String(mine)} for ${String(theirs)}`);
  }
}

/** Runs `cases` and gives the first few that differ. */
function failures(cases: number, seed: number, limits: CaseLimits): string[] {
  const found: string[] = [];
  for (let i = 0; i < cases && found.length < 5; i += 1) {
    const random = new Random(seed + i);
    const job = randomJob(random, file, limits);
    const wrong = differences(run(job));
    if (wrong.length === 0) continue;
    const sides = job.sides.map(({ dtype, factor }) => `${dtype}*${String(factor)}`).join(" ");
    const shape = `${String(job.rows)}x${String(job.width)}`;
    found.push(`case ${String(seed + i)} (${sides}, ${shape}): ${wrong.slice(0, 3).join("; ")}`);
  }
  return found;
}

describe("the kernel says what the plain path says", () => {
  test("of 6,000 jobs with short rows", () => {
    const limits = { logits: false, mostRows: 12, widths: [1, 3, 8, 31, 64, 130] };
    expect(failures(6000, 1, limits)).toEqual([]);
  });

  test("of 1,000 jobs with rows of several blocks", () => {
    const limits = { logits: false, mostRows: 4, widths: [1022, 1024, 2049, 5000] };
    expect(failures(1000, 100_000, limits)).toEqual([]);
  });

  test("of rows that come in several pieces", () => {
    const widths = [2 ** 18 + 100, 2 ** 19 + 3];
    expect(failures(6, 300_000, { logits: false, mostRows: 2, widths })).toEqual([]);
    expect(failures(6, 400_000, { logits: true, mostRows: 2, widths })).toEqual([]);
  });

  test("of more floors than it has room for", () => {
    const random = new Random(5);
    const { sides, ...job } = randomJob(random, file, { logits: true, mostRows: 3, widths: [40] });
    const [reference, candidate] = sides as [JobSide, JobSide];
    const floors = Array.from({ length: 20 }, () => candidate);
    const crowded = { ...job, sides: [reference, ...floors], leastRowError: null };
    expect(differences(run(crowded))).toEqual([]);
  });

  test("of 4,000 jobs with logits", () => {
    const limits = { logits: true, mostRows: 4, widths: [2, 9, 12, 33, 100, 511, 513, 1200] };
    expect(failures(4000, 200_000, limits)).toEqual([]);
  });
});
