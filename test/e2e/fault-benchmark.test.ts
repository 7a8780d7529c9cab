/**
 * A seeded part of the fault benchmark, run as its command runs it: legal
 * engines pass, faults are found in the module that they were put into.
 */

import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { scratch } from "../support/scratch.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A fault so many times the floor is beyond what any legal kernel does. */
const PLAIN_FAULT = 5;

interface Judged {
  readonly verdict: string;
  readonly origin: string | null;
}

interface BenchmarkRecord {
  readonly id: string;
  readonly error?: string;
  readonly faults: readonly { readonly module: string; readonly effect: number | "Infinity" }[];
  readonly forced: Judged;
}

const { folder } = scratch();
const file = join(folder, "records.jsonl");

function benchmark(): string {
  const args = ["-m", "bench.faults", "--small", "--jobs", "2", "--out", folder];
  return execFileSync(join(ROOT, ".venv/bin/python"), args, {
    cwd: ROOT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function records(): readonly BenchmarkRecord[] {
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as BenchmarkRecord);
}

beforeAll(() => {
  benchmark();
}, 600_000);

test("every case of the small benchmark runs", () => {
  expect(records().filter(({ error }) => error !== undefined)).toEqual([]);
  expect(records().filter(({ faults }) => faults.length === 0)).toHaveLength(6);
  expect(records().filter(({ faults }) => faults.length === 1)).toHaveLength(8);
});

test("no legal engine alarms", () => {
  const benign = records().filter(({ faults }) => faults.length === 0);
  expect(benign.filter(({ forced }) => forced.verdict !== "pass")).toEqual([]);
});

test("every plain fault is found in its module", () => {
  const plain = records().filter(({ faults }) => Number(faults[0]?.effect ?? 0) >= PLAIN_FAULT);
  expect(plain.length).toBeGreaterThanOrEqual(5);
  const found = plain.map(({ id, forced }) => [id, forced.verdict, forced.origin]);
  expect(found).toEqual(plain.map(({ id, faults }) => [id, "fail", faults[0]?.module]));
});

test("a run that was cut off goes on where its records end", () => {
  const before = readFileSync(file, "utf8");
  const lines = before.trimEnd().split("\n");
  const last = lines.at(-1) ?? "";
  // The last record is half written.
  writeFileSync(file, before.slice(0, -last.length / 2));
  const table = benchmark();
  const after = readFileSync(file, "utf8");
  expect(after.startsWith(before.slice(0, before.length - last.length - 1))).toBe(true);
  expect(records().map(({ id }) => id)).toEqual(
    lines.map((line) => (JSON.parse(line) as BenchmarkRecord).id),
  );
  expect(table).toContain("14 cases (report): 6 benign pairs, 8 with one fault");
}, 300_000);

test("what failed to run is told, and run again", () => {
  const first = records()[0];
  appendFileSync(file, `${JSON.stringify({ id: first?.id, error: "gone" })}\n`);
  benchmark();
  expect(records().at(-1)).toMatchObject({ id: first?.id, forced: { verdict: "pass" } });
}, 300_000);
