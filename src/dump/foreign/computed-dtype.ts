/**
 * The number format that a file's tensors were computed in, where the file does not say. NumPy has no bfloat16:
 * what is stored as float32 may hold nothing but bfloat16's values, and its roundings.
 */

import { DTYPES, type FloatDType, isFloatDType } from "../../core/dtype.ts";
import { tensorName } from "../contract.ts";
import type { TensorEntry } from "../dump.ts";
import type { Remark } from "../imported.ts";

/** Values other than zero that are needed to tell a format: of numbers of 24 bits one in 2^16 fits eight. */
const LEAST_VALUES = 64;

/** Formats that another may hold, those with more bits first. */
const NARROWER: readonly { readonly dtype: FloatDType; readonly bits: number }[] = [
  { dtype: "F32", bits: 24 },
  { dtype: "F16", bits: 11 },
  { dtype: "BF16", bits: 8 },
];

/** Counts formats, a tensor at a time. */
export class ComputedDType {
  readonly #counts = {
    hidden: new Map<FloatDType, number>(),
    logits: new Map<FloatDType, number>(),
  };
  readonly #stored = new Map<FloatDType, Set<FloatDType>>();

  /** @param bytes the tensor's beginning; empty of statistics. */
  add({ name, dtype, elements }: TensorEntry, bytes: Uint8Array): void {
    if (!isFloatDType(dtype) || elements === 0) return;
    const found = formatOf(dtype, bytes);
    // Engines often hand out logits in float32, whatever they compute in.
    const counts = tensorName(name).role === "logits" ? this.#counts.logits : this.#counts.hidden;
    counts.set(found, (counts.get(found) ?? 0) + 1);
    this.#stored.set(found, (this.#stored.get(found) ?? new Set()).add(dtype));
  }

  /** The format of most tensors, of as many the finer one; F32 of none. */
  get dtype(): FloatDType {
    const { hidden, logits } = this.#counts;
    const counts = hidden.size > 0 ? hidden : logits;
    const [most] = [...counts].sort(
      ([a, one], [b, other]) => other - one || DTYPES[a].u - DTYPES[b].u,
    );
    return most?.[0] ?? "F32";
  }

  /** What was assumed where that is no format that the file states. */
  get remarks(): readonly Remark[] {
    const { dtype } = this;
    const stored = this.#stored.get(dtype);
    if (stored === undefined || stored.has(dtype)) return [];
    return [
      { name: "dtype", why: `${dtype}, since ${[...stored].join(", ")} holds no other values` },
    ];
  }
}

/** The coarsest format that holds every value of `bytes`, which are of `stored`; `stored` where too few tell. */
function formatOf(stored: FloatDType, bytes: Uint8Array): FloatDType {
  if (stored !== "F32" && stored !== "F64") return stored;
  const size = DTYPES[stored].bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let values = 0;
  let needed = 0;
  let isInHalf = true;
  for (let at = 0; at + size <= bytes.length; at += size) {
    const value = size === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true);
    if (value === 0 || !Number.isFinite(value)) continue;
    values += 1;
    if (size === 8 && Math.fround(value) !== value) return stored;
    needed = Math.max(needed, significantBits(value));
    // A multiple of its smallest number, and none beyond its largest.
    isInHalf &&= Math.abs(value) <= DTYPES.F16.maxFinite && Number.isInteger(value * 2 ** 24);
  }
  if (values < LEAST_VALUES) return stored;
  const fitting = NARROWER.filter(
    ({ dtype, bits }) => needed <= bits && (dtype !== "F16" || isInHalf),
  );
  return fitting.at(-1)?.dtype ?? stored;
}

const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/** Significant bits of a float32 other than zero: 1 of a power of two, 24 at most. */
function significantBits(value: number): number {
  FLOAT[0] = value;
  const fraction = (BITS[0] as number) & 0x7f_ffff;
  const isSubnormal = ((BITS[0] as number) & 0x7f80_0000) === 0;
  if (fraction === 0) return 1;
  const trailing = 31 - Math.clz32(fraction & -fraction);
  return (isSubnormal ? 32 - Math.clz32(fraction) : 24) - trailing;
}
