/**
 * What one row of logits says: of the reference x and of each other side y, the
 * log-sum-exp and KL(P_x ‖ P_y) = Σ p_x·((x − y) − (lse_x − lse_y)), in nats; of
 * the reference and the first other side also their largest logits.
 *
 * A row comes in pieces, a piece is gone through in blocks that stay in the
 * nearest cache: widened, their maxima taken, then summed. Sums are rescaled when
 * a larger maximum turns up.
 */

import { exponential } from "./exponential";

/** Elements of a block; each side's are 4 KiB as float64. */
const BLOCK: i32 = 512;

/** Best tokens that are kept of a side. */
const TOP: i32 = 10;

/** Elements whose maximum is compared with the least of the best together. */
export const GROUP: i32 = 64;

/** More sides than a comparison of a candidate with its floors ever has. */
export const MOST_SIDES: i32 = 16;

const WIDENED: usize = memory.data(MOST_SIDES * BLOCK * 8, 16);
const GROUPS: usize = memory.data(MOST_SIDES * (BLOCK / GROUP) * 8, 16);
const PROBABILITIES: usize = memory.data(BLOCK * 8, 16);

// Of each side: largest logit so far, Σ exp(logit − largest), Σ p_x·(x − y), and the
// largest logit of the reference where the side has −∞.
const SIDE_BYTES: usize = 32;
const SIDES: usize = memory.data(MOST_SIDES * 32, 16);
const LARGEST: usize = 0;
const SUM: usize = 8;
const WEIGHTED: usize = 16;
const LOST: usize = 24;

// Of the reference and the candidate: the best logits, the largest first, their
// columns, and what the other side has where the largest is.
const TOP_BYTES: usize = 176;
const TOPS: usize = memory.data(2 * 176, 16);
const INDICES: usize = 80;
const COUNT: usize = 160;
const OTHER: usize = 168;

/** Where a row's sums of each side are: largest logit, Σ exp, Σ p·(x − y), and the largest logit of the reference where the side has −∞; as float64. */
export function softmaxSides(): usize {
  return SIDES;
}

/** Where the best of the reference and the candidate are: ten logits, ten columns, how many, and the other side's logit at the first; as float64. */
export function softmaxTops(): usize {
  return TOPS;
}

/** Begins a row. */
export function startRow(sides: i32): void {
  for (let side = 0; side < sides; side++) {
    const at = SIDES + <usize>side * SIDE_BYTES;
    store<f64>(at, -Infinity, LARGEST);
    store<f64>(at, 0, SUM);
    store<f64>(at, 0, WEIGHTED);
    store<f64>(at, -Infinity, LOST);
  }
  for (let side = 0; side < 2; side++) {
    const top = TOPS + <usize>side * TOP_BYTES;
    for (let i = 0; i < TOP; i++) {
      store<f64>(top + <usize>i * 8, -Infinity);
      store<f64>(top + <usize>i * 8, -1, INDICES);
    }
    store<f64>(top, 0, COUNT);
    store<f64>(top, NaN, OTHER);
  }
}

/** Where side `side` of a block is to be put as float64. */
export function widenedAt(side: i32): usize {
  return WIDENED + <usize>side * (BLOCK * 8);
}

/** Where the largest of each group of a block is to be put. */
export function groupsAt(side: i32): usize {
  return GROUPS + (<usize>side) * ((BLOCK / GROUP) * 8);
}

export function blockSize(): i32 {
  return BLOCK;
}

/**
 * Adds a block of `n` columns from `column` on, which lie at {@link widenedAt}, the
 * largest of each {@link GROUP} of them at {@link groupsAt}.
 *
 * @param masked whether some logits are −∞: tokens of probability 0. They are left
 *   out of Σ p·(x − y); what a side lacks that the reference has is noted.
 */
export function addBlock(n: i32, column: f64, sides: i32, masked: bool): void {
  // What lies behind the last element takes part in nothing.
  if ((n & 1) == 1) {
    for (let side = 0; side < sides; side++) {
      store<f64>(widenedAt(side) + <usize>n * 8, -Infinity);
    }
    masked = true;
  }
  for (let side = 0; side < sides; side++) {
    if (side < 2) pick(side, n, column);
    raise(side, largestOf(side, n), sides);
  }
  if (masked) addSums<Masked>(n, sides);
  else addSums<Whole>(n, sides);
}

/** Brings the sums of a side to a new largest logit. */
function raise(side: i32, largest: f64, sides: i32): void {
  const at = SIDES + <usize>side * SIDE_BYTES;
  const before = load<f64>(at, LARGEST);
  if (!(largest > before)) return;
  store<f64>(at, largest, LARGEST);
  if (before == -Infinity) return;
  const shrink = f64x2.extract_lane(exponential(f64x2.splat(before - largest)), 0);
  store<f64>(at, load<f64>(at, SUM) * shrink, SUM);
  if (side > 0) return;
  for (let other = 1; other < sides; other++) {
    const weighted = SIDES + <usize>other * SIDE_BYTES;
    store<f64>(weighted, load<f64>(weighted, WEIGHTED) * shrink, WEIGHTED);
  }
}

/** The largest of a block, a NaN passed over: it will be in the sums. */
function largestOf(side: i32, n: i32): f64 {
  let largest: f64 = -Infinity;
  for (let group = 0; group < n; group += GROUP) largest = max(largest, groupLargest(side, group));
  return largest;
}

function groupLargest(side: i32, start: i32): f64 {
  return load<f64>(groupsAt(side) + (<usize>(start / GROUP)) * 8);
}

/** Looks at the groups of a block of the reference (0) or the candidate (1) that hold one of the best. */
function pick(side: i32, n: i32, column: f64): void {
  const top = TOPS + (<usize>side) * TOP_BYTES;
  for (let start = 0; start < n; start += GROUP) {
    const least = load<f64>(top + (TOP - 1) * 8);
    if (groupLargest(side, start) > least || load<f64>(top, COUNT) < <f64>TOP) {
      keep(side, start, min(GROUP, n - start), column, top);
    }
  }
}

/** Puts those of a group that belong there among the best; of equal ones the first stays first. */
function keep(side: i32, start: i32, size: i32, column: f64, top: usize): void {
  for (let i = start; i < start + size; i++) {
    const value = load<f64>(widenedAt(side) + <usize>i * 8);
    let count = <i32>load<f64>(top, COUNT);
    if (count == TOP && !(value > load<f64>(top + (TOP - 1) * 8))) continue;
    let at = min(count, TOP - 1);
    while (at > 0 && value > load<f64>(top + <usize>(at - 1) * 8)) {
      store<f64>(top + <usize>at * 8, load<f64>(top + <usize>(at - 1) * 8));
      store<f64>(top + <usize>at * 8, load<f64>(top + <usize>(at - 1) * 8, INDICES), INDICES);
      at--;
    }
    store<f64>(top + <usize>at * 8, value);
    store<f64>(top + <usize>at * 8, column + <f64>i, INDICES);
    if (at == 0) store<f64>(top, load<f64>(widenedAt(1 - side) + <usize>i * 8), OTHER);
    if (count < TOP) store<f64>(top, <f64>(count + 1), COUNT);
  }
}

// Whether some logits of a block are −∞.
class Masked {}
class Whole {}

function addSums<M>(n: i32, sides: i32): void {
  const x = widenedAt(0);
  const shift = f64x2.splat(shiftOf(0));
  let sum = f64x2.splat(0);
  for (let at: usize = 0; at < <usize>n * 8; at += 16) {
    const p = exponential(f64x2.sub(v128.load(x + at), shift));
    v128.store(PROBABILITIES + at, p);
    sum = f64x2.add(sum, p);
  }
  add(SIDES + SUM, sum);
  for (let side = 1; side < sides; side++) {
    const y = widenedAt(side);
    const shiftY = f64x2.splat(shiftOf(side));
    let sumY = f64x2.splat(0);
    let weighted = f64x2.splat(0);
    let lost = f64x2.splat(-Infinity);
    for (let at: usize = 0; at < <usize>n * 8; at += 16) {
      const a = v128.load(x + at);
      const b = v128.load(y + at);
      sumY = f64x2.add(sumY, exponential(f64x2.sub(b, shiftY)));
      let term = f64x2.mul(v128.load(PROBABILITIES + at), f64x2.sub(a, b));
      if (idof<M>() == idof<Masked>()) {
        const none = f64x2.splat(-Infinity);
        // A NaN in y is no −∞: it stays, and its row is looked at again.
        const gone = f64x2.eq(b, none);
        lost = f64x2.pmax(lost, v128.bitselect(a, none, gone));
        term = v128.and(term, v128.andnot(f64x2.gt(a, none), gone));
      }
      weighted = f64x2.add(weighted, term);
    }
    const state = SIDES + <usize>side * SIDE_BYTES;
    add(state + SUM, sumY);
    add(state + WEIGHTED, weighted);
    if (idof<M>() == idof<Masked>()) {
      const most = max<f64>(f64x2.extract_lane(lost, 0), f64x2.extract_lane(lost, 1));
      store<f64>(state, max<f64>(load<f64>(state, LOST), most), LOST);
    }
  }
}

/** Nothing but −∞ so far: any shift will do, and ∞ − ∞ must not be one. */
function shiftOf(side: i32): f64 {
  const largest = load<f64>(SIDES + <usize>side * SIDE_BYTES, LARGEST);
  return largest == -Infinity ? 0 : largest;
}

function add(at: usize, terms: v128): void {
  store<f64>(at, load<f64>(at) + f64x2.extract_lane(terms, 0) + f64x2.extract_lane(terms, 1));
}
