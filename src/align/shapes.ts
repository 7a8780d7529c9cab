/** Shapes as the comparison sees them. */

/** Rows (axis 0) and the elements of each; a scalar is one row of one. */
export interface Extent {
  readonly rows: number;
  readonly width: number;
}

/** `shape` without its axes of length 1, axis 0 excepted: what two sides must agree in. */
export function effectiveShape(shape: readonly number[]): readonly number[] {
  return shape.filter((length, axis) => axis === 0 || length !== 1);
}

/** Rows and width of `shape`. */
export function extentOf(shape: readonly number[]): Extent {
  const rows = shape[0] ?? 1;
  const width = shape.slice(1).reduce((product, length) => product * length, 1);
  return { rows, width };
}

/** Whether two shapes hold the same elements in the same places; nothing is broadcast. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  const [left, right] = [effectiveShape(a), effectiveShape(b)];
  if (a.length === 0 || b.length === 0) return a.length === b.length;
  return left.length === right.length && left.every((length, axis) => length === right[axis]);
}

/**
 * `shape` without the axis of a batch of one, where that makes it `other`: `[1, T, …]` beside `[T, …]`. Itself in
 * all other cases.
 */
export function withoutBatch(
  shape: readonly number[],
  other: readonly number[],
): readonly number[] {
  const [batch, ...rest] = shape;
  const isOne = batch === 1 && rest.length >= 2 && !sameShape(shape, other);
  return isOne && sameShape(rest, other) ? rest : shape;
}

/** The index of element `flat` (C order) inside `shape`. */
export function unravel(flat: number, shape: readonly number[]): readonly number[] {
  const index: number[] = [];
  let rest = flat;
  for (const length of shape.toReversed()) {
    index.unshift(rest % length);
    rest = Math.floor(rest / length);
  }
  return index;
}
