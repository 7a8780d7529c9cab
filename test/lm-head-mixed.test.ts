/** Logits through a head beside a side that stores its own in another form: some rows, few bits, or the best tokens. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import { DTYPES } from "../src/core/dtype.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { openDump } from "../src/dump/open-dump.ts";
import { createDumpWriter } from "../src/dump/write-dump.ts";
import {
  dense,
  idsOf,
  logitsOf,
  type ReducedTensor,
  reduced,
  VOCABULARY,
  writeReduced,
} from "./support/reduced-run.ts";
import { f32, safetensors } from "./support/safetensors.ts";
import { scratch } from "./support/scratch.ts";

const LLAMA = fileURLToPath(new URL("../fixtures/foreign/llama/", import.meta.url));
const files = scratch();

/** A dump whose `norm` is the logits of another. */
function logitsAsNorm(path: string): string {
  const dump = openDump(path);
  const norm = files.path();
  const writer = createDumpWriter(norm, { ...dump.run, id: "norm" });
  for (const entry of dump.tensors) {
    const bytes = new Uint8Array(entry.elements * DTYPES[entry.dtype].bytes);
    dump.read(entry, 0, bytes);
    writer.write({ ...entry, name: entry.name === "logits" ? "norm" : entry.name, bytes });
  }
  writer.close({});
  dump.close();
  return norm;
}

/** A head that makes of `norm` what it is. */
function identity(width: number): string {
  const ones = Array.from({ length: width ** 2 }, (_, i) => (i % (width + 1) === 0 ? 1 : 0));
  return files.file(safetensors({ "lm_head.weight": f32([width, width], ones) }), ".safetensors");
}

test.each(["reference", "candidate"] as const)(
  "a base file as the %s is compared with what the head makes of the other side's norm",
  async (side) => {
    const base = `${LLAMA}base.kld`;
    const other = side === "reference" ? "candidate" : "reference";
    const stored = { [side]: base, [other]: `${LLAMA}full.npz` };
    const wanted = await compareDumps(stored as { reference: string; candidate: string });
    const norm = logitsAsNorm(`${LLAMA}full.npz`);
    const lmHead = identity(readFileSync(base).readInt32LE(12));
    const pair = { [side]: base, [other]: norm } as { reference: string; candidate: string };
    const result = await compareDumps({ ...pair, lmHead });
    expect(result.verdict).toBe(wanted.verdict);
    expect(result.quality.perplexity?.candidate).toBeCloseTo(
      wanted.quality.perplexity?.candidate ?? Number.NaN,
      6,
    );
    expect(result.quality.kl?.mean).toBeCloseTo(wanted.quality.kl?.mean ?? Number.NaN, 8);
    expect(result.quality.kl?.positions).toBe(wanted.quality.kl?.positions);
    expect(result.findings.map(({ rule }) => rule)).toContain("input/lm-head-side");
  },
);

test.each([
  [63, 0],
  [32, null],
])("an engine's %d columns beside a head of 64", async (columns, relL2) => {
  const rows = [0, 1, 2, 3];
  const row = (t: number): readonly number[] =>
    Array.from({ length: 64 }, (_, i) => ((i * 7 + t * 13) % 64) - 32);
  const ids = { dtype: "I64", shape: [4], data: BigInt64Array.of(1n, 2n, 3n, 4n) } as const;
  const norm = f32([4, 64], rows.flatMap(row));
  const logits = f32(
    [4, columns],
    rows.flatMap((t) => row(t).slice(0, columns)),
  );
  const result = await compareDumps({
    reference: files.file(safetensors({ input_ids: ids, norm, logits }), ".safetensors"),
    candidate: files.file(safetensors({ input_ids: ids, norm }), ".safetensors"),
    lmHead: identity(64),
  });
  expect(result.tensors.map(({ name, relL2 }) => [name, relL2])).toEqual([
    ["norm", 0],
    ["logits", relL2],
  ]);
});

describe("beside the best tokens of a side", () => {
  const norm = dense(logitsOf()).map((tensor) => ({ ...tensor, name: "norm" }));
  const written = (id: string, tensors: readonly ReducedTensor[]): string => {
    const path = files.path();
    writeReduced(path, id, tensors);
    return path;
  };

  test("they are compared with computed logits as with stored ones", async () => {
    const candidate = written("b", reduced(logitsOf(0.5), 10));
    const stored = written("a", dense(logitsOf()));
    const wanted = await compareDumps({ reference: stored, candidate });
    const lmHead = identity(VOCABULARY);
    const result = await compareDumps({ reference: written("a", norm), candidate, lmHead });
    expect(result.quality.topKOverlap).toEqual(wanted.quality.topKOverlap);
    expect(result.quality.top1Agreement).toEqual(wanted.quality.top1Agreement);
    const { perplexity } = result.quality;
    expect(perplexity?.candidate).toBe(wanted.quality.perplexity?.candidate);
    expect(perplexity?.reference).toBeCloseTo(wanted.quality.perplexity?.reference ?? 0, 6);
  });

  test("a head that answers otherwise fails, though its norm is right", async () => {
    // A model that knows its text: only then does the loss show that the head is wrong.
    const knowing = logitsOf().map((rows, sample) =>
      rows.map((row, t) => row.map((value, id) => value + (id === idsOf(sample)[t + 1] ? 9 : 0))),
    );
    const negated = knowing.map((rows) => rows.map((row) => row.map((value) => -value)));
    const states = dense(knowing).map((tensor) => ({ ...tensor, name: "norm" }));
    const pair = async (answers: typeof knowing): Promise<ComparisonResult> =>
      await compareDumps({
        reference: written("a", states),
        candidate: written("b", [...states, ...reduced(answers, 10)]),
        lmHead: identity(VOCABULARY),
      });
    expect(await pair(knowing)).toMatchObject({ verdict: "pass" });
    const result = await pair(negated);
    expect(result.verdict).toBe("fail");
    expect(result.tensors.map(({ name, verdict }) => [name, verdict])).toEqual([["norm", "pass"]]);
  });
});
