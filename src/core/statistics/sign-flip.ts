/** The paired permutation test: is the mean of these differences 0? */

import jstat from "jstat";
import { type ClusterSum, clusteredMean } from "../statistics.ts";

const { jStat } = jstat;

/** How a p was found: all signs, drawn signs, or Student's t. */
export interface SignFlipTest {
  readonly method: "sign-flip-exact" | "sign-flip-sampled" | "student-t";
  readonly p: number;
}

/** All 2ⁿ signs are tried up to here: a million sums. */
const MOST_EXACT = 20;
/** Signs are drawn up to here; of more differences Student's t says the same. */
const MOST_SAMPLED = 10_000;
const DRAWS = 9999;

/** Sums that differ by rounding alone count as equal. */
const ROUNDING = 1e-12;

/**
 * Two-sided test of a mean of 0 where each cluster (item, or group of items) could
 * as well have had the other sign: which side is which does not matter.
 * Deterministic: the draws are seeded.
 *
 * @returns p 1 where every sum is 0, or there is none.
 */
export function signFlipTest(clusters: readonly ClusterSum[]): SignFlipTest {
  const sizes = clusters.map(({ sum }) => Math.abs(sum)).filter((size) => size !== 0);
  const total = Math.abs(clusters.reduce((all, { sum }) => all + sum, 0));
  const least = total - ROUNDING * sizes.reduce((all, size) => all + size, 0);
  if (sizes.length <= MOST_EXACT) return { method: "sign-flip-exact", p: exact(sizes, least) };
  if (sizes.length <= MOST_SAMPLED) {
    return { method: "sign-flip-sampled", p: sampled(sizes, least) };
  }
  return { method: "student-t", p: studentTest(clusters) };
}

/** Share of all choices of signs whose sum is at least as large. */
function exact(sizes: readonly number[], least: number): number {
  const choices = 2 ** sizes.length;
  let hits = 0;
  for (let choice = 0; choice < choices; choice += 1) {
    let sum = 0;
    for (let i = 0; i < sizes.length; i += 1) {
      sum += (choice >> i) & 1 ? (sizes[i] as number) : -(sizes[i] as number);
    }
    if (Math.abs(sum) >= least) hits += 1;
  }
  return hits / choices;
}

/** The same of signs that are drawn; what was found is one of them, so that p is never 0. */
function sampled(sizes: readonly number[], least: number): number {
  const random = makeRandom();
  let hits = 1;
  for (let draw = 0; draw < DRAWS; draw += 1) {
    let sum = 0;
    let bits = 0;
    for (let i = 0; i < sizes.length; i += 1) {
      if (i % 32 === 0) bits = random();
      sum += bits & 1 ? (sizes[i] as number) : -(sizes[i] as number);
      bits >>>= 1;
    }
    if (Math.abs(sum) >= least) hits += 1;
  }
  return hits / (DRAWS + 1);
}

/** 32 random bits a call (Marsaglia's xorshift128), always the same sequence. */
function makeRandom(): () => number {
  let [x, y, z, w] = [123456789, 362436069, 521288629, 88675123];
  return () => {
    const t = x ^ (x << 11);
    [x, y, z] = [y, z, w];
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return w >>> 0;
  };
}

/**
 * Student's two-sided test of whether a mean over clusters is 0: p of t with
 * G − 1 degrees of freedom, errors clustered.
 *
 * @returns where all clusters agree, 1 if on 0, else 0; 1 below two clusters.
 */
export function studentTest(clusters: readonly ClusterSum[]): number {
  const found = clusteredMean(clusters);
  if (found?.se == null) return 1;
  if (found.se === 0) return found.mean === 0 ? 1 : 0;
  return 2 * jStat.studentt.cdf(-Math.abs(found.mean / found.se), found.clusters - 1);
}
