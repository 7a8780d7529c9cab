/**
 * A tensor of torch is a view of a storage: where in it, which lengths, which
 * strides. What lies in C order is read where it is; every other view is
 * written out once, in C order, into a temporary file.
 */

import type { Piece } from "../foreign/foreign-tensor.ts";
import { transposed } from "../npy/rewrite.ts";
import type { Spool } from "../spool.ts";

/** Lengths and strides in elements, and the first element. */
export interface View {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Bytes of a storage that are in memory at a time, and of what is written out of them. */
const SPAN_BYTES = 2 ** 28;
const BLOCK_BYTES = 2 ** 22;

/** What a read costs at least, in bytes that could be read in its time. */
const READ_BYTES = 4096;

/** Runs that are long and few are read where they lie. */
const LONG_RUN = 2 ** 16;
const FEW_RUNS = 1024;

/** Elements of the view; what overlaps counts each time. */
export function elementsOf({ shape }: View): number {
  return productOf(shape);
}

/** The element behind the last one that the view reaches. */
export function endOf({ offset, shape, strides }: View): number {
  return shape.includes(0) ? offset : offset + reachOf(shape, strides, 0) + 1;
}

function productOf(lengths: readonly number[]): number {
  return lengths.reduce((product, length) => product * length, 1);
}

/** How far the last index of the axes from `axis` on lies behind the first. */
function reachOf(shape: readonly number[], strides: readonly number[], axis: number): number {
  let last = 0;
  for (let i = axis; i < shape.length; i++) {
    last += ((shape[i] as number) - 1) * (strides[i] as number);
  }
  return last;
}

/** How many of the last axes lie one in another without gaps. Axes of length 1 are in no order. */
function denseAxes(shape: readonly number[], strides: readonly number[]): number {
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 1) continue;
    if (strides[i] !== stride) return shape.length - 1 - i;
    stride *= shape[i] as number;
  }
  return shape.length;
}

/**
 * The data of a view that lies within `storage` and is not empty.
 *
 * @param size bytes of an element
 * @returns null where it is so scattered over so much that writing it out would take far more than reading all of it.
 */
export function piecesOfView(
  storage: Piece,
  view: View,
  size: number,
  spool: () => Spool,
): readonly Piece[] | null {
  const { shape, strides, offset } = view;
  const position = storage.position + offset * size;
  const all = { source: storage.source, position, bytes: elementsOf(view) * size };
  const dense = denseAxes(shape, strides);
  if (dense === shape.length) return [all];
  if (denseAxes(shape.toReversed(), strides.toReversed()) === shape.length) {
    return [transposed(all, shape, size, spool())];
  }
  const outer = shape.length - dense;
  const runs: Runs = {
    source: storage.source,
    run: productOf(shape.slice(outer)) * size,
    shape: shape.slice(0, outer),
    strides: strides.slice(0, outer).map((stride) => stride * size),
  };
  const count = productOf(runs.shape);
  if (runs.run >= LONG_RUN && count <= FEW_RUNS) {
    return Array.from(positions(runs, position), (at) => ({
      source: storage.source,
      position: at,
      bytes: runs.run,
    }));
  }
  if (costOf(runs, 0) > 2 * storage.bytes + SPAN_BYTES) return null;
  const target = spool();
  const written = { source: target, position: target.size, bytes: all.bytes };
  gather(runs, target, 0, position);
  return [written];
}

/** Runs of consecutive bytes, and how they follow each other: strides in bytes. */
interface Runs {
  readonly source: Piece["source"];
  /** Bytes of each. */
  readonly run: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Bytes from the first to the last of what the axes from `axis` on reach. */
function spanOf({ shape, strides, run }: Runs, axis: number): number {
  return reachOf(shape, strides, axis) + run;
}

/** How many indices of `axis` fit into memory together; 0 where not even one does. */
function atOnce(runs: Runs, axis: number): number {
  const inner = spanOf(runs, axis + 1);
  if (inner > SPAN_BYTES) return 0;
  const [length, stride] = [runs.shape[axis] as number, runs.strides[axis] as number];
  return stride === 0 ? length : Math.min(length, Math.floor((SPAN_BYTES - inner) / stride) + 1);
}

/** Bytes that {@link gather} reads for the axes from `axis` on; infinite where it cannot. */
function costOf(runs: Runs, axis: number): number {
  const span = spanOf(runs, axis);
  if (span <= SPAN_BYTES) return span;
  if (axis === runs.shape.length) return Number.POSITIVE_INFINITY;
  const length = runs.shape[axis] as number;
  const count = atOnce(runs, axis);
  if (count === 0) return length * costOf(runs, axis + 1);
  const inner = (count - 1) * (runs.strides[axis] as number) + spanOf(runs, axis + 1);
  return Math.ceil(length / count) * Math.max(inner, READ_BYTES);
}

/** Writes out what the axes from `axis` on reach from byte `first` of the source. */
function gather(runs: Runs, target: Spool, axis: number, first: number): void {
  const count = axis === runs.shape.length ? 0 : atOnce(runs, axis);
  const [length = 1, stride = 0] = [runs.shape[axis], runs.strides[axis]];
  const [shape, strides] = [runs.shape.slice(axis + 1), runs.strides.slice(axis)];
  for (let i = 0; i < length; i += Math.max(count, 1)) {
    const at = first + i * stride;
    if (count === 0) gather(runs, target, axis + 1, at);
    else writeOut({ ...runs, shape: [Math.min(count, length - i), ...shape], strides }, target, at);
  }
}

/** Writes out runs that fit into memory, from where the first to where the last lies. */
function writeOut(runs: Runs, target: Spool, first: number): void {
  const { source, run } = runs;
  const bytes = new Uint8Array(spanOf(runs, 0));
  source.readInto(first, bytes);
  const out = new Uint8Array(Math.max(run, Math.floor(BLOCK_BYTES / run) * run));
  let filled = 0;
  for (const from of positions(runs, 0)) {
    if (run >= WORTH_A_CALL) out.set(bytes.subarray(from, from + run), filled);
    else for (let i = 0; i < run; i++) out[filled + i] = bytes[from + i] as number;
    filled += run;
    if (filled === out.length) {
      target.append(out);
      filled = 0;
    }
  }
  target.append(out.subarray(0, filled));
}

/** Bytes that are copied faster by a call than one by one. */
const WORTH_A_CALL = 64;

/** Where the runs begin, in C order. */
function* positions({ shape, strides }: Runs, first: number): Generator<number, void, undefined> {
  const index = shape.map(() => 0);
  let at = first;
  for (let left = productOf(shape); left > 0; left--) {
    yield at;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      at += stride;
      if (index[axis] !== shape[axis]) break;
      at -= stride * (shape[axis] as number);
      index[axis] = 0;
    }
  }
}
