/** How close the decision was at which two continuations part, by textbook formulas. */

import { describe, expect, test } from "vitest";
import { comparer, first, generation, INPUT } from "../support/compare-spoken.ts";
import { scratch } from "../support/scratch.ts";
import { type Spoken, writeSpoken } from "../support/spoken-run.ts";

const folder = scratch();
const compare = comparer(folder);

/** Lists of the likeliest tokens by a softmax over `logits`, the best first. */
function listOf(
  logits: readonly number[],
  k = logits.length,
): readonly (readonly [number, number])[] {
  const lse = Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
  return logits
    .map((value, id) => [id, value - lse] as const)
    .sort(([i, a], [j, b]) => b - a || i - j)
    .slice(0, k);
}

/** Sample standard deviation, divisor n − 1. */
function deviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(
    values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1),
  );
}

/** Root mean square about the mean, divisor n. */
function rms(values: readonly number[]): number {
  return deviation(values) * Math.sqrt((values.length - 1) / values.length);
}

describe("the margin", () => {
  // Eight tokens; the reference takes 0, the candidate 1.
  const x = [3, 2.9, 1, 0.5, 0.2, -0.1, -1, -2];
  const y = [2.94, 2.97, 1.04, 0.46, 0.23, -0.14, -0.98, -2.05];
  const far = y.map((value, id) => (id === 1 ? value + 4 : value));
  const say = (ids: readonly number[], more: Partial<Spoken>): Spoken => ({
    input: INPUT,
    ids,
    ...more,
  });

  test.each([
    ["near", y],
    ["far", far],
  ])("by the likeliest tokens: %s", async (_name, candidate) => {
    const result = await compare(
      [say([0, 4], { top: [listOf(x), listOf(x)] })],
      [say([1, 4], { top: [listOf(candidate), listOf(x)] })],
    );
    const margin = first(result).divergence?.margin;
    const errors = [2, 3, 4, 5, 6, 7].map((id) => (candidate[id] ?? 0) - (x[id] ?? 0));
    expect(margin?.reference?.nats).toBeCloseTo(0.1, 12);
    expect(margin?.candidate?.nats).toBeCloseTo((candidate[1] ?? 0) - (candidate[0] ?? 0), 12);
    expect(margin?.z).toBeCloseTo(0.1 / (Math.SQRT2 * deviation(errors)), 9);
    expect(margin).toMatchObject({ sigmaFrom: "lists", nearTie: true, reason: null });
  });

  test("a choice that the reference finds unlikely is no near tie", async () => {
    const z = y.map((value, id) => (id === 3 ? value + 3 : value));
    const result = await compare(
      [say([0], { top: [listOf(x)] })],
      [say([3], { top: [listOf(z)] })],
    );
    const margin = first(result).divergence?.margin;
    const errors = [1, 2, 4, 5, 6, 7].map((id) => (z[id] ?? 0) - (x[id] ?? 0));
    expect(margin?.reference?.nats).toBeCloseTo(2.5, 12);
    expect(margin?.z).toBeCloseTo(2.5 / (Math.SQRT2 * deviation(errors)), 9);
    expect(margin?.nearTie).toBe(false);
    expect(generation(result).divergences).toEqual({ nearTies: 0, real: 1, unknown: 0 });
  });

  test("by whole logits of the prompt's last row, σ over the vocabulary", async () => {
    const rows = (last: readonly number[]) => [x, x, last];
    const result = await compare(
      [say([0], { logits: rows(x), top: [listOf(x, 2)] })],
      [say([1], { logits: rows(y), top: [listOf(y, 2)] })],
    );
    const margin = first(result).divergence?.margin;
    expect(margin?.sigmaFrom).toBe("candidate");
    expect(margin?.z).toBeCloseTo(0.1 / (Math.SQRT2 * rms(y.map((v, i) => v - (x[i] ?? 0)))), 9);
  });

  test("by whole logits of the decode step that was fed with the same tokens", async () => {
    const run = (ids: readonly number[], step: readonly number[], fed = 5): Spoken =>
      say(ids, { logits: [x, x, x], steps: [{ fed, logits: step }] });
    const margin = first(await compare([run([5, 0], x)], [run([5, 1], y)])).divergence?.margin;
    expect(margin?.sigmaFrom).toBe("candidate");
    expect(margin?.reference?.nats).toBeCloseTo(0.1, 12);
    // Fed with another token, the step says nothing of this place.
    const other = await compare([run([5, 0], x, 6)], [run([5, 1], y, 6)]);
    expect(first(other).divergence?.margin).toMatchObject({
      nearTie: null,
      reason: "no-step-logits",
    });
  });

  test("the floor's error counts before the candidate's own", async () => {
    const floorLogits = x.map((value, id) => value + (id % 2 === 0 ? 0.005 : -0.005));
    const floor = writeSpoken(folder.path(), "c", [{ input: INPUT, logits: [x, x, floorLogits] }]);
    const result = await compare(
      [say([0], { logits: [x, x, x] })],
      [say([1], { logits: [x, x, y] })],
      {},
      { floors: [floor] },
    );
    const margin = first(result).divergence?.margin;
    expect(margin?.sigmaFrom).toBe("floor");
    expect(margin?.z).toBeCloseTo(0.1 / (Math.SQRT2 * 0.005), 6);
    expect(margin?.nearTie).toBe(false);
  });

  test("a side that tells the prompt's likeliest tokens alone tells the first token's", async () => {
    const rows = (last: readonly number[]) => [listOf(x), listOf(x), listOf(last)];
    const result = await compare(
      [say([0], { reduced: rows(x) })],
      [say([1], { reduced: rows(y) })],
    );
    const margin = first(result).divergence?.margin;
    expect(margin?.reference?.nats).toBeCloseTo(0.1, 12);
    expect(margin?.sigmaFrom).toBe("lists");
  });

  test("a choice that the list is too short for gives a bound", async () => {
    const result = await compare(
      [say([0], { top: [listOf(x, 6)] })],
      [say([7], { top: [listOf([...y.slice(0, 7), 9], 6)] })],
    );
    const margin = first(result).divergence?.margin;
    expect(margin?.reference?.nats).toBeCloseTo(3 - -0.1, 12);
    expect(margin?.reference?.atLeast).toBe(true);
    expect(margin?.nearTie).toBe(false);
  });

  test("an own choice beyond the list, and beyond any vocabulary, is not known", async () => {
    const result = await compare(
      [say([99], { top: [listOf(x)], logits: [x, x, x] })],
      [say([1], { top: [listOf(y)], logits: [x, x, y] })],
    );
    const margin = first(result).divergence?.margin;
    expect(margin).toMatchObject({ reference: null, z: null, nearTie: null, reason: "not-listed" });
    expect(first(result).reference?.firstToken?.id).toBe(99);
  });

  test("lists that share too few tokens tell the margins, and no near tie", async () => {
    const result = await compare(
      [say([0], { top: [listOf(x, 4)] })],
      [say([1], { top: [listOf(y, 4)] })],
    );
    expect(first(result).divergence?.margin).toMatchObject({
      z: null,
      nearTie: null,
      reason: "short-lists",
    });
  });

  test("equal logits are a tie whatever the error is", async () => {
    const tied = [2, 2, 1];
    const result = await compare(
      [say([0], { top: [listOf(tied)] })],
      [say([1], { top: [listOf(tied)] })],
    );
    expect(first(result).divergence?.margin).toMatchObject({
      z: null,
      nearTie: true,
      reason: null,
    });
  });

  test("one side's lists tell that side's margin alone", async () => {
    const result = await compare([say([0], { top: [listOf(x)] })], [say([1], {})]);
    const margin = first(result).divergence?.margin;
    expect(margin?.reference?.nats).toBeCloseTo(0.1, 12);
    expect(margin).toMatchObject({ candidate: null, nearTie: null, reason: "no-step-logits" });
  });

  test.each([
    ["of another length", [listOf(x), listOf(x)]],
    ["that rise", [listOf(x).toReversed()]],
    ["that name a token twice", [listOf(x).map(([, logprob]) => [1, logprob] as const)]],
    ["that are no probabilities", [listOf(x).map(([id]) => [id, 0.5] as const)]],
  ])("lists %s are refused", async (_name, top) => {
    await expect(
      compare([say([0], { top })], [say([1], { top: [listOf(y)] })]),
    ).rejects.toMatchObject({ code: "dump-corrupt" });
  });
});
