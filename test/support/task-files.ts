/** Task results made to counts, as plain JSON lines. */

import { random, type Scratch } from "./scratch.ts";

/** One line a value, as it is given; ids from 0 on unless the value has its own. */
export function jsonLines(values: readonly object[]): string {
  return values.map((value, id) => `${JSON.stringify({ id, ...value })}\n`).join("");
}

/** A file of items that are right or wrong. */
export function rightOrWrong(files: Scratch, items: readonly boolean[]): string {
  return files.file(jsonLines(items.map((correct) => ({ correct }))), ".jsonl");
}

/**
 * Two runs of `items` items, right in so many of them, and in so many together
 * in one or the other, at places that a seed chooses.
 */
export function twoRuns(
  items: number,
  {
    first,
    second,
    either,
  }: { readonly first: number; readonly second: number; readonly either: number },
): readonly [readonly boolean[], readonly boolean[]] {
  const order = shuffled(items);
  const place = new Map(order.map((item, at) => [item, at]));
  const run = (from: number, to: number): readonly boolean[] =>
    Array.from({ length: items }, (_, item) => {
      const at = place.get(item) ?? 0;
      return at >= from && at < to;
    });
  return [run(0, first), run(either - second, either)];
}

/** A reference and a candidate of `items` items with so many right on both, lost and gained. */
export function pairOf(
  items: number,
  { both, lost, gained }: { readonly both: number; readonly lost: number; readonly gained: number },
): readonly [reference: readonly boolean[], candidate: readonly boolean[]] {
  const order = shuffled(items);
  const at = (item: number): number => order[item] ?? 0;
  return [
    order.map((_, item) => at(item) < both + lost),
    order.map(
      (_, item) => at(item) < both || (at(item) >= both + lost && at(item) < both + lost + gained),
    ),
  ];
}

function shuffled(items: number): readonly number[] {
  const next = random(items);
  return Array.from({ length: items }, (_, item) => ({ item, key: next() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
