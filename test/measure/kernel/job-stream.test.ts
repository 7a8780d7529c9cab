/** Threads change how long it takes, and nothing else. */

import { truncateSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { Helpers } from "../../../src/measure/kernel/helpers.ts";
import { type Job, numbersOf } from "../../../src/measure/kernel/job.ts";
import { FailedJob, JobStream } from "../../../src/measure/kernel/job-stream.ts";
import { resultLayout } from "../../../src/measure/kernel/results.ts";
import type { PlannedJob } from "../../../src/measure/plan.ts";
import { scratch } from "../../support/scratch.ts";
import { JobFile, Random, randomJob } from "./random-job.ts";

const files = scratch();
const path = files.path(".bin");
const opened: JobFile[] = [];
afterAll(() => {
  for (const file of opened) file.close();
});

/** Some jobs, each over a file of its own. */
function jobs(count: number, seed: number): Job[] {
  return Array.from({ length: count }, (_, i) => {
    const file = new JobFile(i === 0 ? path : files.path(".bin"));
    opened.push(file);
    const limits = { logits: i % 3 === 0, mostRows: 9, widths: [1, 33, 700, 1500] };
    return randomJob(new Random(seed + i), file, limits);
  });
}

function planned(all: readonly Job[]): PlannedJob[] {
  return all.map((job) => ({ job, sides: [], parts: [], present: [] }));
}

function stream(all: readonly Job[], threads: number): JobStream {
  return new JobStream(planned(all).values(), new Helpers(threads, Number.MAX_SAFE_INTEGER), {
    jobNumbers: Math.max(...all.map(numbersOf)),
    resultNumbers: Math.max(...all.map((job) => resultLayout(job).length)),
  });
}

async function results(all: readonly Job[], threads: number): Promise<Float64Array[]> {
  const from = stream(all, threads);
  const found: Float64Array[] = [];
  try {
    for (const job of all) {
      const { numbers } = await from.next();
      found.push(numbers.slice(0, resultLayout(job).length));
    }
  } finally {
    await from.close();
  }
  return found;
}

/** As bytes; a NaN is one, whatever its bits: engines differ in them, and nobody is shown them. */
function bytesOf(numbers: readonly Float64Array[]): string {
  return numbers
    .map((one) => Buffer.from(one.map((n) => (Number.isNaN(n) ? Number.NaN : n)).buffer))
    .map((bytes) => bytes.toString("base64"))
    .join("\n");
}

test("any number of threads gives the same bits in the same order", async () => {
  const all = jobs(120, 7);
  const alone = bytesOf(await results(all, 1));
  expect(alone.length).toBeGreaterThan(100_000);
  for (const threads of [2, 3, 7]) expect(bytesOf(await results(all, threads))).toBe(alone);
});

test("a job whose file lacks bytes fails, whoever ran it; those before it do not", async () => {
  const [broken, ...others] = jobs(12, 500) as [Job, ...Job[]];
  for (const threads of [1, 4]) {
    truncateSync(path, 1);
    const all = [...others, broken];
    const from = stream(all, threads);
    try {
      for (const job of others) expect((await from.next()).job).toBe(job);
      const failure: unknown = await from.next().catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(FailedJob);
      expect((failure as FailedJob).planned.job).toBe(broken);
    } finally {
      await from.close();
    }
  }
});

test("a job beyond the size that was promised is refused, not written over its neighbours", async () => {
  const all = jobs(2, 900);
  const from = new JobStream(planned(all).values(), new Helpers(1, 0), {
    jobNumbers: 4,
    resultNumbers: 1e6,
  });
  await expect(from.next()).rejects.toThrow(RangeError);
  await from.close();
});

test("what is left of a plan is dropped when it is closed", async () => {
  const all = jobs(60, 1200);
  const from = stream(all, 3);
  expect((await from.next()).job).toBe(all[0]);
  await from.close();
  writeFileSync(path, "");
  expect((await results(all.slice(1, 3), 2)).length).toBe(2);
});
