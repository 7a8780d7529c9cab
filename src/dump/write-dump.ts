/** Writes a dump: tensors cut into chunks, chunks gathered into record batches. */

import {
  Schema as ArrowSchema,
  Field,
  Float64,
  Int32,
  Int64,
  LargeBinary,
  List,
  Struct,
  Utf8,
} from "apache-arrow";
import { MetadataVersion } from "apache-arrow/fb/metadata-version";
import { Message } from "apache-arrow/ipc/metadata/message";
import { DTYPES, type DType } from "../core/dtype.ts";
import { writeBatch, writeHead, writeTail } from "./arrow-output.ts";
import { readSchema, type Schema } from "./arrow-schema.ts";
import { MAX_TEXT_BYTES } from "./bounds.ts";
import { RUN_END, RUN_KEY, tensorName, VERSION, VERSION_KEY } from "./contract.ts";
import {
  type Dump,
  dataBytes,
  type RunMetadata,
  type TensorEntry,
  type TensorStats,
} from "./dump.ts";
import type { RowValues } from "./encode-rows.ts";
import type { JsonObject } from "./json.ts";
import { OutputFile } from "./output-file.ts";
import { type Block, readMessage } from "./record-batch.ts";

/** One tensor as it is given to a {@link DumpWriter}. */
export interface TensorInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** C-order, little-endian: all of the tensor where it is dense, its slice, its sketch, or nothing. Not kept. */
  readonly bytes: Uint8Array;
  /** Which part of `shape` a rank holds, where it is not all; `run.shards` must say the same. */
  readonly slice?: { readonly axis: number; readonly start: number; readonly length: number };
  /** `dense` by default. */
  readonly encoding?: TensorEntry["encoding"];
  /** `hidden` by default. */
  readonly kind?: string;
  /** By default what the name says. */
  readonly layer?: number | null;
  readonly module?: string | null;
  /** 0 by default, like `step`, `repeat` and `rank`. */
  readonly sample?: number;
  readonly step?: number;
  readonly repeat?: number;
  readonly rank?: number;
  readonly stats?: TensorStats | null;
}

/** Writes a dump, tensor by tensor. */
export interface DumpWriter {
  /**
   * Appends one tensor.
   *
   * @throws RangeError where `bytes` does not fit `dtype` and `shape`
   * @throws NpuDiffError `output-unwritable`
   */
  write(tensor: TensorInput): void;
  /**
   * Appends a tensor of another dump, dense or as statistics, chunk by chunk.
   *
   * @throws NpuDiffError `output-unwritable`, and what reading throws
   */
  copy(dump: Dump, entry: TensorEntry): void;
  /**
   * Writes `run.end`, with `complete: true` and whatever `end` says, and gives the file its name.
   *
   * @throws NpuDiffError `output-unwritable`
   */
  close(end?: JsonObject): void;
  /** Removes what has been written, for when the source of the tensors failed. */
  discard(): void;
}

/** Bytes of data of a chunk; a row of axis 0 that is longer is a chunk of its own. */
const CHUNK_BYTES = 32 * 1024 * 1024;

/** Bytes of data of a record batch. */
const BATCH_BYTES = 64 * 1024 * 1024;

/** Rows of a record batch, so that a batch of tiny tensors has a small index too. */
const BATCH_ROWS = 4096;

/**
 * Starts a dump at `path`. Until it is closed, it is called `path.partial`.
 *
 * @throws NpuDiffError `output-unwritable` where either exists already, or the system refuses
 */
export function createDumpWriter(path: string, run: RunMetadata): DumpWriter {
  return new ArrowDumpWriter(path, run);
}

class ArrowDumpWriter implements DumpWriter {
  readonly #output: OutputFile;
  readonly #schemaMessage: Uint8Array;
  readonly #schemaPosition: number;
  readonly #schema: Schema;
  readonly #batches: Block[] = [];
  #rows: RowValues[] = [];
  #bytes = 0;
  #itemBytes = 0;

  constructor(path: string, run: RunMetadata) {
    this.#schemaMessage = Message.encode(Message.from(schemaOf(run)));
    const { header } = readMessage(this.#schemaMessage);
    this.#schemaPosition = header.position;
    this.#schema = readSchema(header, "V5");
    this.#output = new OutputFile(path, ".partial");
    writeHead(this.#output, this.#schemaMessage);
  }

  write(tensor: TensorInput): void {
    const { name, dtype, bytes, slice, encoding = "dense" } = tensor;
    const shape = slice === undefined ? tensor.shape : tensor.shape.with(slice.axis, slice.length);
    const first = slice?.axis === 0 ? slice.start : 0;
    const nameBytes = new TextEncoder().encode(name).length;
    if (nameBytes === 0 || nameBytes > MAX_TEXT_BYTES || /\p{Surrogate}/u.test(name)) {
      throw new RangeError(`a tensor's name has 1 to ${MAX_TEXT_BYTES} bytes of UTF-8`);
    }
    const rows = shape[0] ?? 1;
    const rowBytes = encoding === "stats" || rows === 0 ? 0 : bytes.length / rows;
    const width = shape.slice(1).reduce((product, length) => product * length, 1);
    const fits = encoding === "dense" ? rowBytes === width * DTYPES[dtype].bytes : true;
    if ((rows > 0 && !fits) || !Number.isInteger(rowBytes) || bytes.length !== rows * rowBytes) {
      throw new RangeError(
        `${bytes.length} bytes are no ${encoding} ${dtype} [${shape.join(", ")}] (${name})`,
      );
    }
    for (const { start, end } of chunksOf(rows, rowBytes)) {
      this.#append(tensor, first + start, bytes.slice(start * rowBytes, end * rowBytes));
    }
  }

  copy(dump: Dump, entry: TensorEntry): void {
    const rows = entry.shape[0] ?? 1;
    const rowBytes = rows === 0 ? 0 : dataBytes(entry) / rows;
    for (const { start, end } of chunksOf(rows, rowBytes)) {
      const data = new Uint8Array((end - start) * rowBytes);
      dump.read(entry, start * rowBytes, data);
      this.#append(entry, start, data);
    }
  }

  close(end: JsonObject = {}): void {
    // A batch of its own, so that repair can replace it.
    this.#flush();
    const text = JSON.stringify({ ...end, complete: true });
    const bytes = new TextEncoder().encode(text);
    const [kind, dtype] = ["meta", "U8"] as const;
    this.write({ name: RUN_END, kind, dtype, sample: -1, shape: [bytes.length], bytes });
    this.#flush();
    writeTail(this.#output, {
      schemaMessage: this.#schemaMessage,
      schemaPosition: this.#schemaPosition,
      version: MetadataVersion.V5,
      dictionaries: [],
      batches: this.#batches,
    });
    this.#output.commit();
  }

  discard(): void {
    this.#output.discard();
  }

  #append(tensor: Omit<TensorInput, "bytes">, start: number, data: Uint8Array): void {
    // One item size a batch keeps the data aligned.
    const { bytes: itemBytes } = DTYPES[tensor.dtype];
    const full = this.#bytes + data.length > BATCH_BYTES || this.#rows.length >= BATCH_ROWS;
    if (full || itemBytes !== this.#itemBytes) this.#flush();
    const { name, dtype, shape } = tensor;
    this.#itemBytes = itemBytes;
    this.#bytes += data.length;
    this.#rows.push({
      ...{ name, dtype, shape, start, data },
      kind: tensor.kind ?? "hidden",
      layer: tensor.layer === undefined ? tensorName(name).layer : tensor.layer,
      module: tensor.module ?? null,
      sample: tensor.sample ?? 0,
      step: tensor.step ?? 0,
      repeat: tensor.repeat ?? 0,
      rank: tensor.rank ?? 0,
      encoding: tensor.encoding ?? "dense",
      stats: start === 0 ? (tensor.stats ?? null) : null,
    });
  }

  #flush(): void {
    if (this.#rows.length === 0) return;
    this.#batches.push(writeBatch(this.#output, this.#schema, this.#rows));
    this.#rows = [];
    this.#bytes = 0;
  }
}

/** Rows of axis 0 that are written as one chunk each; one chunk of none where there are none. */
function chunksOf(
  rows: number,
  rowBytes: number,
): readonly { readonly start: number; readonly end: number }[] {
  const atOnce = Math.max(1, rowBytes === 0 ? rows : Math.floor(CHUNK_BYTES / rowBytes));
  return Array.from({ length: Math.max(1, Math.ceil(rows / atOnce)) }, (_, i) => ({
    start: i * atOnce,
    end: Math.min(rows, (i + 1) * atOnce),
  }));
}

/** The contract's schema, with the run in its metadata. */
function schemaOf(run: RunMetadata): ArrowSchema {
  const int32 = new Int32();
  const real = (name: string): Field => new Field(name, new Float64(), true);
  const tally = (name: string): Field => new Field(name, new Int64(), true);
  const stats = [
    ...["min", "max", "mean", "rms"].map(real),
    ...["nan", "posinf", "neginf"].map(tally),
  ];
  const fields = [
    new Field("name", new Utf8(), false),
    new Field("kind", new Utf8(), false),
    new Field("layer", int32, true),
    new Field("module", new Utf8(), true),
    new Field("sample", int32, false),
    new Field("step", int32, false),
    new Field("repeat", int32, false),
    new Field("rank", int32, false),
    new Field("dtype", new Utf8(), false),
    new Field("shape", new List(new Field("item", new Int64(), true)), false),
    new Field("start", new Int64(), false),
    new Field("encoding", new Utf8(), false),
    new Field("data", new LargeBinary(), false),
    new Field("stats", new Struct(stats), true),
  ];
  const metadata = new Map([
    [VERSION_KEY, `${VERSION}`],
    [RUN_KEY, JSON.stringify(run)],
  ]);
  return new ArrowSchema(fields, metadata);
}
