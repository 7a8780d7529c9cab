/** A dump out of a file or folder that is not in our own format. */

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { counted } from "../../core/counted.ts";
import { DTYPES, isDType } from "../../core/dtype.ts";
import { NpuDiffError } from "../../core/errors.ts";
import { MAX_AXES, MAX_COUNT, MAX_ROWS, MAX_TEXT_BYTES } from "../bounds.ts";
import { tensorName } from "../contract.ts";
import {
  type Dump,
  dataBytes,
  type FileRange,
  type Located,
  type RunMetadata,
  type TensorEntry,
} from "../dump.ts";
import { importedJson, readImported } from "../imported.ts";
import { END_TO_END } from "../join.ts";
import { isJsonObject } from "../json.ts";
import { ComputedDType } from "./computed-dtype.ts";
import type { ForeignContents, Piece } from "./foreign-tensor.ts";
import { type PlacedTensor, placeTensors, slicePieces } from "./place-tensors.ts";

/** Bytes from the start of each tensor that the id of a dump is made of, and of all together. */
const ID_BYTES = 4096;
const ID_BYTES_IN_ALL = 2 ** 22;

/**
 * Makes a dump of what a reader found. The dump keeps the sources and closes them.
 *
 * @throws NpuDiffError `dump-corrupt` where a tensor is impossible, or two have one name and place
 */
export function foreignDump(path: string, contents: ForeignContents): Dump {
  return new ForeignDump(path, contents);
}

class ForeignDump implements Dump {
  readonly file: string;
  readonly bytes: number;
  readonly run: RunMetadata;
  readonly end = {};
  readonly repaired = false;
  readonly ranks = 1;
  readonly tensors: readonly TensorEntry[];
  readonly #pieces = new Map<string, readonly Piece[]>();
  readonly #contents: ForeignContents;

  constructor(path: string, contents: ForeignContents) {
    this.file = basename(path);
    this.bytes = contents.bytes;
    this.#contents = contents;
    const placed = placeTensors(contents.tensors, this.file);
    if (placed.length > MAX_ROWS) {
      throw this.#corrupt("holds too many tensors", `${placed.length}`, `at most ${MAX_ROWS}`);
    }
    this.tensors = placed.map((tensor) => this.#entryOf(tensor));
    const computed = new ComputedDType();
    const id = this.#identity(computed);
    this.run = runOf(contents, computed, id);
  }

  read(entry: TensorEntry, offset: number, target: Uint8Array): void {
    let done = 0;
    for (const piece of this.#piecesOf(entry, offset, target.length)) {
      piece.source.readInto(piece.position, target.subarray(done, done + piece.bytes));
      done += piece.bytes;
    }
  }

  locate(entry: TensorEntry, offset: number, length: number): Located {
    const strand = this.#piecesOf(entry, offset, length).map(
      ({ source, position, bytes }): FileRange => ({
        descriptor: source.descriptor,
        position,
        bytes,
      }),
    );
    return { join: END_TO_END, strands: [strand] };
  }

  close(): void {
    for (const source of this.#contents.sources) source.close();
  }

  #piecesOf(entry: TensorEntry, offset: number, length: number): readonly Piece[] {
    const size = dataBytes(entry);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of a tensor of ${size} bytes`);
    }
    return slicePieces(this.#pieces.get(keyOf(entry)) ?? [], offset, length);
  }

  /** Checks a tensor, and keeps where its data lies. */
  #entryOf(tensor: PlacedTensor): TensorEntry {
    const { name, module, dtype, shape, pieces, sample, step } = tensor;
    const rank = tensor.rank ?? 0;
    const key = keyOf({ name, sample, step, rank });
    const label = JSON.stringify(name.slice(0, 200));
    if (name === "" || Buffer.byteLength(name) > MAX_TEXT_BYTES) {
      const found = counted(Buffer.byteLength(name), "byte");
      throw this.#corrupt("has a tensor's name of impossible length", found, "1 byte to 64 KiB");
    }
    if (this.#pieces.has(key)) {
      throw this.#corrupt(
        "holds one tensor twice",
        `${label} of sample ${sample}, step ${step}, again`,
        "each once",
      );
    }
    let elements = 1;
    for (const length of shape) elements *= length;
    const legal = shape.every((length) => Number.isSafeInteger(length) && length >= 0);
    if (!legal || shape.length > MAX_AXES || !(elements * DTYPES[dtype].bytes <= MAX_COUNT)) {
      throw this.#corrupt(
        "holds a tensor of an impossible shape",
        `${label} [${shape.slice(0, MAX_AXES).join(", ")}] of ${dtype}`,
        `lengths from 0 on, at most ${MAX_AXES}, of ${MAX_COUNT} bytes`,
      );
    }
    const encoding = pieces === null ? "stats" : "dense";
    const held = (pieces ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
    const needed = dataBytes({ encoding, elements, dtype });
    if (held !== needed) {
      throw this.#corrupt(
        "holds a tensor whose data does not fit its shape",
        `${counted(held, "byte")} for ${label}`,
        counted(needed, "byte"),
      );
    }
    this.#pieces.set(key, pieces ?? []);
    const role = tensorName(name);
    return {
      name,
      kind: kindOf(name),
      layer: role.layer,
      module: module === name ? null : module,
      sample,
      step,
      repeat: 0,
      rank,
      dtype,
      shape,
      encoding,
      stats: tensor.stats ?? null,
      elements,
      chunks: [],
    };
  }

  /**
   * An id that copies of a file share and files of other contents hardly ever do: out of names, shapes and the
   * first bytes of each tensor. No reading in full for it, and nothing of the file's name or time. `computed` is shown
   * the same bytes.
   */
  #identity(computed: ComputedDType): string {
    const hash = createHash("sha256");
    let left = ID_BYTES_IN_ALL;
    for (const entry of this.tensors) {
      hash.update(JSON.stringify([entry.name, entry.sample, entry.step, entry.rank, entry.dtype]));
      hash.update(JSON.stringify([entry.shape, entry.stats]));
      const bytes = new Uint8Array(Math.min(ID_BYTES, left, dataBytes(entry)));
      this.read(entry, 0, bytes);
      hash.update(bytes);
      computed.add(entry, bytes);
      left -= bytes.length;
    }
    return hash.digest("hex").slice(0, 32);
  }

  #corrupt(what: string, found: string, expected: string): NpuDiffError {
    return new NpuDiffError("dump-corrupt", {
      what: `${this.file} ${what}`,
      facts: [
        { label: "file", text: this.file },
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "write the file again with the tool that made it",
    });
  }
}

function keyOf({
  name,
  sample,
  step,
  rank,
}: Pick<TensorEntry, "name" | "sample" | "step" | "rank">): string {
  return `${sample},${step},${rank},${name}`;
}

function kindOf(name: string): string {
  const { role } = tensorName(name);
  if (name === "input_ids" || name === "position_ids") return "tokens";
  if (role === "other") return "other";
  return role === "logits" || role === "router" ? role : "hidden";
}

/** The run as far as another format tells it. What is absent was not captured. */
function runOf(
  { format, skipped, run, tensors }: ForeignContents,
  computed: ComputedDType,
  id: string,
): RunMetadata {
  const { tool, id: own, dtype: told, capture } = run;
  const isTold = typeof told === "string" && isDType(told);
  const assumed = tensors.flatMap(({ name, assumed: why }) =>
    why === undefined ? [] : [{ name, why }],
  );
  const before = readImported(run);
  return {
    ...run,
    tool: tool ?? { name: format },
    id: typeof own === "string" && own !== "" ? own : id,
    dtype: isTold ? told : computed.dtype,
    capture: { select: [], ...(isJsonObject(capture) ? capture : {}) },
    imported: importedJson(
      format,
      [...(before?.skipped.first ?? []), ...skipped],
      [...(before?.assumed.first ?? []), ...(isTold ? [] : computed.remarks), ...assumed],
    ),
  };
}
