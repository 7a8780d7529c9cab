/**
 * The sums that every per-tensor figure is made of, in plain float64 TypeScript:
 * the kernel must agree with them, and what comes of its jobs is added up in them.
 */

import { ScaledSum } from "../core/scaled-sum.ts";

/** Counts of values that are no finite numbers on one side. */
export interface NonFiniteCount {
  nan: number;
  posInf: number;
  negInf: number;
}

/**
 * Sums over pairs (x, y) of a reference and a candidate value, d = y − x.
 *
 * Pairs of which either value is not finite are left out of the sums and
 * counted instead. Accumulation is float64, in blocks of
 * {@link BLOCK_ELEMENTS} joined by compensated summation; float64 tensors are
 * scaled by powers of two where a square would overflow or vanish.
 */
export class PairSums {
  readonly xx = new ScaledSum();
  readonly yy = new ScaledSum();
  readonly xy = new ScaledSum();
  readonly dd = new ScaledSum();
  readonly xd = new ScaledSum();
  readonly d = new ScaledSum();
  readonly absD = new ScaledSum();
  /** Pairs of which both values are finite. */
  count = 0;
  /** max |d| over those pairs, and where: an index counted by the caller. */
  maxAbs = -1;
  maxIndex = -1;
  maxReference = Number.NaN;
  maxCandidate = Number.NaN;
  readonly reference: NonFiniteCount = { nan: 0, posInf: 0, negInf: 0 };
  readonly candidate: NonFiniteCount = { nan: 0, posInf: 0, negInf: 0 };
  /** Positions that differ in kind: finite against NaN, +Inf against −Inf, … */
  mismatched = 0;
  mismatchIndex = -1;
  mismatchReference = Number.NaN;
  mismatchCandidate = Number.NaN;
  saturated = 0;

  reset(): void {
    for (const sum of [this.xx, this.yy, this.xy, this.dd, this.xd, this.d, this.absD]) sum.reset();
    this.count = 0;
    this.maxAbs = -1;
    this.maxIndex = -1;
    this.maxReference = Number.NaN;
    this.maxCandidate = Number.NaN;
    for (const side of [this.reference, this.candidate]) {
      side.nan = 0;
      side.posInf = 0;
      side.negInf = 0;
    }
    this.mismatched = 0;
    this.mismatchIndex = -1;
    this.mismatchReference = Number.NaN;
    this.mismatchCandidate = Number.NaN;
    this.saturated = 0;
  }

  /** Adds everything that `other` holds, whose indices begin at `offset` of this one. */
  merge(other: PairSums, offset: number): void {
    this.xx.addSum(other.xx);
    this.yy.addSum(other.yy);
    this.xy.addSum(other.xy);
    this.dd.addSum(other.dd);
    this.xd.addSum(other.xd);
    this.d.addSum(other.d);
    this.absD.addSum(other.absD);
    this.count += other.count;
    if (other.maxAbs > this.maxAbs) {
      this.maxAbs = other.maxAbs;
      this.maxIndex = offset + other.maxIndex;
      this.maxReference = other.maxReference;
      this.maxCandidate = other.maxCandidate;
    }
    for (const side of ["reference", "candidate"] as const) {
      this[side].nan += other[side].nan;
      this[side].posInf += other[side].posInf;
      this[side].negInf += other[side].negInf;
    }
    if (this.mismatched === 0 && other.mismatched > 0) {
      this.mismatchIndex = offset + other.mismatchIndex;
      this.mismatchReference = other.mismatchReference;
      this.mismatchCandidate = other.mismatchCandidate;
    }
    this.mismatched += other.mismatched;
    this.saturated += other.saturated;
  }
}

/** Plain sums run over at most this many elements before they are compensated: their error stays below 256 · 2⁻⁵³ of Σ|terms|. */
const BLOCK_ELEMENTS = 256;

/** What the inner loop has to watch for. */
export interface PairTraits {
  /** Whether either side is float64, whose squares can leave the range of float64. */
  readonly wide: boolean;
  /** Largest finite value of the candidate's dtype. */
  readonly maxFinite: number;
  /** How far from `maxFinite` a reference value must lie for a candidate value there to count as saturated. */
  readonly saturationDistance: number;
}

/**
 * Adds the pairs `x[start … start+length)`, `y[…]` to `sums`; indices are
 * counted from `index` on.
 */
export function addPairs(
  sums: PairSums,
  x: Float64Array,
  y: Float64Array,
  start: number,
  length: number,
  index: number,
  traits: PairTraits,
): void {
  for (let done = 0; done < length; done += BLOCK_ELEMENTS) {
    const from = start + done;
    const to = Math.min(from + BLOCK_ELEMENTS, start + length);
    const base = index + done - from;
    if (traits.wide || !addPlainBlock(sums, x, y, from, to, base, traits)) {
      addCarefulBlock(sums, x, y, from, to, base, traits);
    }
  }
}

/** The fast loop: no scaling, every value finite. Adds nothing and returns false where that does not hold. */
function addPlainBlock(
  sums: PairSums,
  x: Float64Array,
  y: Float64Array,
  from: number,
  to: number,
  base: number,
  traits: PairTraits,
): boolean {
  let xx = 0;
  let yy = 0;
  let xy = 0;
  let dd = 0;
  let xd = 0;
  let sumD = 0;
  let absD = 0;
  let max = -1;
  let at = -1;
  for (let i = from; i < to; i += 1) {
    const a = x[i] as number;
    const b = y[i] as number;
    const d = b - a;
    const size = Math.abs(d);
    xx += a * a;
    yy += b * b;
    xy += a * b;
    dd += d * d;
    xd += a * d;
    sumD += d;
    absD += size;
    if (size > max) {
      max = size;
      at = i;
    }
  }
  // d is NaN or infinite wherever a or b is, so its sum tells of both sides.
  if (!(absD < Number.POSITIVE_INFINITY)) return false;
  sums.xx.add(xx);
  sums.yy.add(yy);
  sums.xy.add(xy);
  sums.dd.add(dd);
  sums.xd.add(xd);
  sums.d.add(sumD);
  sums.absD.add(absD);
  sums.count += to - from;
  if (max > sums.maxAbs) setMaximum(sums, max, base + at, x[at] as number, y[at] as number);
  if (yy >= traits.maxFinite * traits.maxFinite) countSaturated(sums, x, y, from, to, traits);
  return true;
}

/** Squares of values whose exponent lies within these bounds neither overflow nor vanish, whatever a block adds to them. */
const SAFE_EXPONENT = 400;
/** Differences of values below this exponent cannot overflow. */
const OVERFLOW_EXPONENT = 1022;

/** The slow loop: classifies values that are not finite and scales each block to the middle of the range. */
function addCarefulBlock(
  sums: PairSums,
  x: Float64Array,
  y: Float64Array,
  from: number,
  to: number,
  base: number,
  traits: PairTraits,
): void {
  let maxX = 0;
  let maxY = 0;
  for (let i = from; i < to; i += 1) {
    const a = x[i] as number;
    const b = y[i] as number;
    if (!Number.isFinite(a) || !Number.isFinite(b)) {
      countNonFinite(sums, a, b, base + i);
      continue;
    }
    maxX = Math.max(maxX, Math.abs(a));
    maxY = Math.max(maxY, Math.abs(b));
  }
  // Halving both sides of a difference that could overflow costs at most the
  // last bit of a subnormal, beside values near 1e308.
  const half = exponentOf(Math.max(maxX, maxY)) >= OVERFLOW_EXPONENT ? 1 : 0;
  const unhalved = half === 0 ? 1 : 0.5;
  let maxD = 0;
  for (let i = from; i < to; i += 1) {
    const a = x[i] as number;
    const b = y[i] as number;
    if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
    maxD = Math.max(maxD, Math.abs(b * unhalved - a * unhalved));
  }
  const ex = scaleExponent(maxX);
  const ey = scaleExponent(maxY);
  const ed = scaleExponent(maxD);
  const [sx, sy, sd] = [2 ** -ex, 2 ** -ey, 2 ** -ed];
  let xx = 0;
  let yy = 0;
  let xy = 0;
  let dd = 0;
  let xd = 0;
  let sumD = 0;
  let absD = 0;
  let count = 0;
  for (let i = from; i < to; i += 1) {
    const rawX = x[i] as number;
    const rawY = y[i] as number;
    if (!Number.isFinite(rawX) || !Number.isFinite(rawY)) continue;
    const difference = rawY * unhalved - rawX * unhalved;
    const a = rawX * sx;
    const b = rawY * sy;
    const d = difference * sd;
    xx += a * a;
    yy += b * b;
    xy += a * b;
    dd += d * d;
    xd += a * d;
    sumD += d;
    absD += Math.abs(d);
    count += 1;
    const size = Math.abs(rawY - rawX);
    if (size > sums.maxAbs) setMaximum(sums, size, base + i, rawX, rawY);
  }
  sums.xx.add(xx, 2 * ex);
  sums.yy.add(yy, 2 * ey);
  sums.xy.add(xy, ex + ey);
  sums.dd.add(dd, 2 * (ed + half));
  sums.xd.add(xd, ex + ed + half);
  sums.d.add(sumD, ed + half);
  sums.absD.add(absD, ed + half);
  sums.count += count;
  if (maxY >= traits.maxFinite) countSaturated(sums, x, y, from, to, traits);
}

/** ⌊log₂ value⌋ of a positive number, −Infinity for 0. */
function exponentOf(value: number): number {
  return Math.floor(Math.log2(value));
}

/** The power of two that brings `max` near 1; 0 where squares are safe as they are. */
function scaleExponent(max: number): number {
  if (max === 0) return 0;
  const exponent = exponentOf(max);
  // 2^±1000 is as far as one factor may go; 2⁻⁷⁴ squared is still well in range.
  return Math.abs(exponent) <= SAFE_EXPONENT ? 0 : Math.max(-1000, Math.min(1000, exponent));
}

function setMaximum(sums: PairSums, size: number, index: number, x: number, y: number): void {
  sums.maxAbs = size;
  sums.maxIndex = index;
  sums.maxReference = x;
  sums.maxCandidate = y;
}

function countNonFinite(sums: PairSums, x: number, y: number, index: number): void {
  const kindX = countKind(sums.reference, x);
  const kindY = countKind(sums.candidate, y);
  if (kindX === kindY) return;
  if (sums.mismatched === 0) {
    sums.mismatchIndex = index;
    sums.mismatchReference = x;
    sums.mismatchCandidate = y;
  }
  sums.mismatched += 1;
}

function countKind(count: NonFiniteCount, value: number): "finite" | "nan" | "posInf" | "negInf" {
  if (Number.isFinite(value)) return "finite";
  const kind = Number.isNaN(value) ? "nan" : value > 0 ? "posInf" : "negInf";
  count[kind] += 1;
  return kind;
}

function countSaturated(
  sums: PairSums,
  x: Float64Array,
  y: Float64Array,
  from: number,
  to: number,
  traits: PairTraits,
): void {
  for (let i = from; i < to; i += 1) {
    const a = x[i] as number;
    const b = y[i] as number;
    if (Math.abs(b) !== traits.maxFinite || !Number.isFinite(a)) continue;
    if (Math.abs(b - a) > traits.saturationDistance) sums.saturated += 1;
  }
}
