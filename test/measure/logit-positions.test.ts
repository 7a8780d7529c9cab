/** The positions at which the next token differs most: probabilities that are known come back. */

import { describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { ResultDetails } from "../../src/core/details.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const EVEN = [1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 8];
const FIRST = [1 / 2, 1 / 4, 1 / 16, 1 / 16, 1 / 32, 1 / 32, 1 / 32, 1 / 32];
const SECOND = [1 / 4, 1 / 2, 1 / 16, 1 / 16, 1 / 32, 1 / 32, 1 / 32, 1 / 32];

/** A dump of one prompt whose logits are the logarithms of `rows`, each row shifted by another constant. */
function write(id: string, rows: readonly (readonly number[])[]): string {
  const path = files.path();
  const writer = createDumpWriter(path, { tool: "toy", id, dtype: "F64" });
  const at = { sample: 0, step: 0 };
  const length = rows.length;
  const ids = BigInt64Array.from({ length }, (_, i) => BigInt(i % 8));
  const texts = new TextEncoder().encode(JSON.stringify(rows.map((_, i) => ` t${i % 8}`)));
  const logits = Float64Array.from(
    rows.flatMap((row, shift) => row.map((probability) => Math.log(probability) + shift)),
  );
  const bytes = (of: ArrayBufferView): Uint8Array =>
    new Uint8Array(of.buffer as ArrayBuffer, of.byteOffset, of.byteLength);
  writer.write({
    ...at,
    name: "input_ids",
    kind: "tokens",
    dtype: "I64",
    shape: [length],
    bytes: bytes(ids),
  });
  writer.write({
    ...at,
    name: "token_text",
    kind: "text",
    dtype: "U8",
    shape: [texts.length],
    bytes: texts,
  });
  writer.write({
    ...at,
    name: "logits",
    kind: "logits",
    dtype: "F64",
    shape: [length, 8],
    bytes: bytes(logits),
  });
  writer.close();
  return path;
}

async function compared(
  reference: readonly (readonly number[])[],
  candidate: readonly (readonly number[])[],
): Promise<ResultDetails> {
  const { details } = await compareDumps({
    reference: write("reference", reference),
    candidate: write("candidate", candidate),
    details: true,
  });
  if (details === null) throw new Error("no details were measured");
  return details;
}

test("a flip has the five best of both sides, and what stands before it", async () => {
  const rows = Array.from({ length: 10 }, () => EVEN);
  const { positions } = await compared(rows.with(9, FIRST), rows.with(9, SECOND));
  expect(positions).toHaveLength(1);
  const [flip] = positions;
  expect(flip).toMatchObject({ sample: 0, step: 0, token: 9, agrees: false });
  expect(flip?.context).toEqual([2, 3, 4, 5, 6, 7, 0, 1].map((i) => ` t${i}`));
  // Σ p ln(p/q) = ½ ln 2 + ¼ ln ½, and the margin is ln ½ − ln ¼.
  expect(flip?.kl).toBeCloseTo(Math.LN2 / 4, 12);
  expect(flip?.margin).toBeCloseTo(Math.LN2, 12);
  expect(flip?.reference.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4]);
  expect(flip?.candidate.map(({ id, text }) => [id, text]).slice(0, 2)).toEqual([
    [1, " t1"],
    [0, " t0"],
  ]);
  for (const side of [flip?.reference, flip?.candidate]) {
    [1 / 2, 1 / 4, 1 / 16, 1 / 16, 1 / 32].forEach((probability, i) => {
      expect(side?.[i]?.probability).toBeCloseTo(probability, 14);
    });
  }
});

describe("of many positions", () => {
  const rows = Array.from({ length: 40 }, () => FIRST);

  test("at most twelve are shown, the largest KL first", async () => {
    const candidate = rows.map((row, i) =>
      i % 2 === 0 ? row : row.map((p, j) => p * 2 ** (j === 7 ? i / 10 : 0)),
    );
    const { positions } = await compared(rows, candidate);
    expect(positions.map(({ token }) => token)).toEqual([
      39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17,
    ]);
    expect(positions.every(({ agrees }) => agrees)).toBe(true);
  });

  test("a flip is among them, however small its KL", async () => {
    const tie = [0.2501, 0.25, 0.1, 0.1, 0.1, 0.1, 0.05, 0.0499];
    const tied = [0.25, 0.2501, ...tie.slice(2)];
    const moved = rows.map((row, i) => row.map((p, j) => p * 2 ** (j === 7 ? 1 + i / 100 : 0)));
    const { positions } = await compared(rows.with(3, tie), moved.with(3, tied));
    expect(positions).toHaveLength(12);
    expect(
      positions.filter(({ agrees }) => !agrees).map(({ token, nearTie }) => [token, nearTie]),
    ).toEqual([[3, true]]);
    expect(positions.at(-1)?.token).toBe(3);
  });
});

test("equal logits have no position to show", async () => {
  const rows = [FIRST, SECOND];
  expect((await compared(rows, rows)).positions).toEqual([]);
});

test("the logits and the worst tensors come in depth", async () => {
  const { tensors } = await compared([FIRST, FIRST], [FIRST, SECOND]);
  expect(tensors.map(({ tensor }) => tensor)).toEqual(["logits"]);
  expect(tensors[0]?.elements.map(({ index }) => index)).toEqual([
    [1, 0],
    [1, 1],
  ]);
});
