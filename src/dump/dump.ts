/**
 * What every dump looks like to the stages after it, whatever the file format:
 * an index of tensors, and bytes on demand. Nothing of the size of a tensor is
 * ever held here.
 */

import { DTYPES, type DType } from "../core/dtype.ts";
import type { SideStatistics } from "../core/stats-figures.ts";
import type { Join } from "./join.ts";

export type TensorKind =
  | "hidden"
  | "logits"
  | "tokens"
  | "text"
  | "topk"
  | "router"
  | "perf"
  | "meta"
  | "other";

/** Statistics of a whole tensor, over its finite values. */
export interface TensorStats extends SideStatistics {
  /** How far `mean` and `rms` may be off, relative to `rms`; absent where they were summed in float64. */
  readonly precision?: number;
}

/** What every chunk of a tensor says of it. */
export interface TensorFacts {
  readonly name: string;
  readonly kind: string;
  /** Decoder layer, null outside the layers. */
  readonly layer: number | null;
  /** The engine's own module path. */
  readonly module: string | null;
  /** Prompt index from 0; -1 for the whole run. */
  readonly sample: number;
  /** 0 for the prompt, k ≥ 1 for the k-th decode step. */
  readonly step: number;
  readonly repeat: number;
  readonly rank: number;
  /** Shape of the whole tensor; [] is a scalar. */
  readonly shape: readonly number[];
  readonly stats: TensorStats | null;
}

/** One tensor of one sample at one step. */
export interface TensorEntry extends TensorFacts {
  readonly dtype: DType;
  readonly encoding: "dense" | "stats" | "sketch";
  /** Elements of the whole tensor: the product of `shape`. */
  readonly elements: number;
  /**
   * Where the data lies, in order of axis 0, without gaps: empty unless the encoding is dense, and for a
   * tensor that is put together from the shards of several ranks.
   */
  readonly chunks: readonly TensorChunk[];
}

/** A run of consecutive bytes of one tensor, C-order, little-endian. */
export interface TensorChunk {
  /** Offset of the first byte inside the tensor's data. */
  readonly offset: number;
  /** Offset of the first byte inside the file. */
  readonly position: number;
  readonly bytes: number;
}

/** Some bytes of an open file. */
export interface FileRange {
  /** The file descriptor, which is the same in all threads of the process. */
  readonly descriptor: number;
  readonly position: number;
  readonly bytes: number;
}

/** Where some bytes of a tensor lie, and how they become its bytes. */
export interface Located {
  readonly join: Join;
  /** Of each strand that is joined, its bytes in order. */
  readonly strands: readonly (readonly FileRange[])[];
}

/** Bytes of the data of a tensor; 0 unless it is dense. */
export function dataBytes({
  encoding,
  elements,
  dtype,
}: Pick<TensorEntry, "encoding" | "elements" | "dtype">): number {
  return encoding === "dense" ? elements * DTYPES[dtype].bytes : 0;
}

/** The run metadata: one JSON object. Everything but `tool`, `id` and `dtype` is optional. */
export type RunMetadata = Readonly<Record<string, unknown>> & {
  /** The program that wrote the file, as it says: usually its name and version. */
  readonly tool: unknown;
  readonly id: string;
  readonly dtype: DType;
};

/** An open dump. Tensors are in order of their first chunk. Closing it twice is harmless. */
export interface Dump {
  /** File name without its folder; of several ranks the pattern that names their files. */
  readonly file: string;
  /** Size of the file, or of all ranks' files. */
  readonly bytes: number;
  readonly run: RunMetadata;
  /** What the writer knew only at the end (`run.end`). */
  readonly end: Readonly<Record<string, unknown>>;
  /** Whether `repair` put this file together: tensors without all their chunks are then missing, not corrupt. */
  readonly repaired: boolean;
  /**
   * Tensors that one of its tensors is put together from, at most: those of the ranks that wrote it, each its
   * own file, or those that are joined to one; 1 of a single file as it is.
   */
  readonly ranks: number;
  readonly tensors: readonly TensorEntry[];
  /**
   * Reads `target.byteLength` bytes of a dense tensor's data from byte `offset` on.
   *
   * @throws NpuDiffError `dump-truncated` or `file-unreadable` where the file gives fewer bytes than
   *   it promised, for instance because it shrank while it was open.
   */
  read(entry: TensorEntry, offset: number, target: Uint8Array): void;
  /**
   * Where the bytes lie that {@link read} would give, of whole rows of axis 0. They are good until the
   * dump is closed.
   */
  locate(entry: TensorEntry, offset: number, length: number): Located;
  close(): void;
}
