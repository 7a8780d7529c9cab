/** The weights that turn hidden states into logits, read a tile at a time. */

import { createHash } from "node:crypto";
import { DTYPES, type FloatDType, isFloatDType } from "../../core/dtype.ts";
import type { DumpFile } from "../dump-file.ts";
import { openSafetensors, type Safetensors } from "../safetensors/open-safetensors.ts";
import type { StoredTensor } from "../safetensors/safetensors-header.ts";
import { castToFloat32 } from "./cast.ts";
import { findFinalNorm, findHead, headError } from "./find-head.ts";
import { type HeadConfig, readHeadConfig } from "./head-config.ts";

/** A norm's weight [width], and its bias where it has one. */
export interface NormWeights {
  readonly name: string;
  readonly weight: Float64Array;
  readonly bias: Float64Array | null;
}

/** Bytes that are hashed at a time. */
const HASH_BLOCK = 2 ** 22;

/** Share of a vocabulary that is padding: of Qwen's 151,936 tokens 293. */
const MOST_PADDING = 1 / 64;

/** Larger checkpoints are not hashed: it takes a second for each GiB or two. */
const MOST_HASHED = 2 ** 33;

/** Whether `columns` are all tokens of so many but the padding behind them, and not a device's share of them. */
function isPadded(vocabulary: number, columns: number): boolean {
  return columns < vocabulary && vocabulary - columns <= vocabulary * MOST_PADDING;
}

/** The head of a checkpoint: `cap(scale · (W·h + b))`, W [vocabulary, width]. */
export class HeadWeights {
  readonly config: HeadConfig;
  /** Rows of W that count. */
  readonly vocabulary: number;
  readonly width: number;
  readonly #stored: Safetensors;
  readonly #weight: StoredTensor & { readonly dtype: FloatDType };
  readonly #bias: Float32Array | null;
  #buffer = new Uint8Array(0);

  private constructor(
    config: HeadConfig,
    vocabulary: number,
    stored: Safetensors,
    weight: StoredTensor & { readonly dtype: FloatDType },
    bias: Float32Array | null,
  ) {
    const [rows = 0, width = 0] = weight.shape;
    this.config = config;
    this.vocabulary = Math.min(rows, vocabulary);
    this.width = width;
    this.#stored = stored;
    this.#weight = weight;
    this.#bias = bias;
  }

  /**
   * Opens the checkpoint at `path`: a safetensors file, the index of its shards, or a folder that holds either.
   *
   * @param vocabulary tokens of the model by the dumps' word, null where they do not say: padding behind them is
   *   left out.
   * @param hidden width of what the dumps' final norms give.
   * @param columns of the logits that a side stores, null where none does: an engine may leave padding out that the
   *   configuration counts.
   * @throws NpuDiffError `lm-head` where it holds no head of that width and vocabulary; those of the file
   */
  static open(
    path: string,
    vocabulary: number | null,
    hidden: number,
    columns: number | null,
  ): HeadWeights {
    const stored = openSafetensors(path);
    try {
      const place = stored.files[0]?.path ?? path;
      const config = readHeadConfig(place);
      const { weight, bias } = findHead(stored.tensors, config.tied, path);
      const { dtype, name, shape } = weight;
      const [rows = 0, width = 0] = shape;
      if (!isFloatDType(dtype)) throw new RangeError(`${name} was let through`);
      const found = { label: "found", text: `${name} [${shape.join(", ")}]` };
      if (width !== hidden) {
        throw headError("the lm_head is not of the model that was captured", path, [
          found,
          { label: "expected", text: `hidden size ${hidden}, as norm has in the dumps` },
        ]);
      }
      if (vocabulary !== null && rows < vocabulary) {
        throw headError("the lm_head has fewer tokens than the model that was captured", path, [
          found,
          { label: "expected", text: `model.vocab_size ${vocabulary} of the dumps` },
        ]);
      }
      if (bias !== null && (bias.shape.length !== 1 || bias.shape[0] !== rows)) {
        throw headError("the bias of the lm_head does not fit its weight", path, [
          found,
          { label: "bias", text: `${bias.name} [${bias.shape.join(", ")}]` },
        ]);
      }
      const terms = bias === null ? null : Float32Array.from(wholeOf(bias, path));
      const told = vocabulary ?? rows;
      const kept = columns !== null && isPadded(told, columns) ? columns : told;
      return new HeadWeights(config, kept, stored, { ...weight, dtype }, terms);
    } catch (error) {
      stored.close();
      throw error;
    }
  }

  /** Name of the weight, such as `lm_head.weight`. */
  get name(): string {
    return this.#weight.name;
  }

  get dtype(): FloatDType {
    return this.#weight.dtype;
  }

  /** Bytes of the weight as it is stored. */
  get bytes(): number {
    return this.#weight.bytes;
  }

  /** Rows of the weight behind the vocabulary. */
  get padding(): number {
    return (this.#weight.shape[0] ?? 0) - this.vocabulary;
  }

  /** The file that holds the weight, without its folder. */
  get file(): string {
    return this.#weight.file.name;
  }

  /** Fills `out` with rows `first …` of W, as float32; its length is whole rows. */
  readRows(first: number, out: Float32Array): void {
    const { dtype, file, position } = this.#weight;
    const size = DTYPES[dtype].bytes;
    const bytes = out.length * size;
    if (this.#buffer.length < bytes) this.#buffer = new Uint8Array(bytes);
    const target = this.#buffer.subarray(0, bytes);
    file.readInto(position + first * this.width * size, target);
    castToFloat32(dtype, target, out);
  }

  /** Makes logits of products W·h in place: columns `first … first+columns` of every row of `tile`. */
  finish(first: number, columns: number, tile: Float32Array): void {
    const { scale, softcap } = this.config;
    const bias = this.#bias;
    if (bias === null && scale === 1 && softcap === null) return;
    for (let at = 0; at < tile.length; at += columns) {
      for (let i = 0; i < columns; i += 1) {
        const sum = (tile[at + i] as number) + (bias?.[first + i] ?? 0);
        const scaled = sum * scale;
        tile[at + i] = softcap === null ? scaled : softcap * Math.tanh(scaled / softcap);
      }
    }
  }

  /** The weights of the final norm; null where the checkpoint has none, or several that could be it. */
  finalNorm(): NormWeights | null {
    const found = findFinalNorm(this.#stored.tensors, this.width);
    if (found === null) return null;
    const { weight, bias } = found;
    const path = weight.file.path;
    return {
      name: weight.name,
      weight: wholeOf(weight, path),
      bias: bias?.shape[0] === this.width ? wholeOf(bias, path) : null,
    };
  }

  /**
   * The SHA-256 of the checkpoint as `weights_sha256` of a dump is made: of several files that of their hex
   * digests, sorted by file name, joined by newlines. Null where it is too large to be hashed by the way.
   */
  sha256(): string | null {
    const { files } = this.#stored;
    if (files.reduce((sum, { size }) => sum + size, 0) > MOST_HASHED) return null;
    const digests = files.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(digestOf);
    const [only] = digests;
    if (only !== undefined && digests.length === 1) return only;
    return createHash("sha256").update(digests.join("\n")).digest("hex");
  }

  close(): void {
    this.#stored.close();
  }
}

/** Values of a tensor of one axis. */
function wholeOf({ name, dtype, file, position, bytes }: StoredTensor, path: string): Float64Array {
  if (!isFloatDType(dtype)) {
    throw headError("a part of the lm_head is not stored as it is", path, [
      { label: "found", text: `${name} ${dtype}` },
      { label: "expected", text: "floating-point numbers" },
    ]);
  }
  const values = new Float32Array(bytes / DTYPES[dtype].bytes);
  castToFloat32(dtype, file.read(position, bytes), values);
  return Float64Array.from(values);
}

function digestOf(file: DumpFile): string {
  const hash = createHash("sha256");
  for (let at = 0; at < file.size; at += HASH_BLOCK) {
    hash.update(file.read(at, Math.min(HASH_BLOCK, file.size - at)));
  }
  return hash.digest("hex");
}
