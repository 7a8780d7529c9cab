/** Metadata and files of a good candidate that lie: none lets a wrong module pass, and none moves a figure. */

import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../src/core/result.ts";
import { arrowFile, runEnd, type TestRow } from "./support/arrow-rows.ts";
import {
  type Captured,
  capture,
  changesLittle,
  outcome,
  passes,
  scaled,
} from "./support/corrupt-candidate.ts";
import { type MemoryDump, readDump, rowsOf, sameDump, writeDump } from "./support/corrupt-dump.ts";
import { LIES } from "./support/corrupt-metadata.ts";
import { random, scratch } from "./support/scratch.ts";

const MODES = ["nothing", "floors", "forced"] as const;

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

describe("what a run says of itself", () => {
  /** What was measured of each tensor, without what it was held to. */
  const figures = (result: ComparisonResult | string): readonly unknown[] =>
    typeof result === "string"
      ? [result]
      : result.tensors.map(({ name, step, relL2, tokenRelL2, cosine, maxAbs, bias, slope }) => [
          [name, step],
          [relL2, tokenRelL2?.max, cosine, maxAbs, bias, slope],
        ]);

  const known = () => ({
    reference: readDump(captured.path("reference")).run.id,
    floor: readDump(captured.path("floor.1")).run.id,
  });

  test.each(Object.entries(LIES))("%s: lets no wrong module pass", async (_name, lie) => {
    for (const wrong of [
      scaled(captured, "layers.2.mlp", 2),
      scaled(captured, "layers.0.attn", 0),
    ]) {
      const candidate = written({ ...wrong, run: lie(wrong.run, known()) });
      for (const mode of MODES) {
        expect(passes(await outcome({ ...captured.options(mode), candidate })), mode).toBe(false);
      }
    }
  });

  test.each(Object.entries(LIES))("%s: where it passes, it moves no figure", async (_name, lie) => {
    const { clean } = captured;
    const candidate = written({ ...clean, run: lie(clean.run, known()) });
    const honest = captured.path("candidate");
    for (const mode of MODES) {
      const options = captured.options(mode);
      const result = await outcome({ ...options, candidate });
      const expected = passes(result)
        ? figures(await outcome({ ...options, candidate: honest }))
        : figures(result);
      expect(figures(result), mode).toEqual(expected);
    }
  });
});

describe("files", () => {
  test("cut short anywhere, they are refused", async () => {
    const whole = readFileSync(captured.path("candidate"));
    const chance = random(1);
    const cuts = [1, 7, ...Array.from({ length: 30 }, () => Math.floor(chance() * whole.length))];
    for (const cut of cuts) {
      const candidate = files.file(whole.subarray(0, whole.length - cut));
      const result = await outcome({ ...captured.options("forced"), candidate });
      expect(result, `${String(cut)} bytes`).toBeTypeOf("string");
    }
  });

  test("with a byte changed anywhere, they pass only where it is nothing that counts", async () => {
    const whole = readFileSync(captured.path("candidate"));
    const chance = random(2);
    let [seen, unseen] = [0, 0];
    for (let i = 0; i < 60; i += 1) {
      const bytes = Uint8Array.from(whole);
      const place = Math.floor(chance() * bytes.length);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << Math.floor(chance() * 8));
      const candidate = files.file(bytes);
      const result = await outcome({ ...captured.options("forced"), candidate });
      if (!passes(result)) {
        seen += 1;
        continue;
      }
      unseen += 1;
      const changed = readDump(candidate);
      const excused =
        sameDump(captured.clean, changed) || changesLittle(captured, changed, "forced");
      expect(excused, `byte ${String(place)}`).toBe(true);
    }
    expect(seen).toBeGreaterThan(5);
    expect(seen + unseen).toBe(60);
  });

  test("without an end that says complete, they are refused", async () => {
    const whole = readFileSync(captured.path("candidate")).toString("latin1");
    for (const end of ['"complete": null', '"complete": 1   ', '"completed": true']) {
      const text = whole.replace(/"complete": true/, end.slice(0, 16));
      const candidate = files.file(Buffer.from(text, "latin1"));
      const result = await outcome({ ...captured.options("forced"), candidate });
      expect(["dump-incomplete", "dump-corrupt"]).toContain(result);
    }
  });

  test("with a tensor in chunks of which one is gone or there twice, they are refused", async () => {
    const { run, tensors } = captured.clean;
    const rows = tensors.flatMap((tensor): readonly TestRow[] => {
      const { name, kind, sample, step, dtype, shape, bytes } = tensor;
      const row = { name, kind, sample, step, dtype, shape };
      if (name !== "layers.1.mlp" || sample !== 0 || step !== 0) return [{ ...row, data: bytes }];
      const { rowBytes } = rowsOf(tensor);
      return [
        { ...row, start: 0, data: bytes.subarray(0, 4 * rowBytes) },
        { ...row, start: 4, data: bytes.subarray(4 * rowBytes) },
      ];
    });
    const metadata = { "npu_diff.version": "1", "npu_diff.run": JSON.stringify(run) };
    const judged = async (kept: readonly TestRow[]): Promise<ComparisonResult | string> =>
      outcome({
        ...captured.options("forced"),
        candidate: files.file(arrowFile([...kept, runEnd()], { metadata })),
      });
    expect(await judged(rows)).toMatchObject({ verdict: "pass" });
    const parts = rows.filter(({ name, sample, step }, index) => {
      const [before, after] = [rows[index - 1], rows[index + 1]];
      const isPart = (one: TestRow | undefined): boolean =>
        one !== undefined && one.name === name && one.sample === sample && one.step === step;
      return isPart(before) || isPart(after);
    });
    expect(parts).toHaveLength(2);
    for (const part of parts) {
      expect(await judged(rows.filter((row) => row !== part))).toBe("dump-corrupt");
      expect(await judged([...rows, part])).toBe("duplicate-rows");
    }
  });
});
