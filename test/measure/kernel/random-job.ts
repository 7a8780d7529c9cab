/** Random jobs for the kernel: dtypes, shapes and values as no model would have them all at once. */

import { closeSync, openSync, writeFileSync } from "node:fs";
import { DTYPES, type FloatDType } from "../../../src/core/dtype.ts";
import type { FileRange } from "../../../src/dump/dump.ts";
import { END_TO_END } from "../../../src/dump/join.ts";
import { type Job, type JobSide, KERNEL_DTYPES } from "../../../src/measure/kernel/job.ts";
import { hasChannels, saturationOf } from "../../../src/measure/plan.ts";

/** Numbers that depend on a seed alone (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `most`. */
  to(most: number): number {
    return Math.floor(this.next() * (most + 1));
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.to(values.length - 1)] as T;
  }

  gaussian(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }
}

/** How the elements of a case are made. */
const KINDS = [
  "near",
  "near",
  "apart",
  "equal",
  "small candidate",
  "massive",
  "any bits",
  "zeros",
  "specials",
  "saturated",
  "offset",
  "masked",
] as const;

type Kind = (typeof KINDS)[number];

/** Elements of `dtype` nearest to `values`, or below them: what rounds where matters to nobody here. */
export function encode(dtype: FloatDType, values: Float64Array): Uint8Array {
  if (dtype === "F64") return new Uint8Array(values.slice().buffer);
  const floats = Float32Array.from(values);
  if (dtype === "F32") return new Uint8Array(floats.buffer);
  const bits = new Uint32Array(floats.buffer);
  if (dtype === "BF16") return new Uint8Array(Uint16Array.from(bits, (b) => b >>> 16).buffer);
  const halves = Uint16Array.from(bits, half);
  if (dtype === "F16") return new Uint8Array(halves.buffer);
  if (dtype === "F8_E5M2") return Uint8Array.from(halves, (h) => h >>> 8);
  return Uint8Array.from(bits, e4m3);
}

/** The float16 below a float32 of these bits. */
function half(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  const mantissa = (bits >>> 13) & 0x3ff;
  if (((bits >>> 23) & 0xff) === 0xff) {
    return sign | 0x7c00 | ((bits & 0x7fffff) === 0 ? 0 : 0x200);
  }
  if (exponent >= 31) return sign | 0x7bff;
  if (exponent > 0) return sign | (exponent << 10) | mantissa;
  return exponent < -10 ? sign : sign | ((mantissa | 0x400) >>> (1 - exponent));
}

function e4m3(bits: number): number {
  const sign = (bits >>> 24) & 0x80;
  const exponent = ((bits >>> 23) & 0xff) - 120;
  if (((bits >>> 23) & 0xff) === 0xff) return sign | 0x7f;
  if (exponent > 15) return sign | 0x7e;
  const mantissa = (bits >>> 20) & 7;
  if (exponent <= 0) return exponent < -3 ? sign : sign | ((mantissa | 8) >>> (1 - exponent));
  return exponent === 15 && mantissa === 7 ? sign | 0x7e : sign | (exponent << 3) | mantissa;
}

function reference(random: Random, kind: Kind, scale: number): number {
  if (kind === "zeros" && random.chance(0.7)) return 0;
  if (kind === "masked" && random.chance(0.1)) return random.pick([-1e4, Number.NEGATIVE_INFINITY]);
  if (kind === "massive" && random.chance(0.01)) return 3000 * scale * random.gaussian();
  return scale * random.gaussian();
}

function other(random: Random, kind: Kind, x: number, dtype: FloatDType): number {
  const { maxFinite } = DTYPES[dtype];
  switch (kind) {
    case "near":
    case "massive":
      return x * (1 + 0.003 * random.gaussian());
    case "equal":
      return random.chance(0.98) ? x : x * 1.01;
    case "small candidate":
      return x * 1e-4 * random.gaussian();
    case "zeros":
      return random.chance(0.5) ? 0 : x;
    case "specials":
      return random.chance(0.02) ? random.pick([Infinity, -Infinity, Number.NaN]) : x;
    case "saturated":
      return random.chance(0.05) ? random.pick([maxFinite, -maxFinite]) : x;
    case "offset":
      return x + 1000;
    case "masked":
      return random.chance(0.1) ? Number.NEGATIVE_INFINITY : x * (1 + 0.003 * random.gaussian());
    case "apart":
    case "any bits":
      return random.gaussian();
  }
}

/** A file of random bytes, cut into the ranges that jobs name. */
export class JobFile {
  readonly #path: string;
  #descriptor: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Writes the sides one behind the other, each in `pieces` ranges in any order. */
  write(random: Random, sides: readonly Uint8Array[], pieces: number): FileRange[][] {
    this.close();
    const all: Uint8Array[] = [];
    let position = 0;
    const ranges = sides.map((bytes) => {
      const cuts = Array.from({ length: pieces - 1 }, () => random.to(bytes.length));
      const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      return edges.slice(1).map((end, i): FileRange => {
        const piece = bytes.subarray(edges[i], end);
        // What lies between belongs to nobody.
        const gap = new Uint8Array(random.to(5)).fill(0xff);
        all.push(gap, piece);
        position += gap.length;
        const at = position;
        position += piece.length;
        return { descriptor: -1, position: at, bytes: piece.length };
      });
    });
    writeFileSync(this.#path, Buffer.concat(all));
    const descriptor = openSync(this.#path, "r");
    this.#descriptor = descriptor;
    return ranges.map((side) => side.map((range) => ({ ...range, descriptor })));
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

/** What a case may be. */
export interface CaseLimits {
  readonly logits: boolean;
  readonly mostRows: number;
  readonly widths: readonly number[];
}

/** A random job over `file`. */
export function randomJob(random: Random, file: JobFile, limits: CaseLimits): Job {
  const kind = random.pick(KINDS);
  const rows = 1 + random.to(limits.mostRows - 1);
  const width = Math.max(1, random.pick(limits.widths) + random.to(4) - 2);
  const count = rows * width;
  const scale = limits.logits
    ? random.pick([1, 6, 30])
    : random.pick([1, 1, 1, 1e-3, 100, 1e-6]) * (random.chance(0.05) ? 1e-30 : 1);
  const dtypes = Array.from({ length: 2 + random.to(2) }, () =>
    random.chance(0.3) ? "F32" : random.pick(KERNEL_DTYPES),
  );
  const x = Float64Array.from({ length: count }, () => reference(random, kind, scale));
  if (kind === "specials")
    for (let i = 0; i < count; i += 1 + random.to(90)) x[i] = special(random);
  const bytes = dtypes.map((dtype, side) => {
    if (kind === "any bits" && dtype !== "F64") {
      return Uint8Array.from({ length: count * DTYPES[dtype].bytes }, () => random.to(255));
    }
    return encode(dtype, side === 0 ? x : x.map((value) => other(random, kind, value, dtype)));
  });
  const ranges = file.write(random, bytes, 1 + random.to(2));
  const factored = random.chance(0.1);
  return {
    rows,
    width,
    sides: dtypes.map((dtype, side): JobSide => {
      const factor = factored && side > 0 ? 0.22 : 1;
      return { dtype, factor, join: END_TO_END, strands: [ranges[side] ?? []] };
    }),
    ...saturationOf(dtypes[1] ?? "F32"),
    bits: dtypes[0] === dtypes[1] && random.chance(0.3),
    truth: limits.logits ? Array.from({ length: rows }, () => random.to(width + 1) - 1) : null,
    leastRowError: dtypes.length === 2 && hasChannels(width) && random.chance(0.4) ? 1e-3 : null,
  };
}

function special(random: Random): number {
  return random.pick([Infinity, -Infinity, Number.NaN, -Infinity]);
}
