/** One tensor as a reader of another format hands it over. */

import type { DType } from "../../core/dtype.ts";
import type { ByteSource } from "../byte-source.ts";
import type { TensorStats } from "../dump.ts";
import type { Remark } from "../imported.ts";

/** A run of consecutive bytes of a tensor's data, C-order, little-endian. */
export interface Piece {
  readonly source: ByteSource;
  readonly position: number;
  readonly bytes: number;
}

/** One tensor of a file that is not in our own format. */
export interface ForeignTensor {
  /** As the file calls it, or by its module's path; canonical names are found later. */
  readonly name: string;
  /** As the file calls it, where that is not `name`. */
  readonly module?: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Its data in order; null where only `stats` is known. */
  readonly pieces: readonly Piece[] | null;
  readonly stats?: TensorStats;
  /** What was assumed that the file leaves open, where anything was. */
  readonly assumed?: string;
  /** 0 by default, like `step` and `rank`. */
  readonly sample?: number;
  readonly step?: number;
  readonly rank?: number;
}

/** What a reader has found in a file or folder. */
export interface ForeignContents {
  /** The format's name, as its users call it. */
  readonly format: string;
  readonly tensors: readonly ForeignTensor[];
  /** What was left out, and why: texts, Python objects. */
  readonly skipped: readonly Remark[];
  /** Facts for the run metadata, as far as the format tells them; `tool` and `id` where the file is a converted dump. */
  readonly run: Readonly<Record<string, unknown>>;
  /** Everything that is open, for whoever closes the dump. */
  readonly sources: readonly ByteSource[];
  /** Bytes of the file, or of all files. */
  readonly bytes: number;
}
