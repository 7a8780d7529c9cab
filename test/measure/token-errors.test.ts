/** What a report draws of single tokens: known errors come back in the right place. */

import { expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const WIDTH = 4;

interface Run {
  readonly id: string;
  /** Tokens of each sample. */
  readonly tokens: readonly number[];
  /** The value of all elements of a row. */
  readonly value: (name: string, sample: number, token: number) => number;
  readonly texts?: string;
}

function write({ id, tokens, value, texts }: Run): string {
  const path = files.path();
  const writer = createDumpWriter(path, {
    tool: { name: "toy", version: "1" },
    id,
    dtype: "F32",
    model: { layers: 2 },
  });
  const bytesOf = (values: readonly number[]): Uint8Array =>
    new Uint8Array(Float32Array.from(values).buffer);
  tokens.forEach((count, sample) => {
    const at = { sample, step: 0 };
    const ids = new Uint8Array(BigInt64Array.from({ length: count }, (_, i) => BigInt(i)).buffer);
    writer.write({
      ...at,
      name: "input_ids",
      kind: "tokens",
      dtype: "I64",
      shape: [count],
      bytes: ids,
    });
    if (texts !== undefined) {
      const bytes = new TextEncoder().encode(texts);
      writer.write({
        ...at,
        name: "token_text",
        kind: "text",
        dtype: "U8",
        shape: [bytes.length],
        bytes,
      });
    }
    for (const name of ["layers.0", "layers.1"]) {
      const rows = Array.from({ length: count }, (_, token) => value(name, sample, token));
      const bytes = bytesOf(rows.flatMap((row) => Array<number>(WIDTH).fill(row)));
      writer.write({ ...at, name, kind: "hidden", dtype: "F32", shape: [count, WIDTH], bytes });
    }
  });
  writer.close();
  return path;
}

/** Errors that float32 and float64 hold exactly: ρ of a token is 2^−(token mod 7 + 3), in layer 1 twice that. */
const rho = (name: string, token: number): number =>
  2 ** -((token % 7) + 3) * (name === "layers.1" ? 2 : 1);

function pair(
  tokens: readonly number[],
  { texts, faulty = 0 }: { texts?: string; faulty?: number } = {},
) {
  const reference = write({
    id: "reference",
    tokens,
    value: () => 1,
    ...(texts === undefined ? {} : { texts }),
  });
  const value: Run["value"] = (name, sample, token) =>
    sample === faulty ? 1 + rho(name, token) : 1;
  return { reference, candidate: write({ id: "candidate", tokens, value }) };
}

test("nothing is read again unless it was asked for", async () => {
  expect((await compareDumps(pair([5]))).details).toBeNull();
});

test("every token of the worst sample, with its text", async () => {
  const texts = ["The", " capital", "\u001b[31m", "</script>", "。"];
  const files = pair([3, 5, 4], { texts: JSON.stringify(texts), faulty: 1 });
  const { details } = await compareDumps({ ...files, details: true });
  expect(details?.tokenErrors).toEqual({
    sample: 1,
    tokens: 5,
    bins: texts.map((text, from) => ({ from, to: from + 1, text })),
    rows: ["layers.0", "layers.1"].map((tensor) => ({
      tensor,
      relL2: texts.map((_, token) => rho(tensor, token)),
    })),
  });
});

test("a long sample comes in at most 128 bins, each the largest of its tokens", async () => {
  const { details } = await compareDumps({ ...pair([600]), details: true });
  const { tokens, bins, rows } = details?.tokenErrors ?? { tokens: 0, bins: [], rows: [] };
  expect(tokens).toBe(600);
  expect(bins).toHaveLength(120);
  expect(bins[0]).toEqual({ from: 0, to: 5, text: null });
  expect(bins.at(-1)).toEqual({ from: 595, to: 600, text: null });
  const expected = (name: string): readonly number[] =>
    bins.map(({ from }) => Math.max(...[0, 1, 2, 3, 4].map((i) => rho(name, from + i))));
  expect(rows.map(({ relL2 }) => relL2)).toEqual([expected("layers.0"), expected("layers.1")]);
});

test.each([
  ["no JSON", "[1"],
  ["no list of texts", '["a", 1, "b"]'],
])("texts that are %s are none", async (_name, texts) => {
  const { details } = await compareDumps({ ...pair([3], { texts }), details: true });
  expect(details?.tokenErrors?.bins.map(({ text }) => text)).toEqual([null, null, null]);
});

test("a candidate that is no number is infinitely far", async () => {
  const reference = write({ id: "reference", tokens: [3], value: () => 1 });
  const value: Run["value"] = (name, _sample, token) =>
    name === "layers.1" && token === 1 ? Number.NaN : 1;
  const candidate = write({ id: "candidate", tokens: [3], value });
  const { details } = await compareDumps({ reference, candidate, details: true });
  expect(details?.tokenErrors?.rows.map(({ relL2 }) => relL2)).toEqual([
    [0, 0, 0],
    [0, Number.POSITIVE_INFINITY, 0],
  ]);
});
