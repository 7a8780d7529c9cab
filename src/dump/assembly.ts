/** One tensor of a run of several ranks: its parts, and where their bytes go. */

import { DTYPES, type FloatDType } from "../core/dtype.ts";
import type { FileDump } from "./arrow-dump.ts";
import { type Dump, dataBytes, type Located, type TensorEntry } from "./dump.ts";
import { type ByteStream, END_TO_END, type Join, joined } from "./join.ts";
import type { RankEntry, Slice } from "./slice.ts";

/** A tensor that holds some of another, and what its bytes are read from. */
interface Held {
  readonly dump: Pick<Dump, "read" | "locate">;
  readonly entry: RankEntry;
}

interface HeldSlice extends Held {
  readonly entry: RankEntry & { readonly slice: Slice };
}

/** What one rank holds of a tensor. */
export interface Part extends Held {
  readonly dump: FileDump;
}

/** One that is a slice. */
export interface SlicePart extends Part {
  readonly entry: HeldSlice["entry"];
}

/** Some bytes of a part. */
interface Cut {
  readonly part: Held;
  readonly offset: number;
  readonly length: number;
}

/** Some bytes of the whole tensor: `skip` bytes into what comes of the strands. */
interface Cuts {
  readonly join: Join;
  readonly strands: readonly (readonly Cut[])[];
  readonly skip: number;
}

/** A whole tensor, as its parts give it. */
export class Assembly {
  readonly entry: TensorEntry;
  readonly #cuts: (offset: number, length: number) => Cuts;

  private constructor(entry: TensorEntry, cuts: (offset: number, length: number) => Cuts) {
    this.entry = entry;
    this.#cuts = cuts;
  }

  /** What one rank holds as a whole. */
  static held(part: Part): Assembly {
    return new Assembly({ ...part.entry, rank: 0 }, (offset, length) => ({
      join: END_TO_END,
      strands: [[{ part, offset, length }]],
      skip: 0,
    }));
  }

  /** Slices along one axis, in order, without gaps; what lies beyond the shape is left out. */
  static ofSlices(parts: readonly [HeldSlice, ...HeldSlice[]]): Assembly {
    const { axis, whole } = parts[0].entry.slice;
    const entry = wholeEntry(parts[0].entry, whole);
    return new Assembly(entry, axis === 0 ? rowsOf(entry, parts) : columnsOf(entry, axis, parts));
  }

  /** Terms of a sum, in order; the sum is float64, whatever they are. */
  static ofTerms(parts: readonly [Part, ...Part[]], dtype: FloatDType): Assembly {
    const [{ entry }] = parts;
    const [size, { bytes: sumSize }] = [DTYPES[dtype].bytes, DTYPES.F64];
    return new Assembly({ ...wholeEntry(entry, entry.shape), dtype: "F64" }, (offset, length) => {
      if (offset % sumSize !== 0 || length % sumSize !== 0) {
        throw new RangeError(`bytes ${offset} to ${offset + length} of numbers of ${sumSize}`);
      }
      const cut = { offset: (offset / sumSize) * size, length: (length / sumSize) * size };
      const strands = parts.map((part) => [{ part, ...cut }]);
      return { join: { kind: "sum", dtype }, strands, skip: 0 };
    });
  }

  /** As `Dump.read`. */
  read(offset: number, target: Uint8Array): void {
    const { join, strands, skip } = this.#within(offset, target.length);
    const stream = joined(
      join,
      strands.map((cuts) => new CutStream(cuts)),
    );
    stream.skip(skip);
    stream.read(target, 0, target.length);
  }

  /** As `Dump.locate`. */
  locate(offset: number, length: number): Located {
    const { join, strands, skip } = this.#within(offset, length);
    if (skip !== 0) throw new RangeError(`byte ${offset} of a tensor in slices starts no row`);
    const located = strands.map((cuts) =>
      cuts.flatMap((cut) => {
        return cut.part.dump.locate(cut.part.entry, cut.offset, cut.length).strands.flat();
      }),
    );
    return { join, strands: located };
  }

  #within(offset: number, length: number): Cuts {
    const size = dataBytes(this.entry);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of a tensor of ${size} bytes`);
    }
    return this.#cuts(offset, length);
  }
}

/** The entry of a tensor that no file holds as a whole; statistics of a part say nothing of it. */
function wholeEntry(part: RankEntry, shape: readonly number[]): TensorEntry {
  const { name, kind, layer, module, sample, step, repeat, dtype, encoding } = part;
  const elements = shape.reduce((product, length) => product * length, 1);
  const facts = { name, kind, layer, module, sample, step, repeat, dtype, encoding };
  return { ...facts, rank: 0, shape, elements, stats: null, chunks: [] };
}

/** Of slices along axis 0 the rows of one rank come behind those of another. */
function rowsOf(entry: TensorEntry, parts: readonly HeldSlice[]) {
  const { shape, elements, dtype } = entry;
  const rows = shape[0] ?? 1;
  const rowBytes = rows === 0 ? 0 : (elements / rows) * DTYPES[dtype].bytes;
  return (offset: number, length: number): Cuts => {
    const cuts = parts.flatMap((part): Cut[] => {
      const { start, length: own } = part.entry.slice;
      const from = Math.max(offset, start * rowBytes);
      const to = Math.min(offset + length, (start + own) * rowBytes);
      return to > from ? [{ part, offset: from - start * rowBytes, length: to - from }] : [];
    });
    return { join: END_TO_END, strands: [cuts], skip: 0 };
  };
}

/** Of slices along another axis each has a stretch of every row. */
function columnsOf(entry: TensorEntry, axis: number, parts: readonly HeldSlice[]) {
  const { shape, dtype } = entry;
  const extent = shape[axis] ?? 1;
  const inner = shape
    .slice(axis + 1)
    .reduce((product, length) => product * length, DTYPES[dtype].bytes);
  const period = extent * inner;
  const widths = parts.map(({ entry: { slice } }) => ({
    stored: slice.length * inner,
    used: Math.max(0, Math.min(slice.length, extent - slice.start)) * inner,
  }));
  const join: Join = { kind: "side by side", widths };
  return (offset: number, length: number): Cuts => {
    const first = length === 0 ? 0 : Math.floor(offset / period);
    const end = length === 0 ? 0 : Math.ceil((offset + length) / period);
    const strands = parts.map((part, i) => {
      const { stored } = widths[i] as (typeof widths)[number];
      return [{ part, offset: first * stored, length: (end - first) * stored }];
    });
    return { join, strands, skip: length === 0 ? 0 : offset - first * period };
  };
}

/** The bytes of some cuts, one behind the other. */
class CutStream implements ByteStream {
  readonly #cuts: readonly Cut[];
  #cut = 0;
  #done = 0;

  constructor(cuts: readonly Cut[]) {
    this.#cuts = cuts;
  }

  read(target: Uint8Array, offset: number, length: number): void {
    let at = offset;
    this.#pass(length, ({ dump, entry }: Held, from, bytes) => {
      dump.read(entry, from, target.subarray(at, at + bytes));
      at += bytes;
    });
  }

  skip(length: number): void {
    this.#pass(length, () => undefined);
  }

  #pass(length: number, take: (part: Held, from: number, bytes: number) => void): void {
    for (let left = length; left > 0; ) {
      const { part, ...cut } = this.#cuts[this.#cut] as Cut;
      const bytes = Math.min(left, cut.length - this.#done);
      take(part, cut.offset + this.#done, bytes);
      left -= bytes;
      this.#done += bytes;
      if (this.#done < cut.length) continue;
      this.#cut += 1;
      this.#done = 0;
    }
  }
}
