/** The files of the tensors beside a dump.json: one tensor each, as torch or NumPy saves it. */

import { lstatSync } from "node:fs";
import { join } from "node:path";
import type { NpuDiffError } from "../../core/errors.ts";
import type { ByteSource } from "../byte-source.ts";
import { DumpFile } from "../dump-file.ts";
import type { ForeignContents, ForeignTensor, Piece } from "../foreign/foreign-tensor.ts";
import { readNpy } from "../npy/npy.ts";
import { NPY_MAGIC } from "../npy/npy-header.ts";
import { Spool } from "../spool.ts";
import { isTorchArchive, readTorch, refusePickle } from "../torch/torch-save.ts";
import { readZip } from "../zip.ts";
import { tensorFolderOf } from "./find-dumps.ts";

/** Files that stay open: a process may have so many at least, and a comparison has several dumps. */
const MAX_OPEN = 192;

/** Bytes that are copied at a time. */
const BLOCK_BYTES = 2 ** 22;

/** Reads tensors, and keeps open what their bytes lie in. */
export class TensorFiles {
  readonly #folder: string;
  readonly #index: DumpFile;
  readonly #open: ByteSource[] = [];
  readonly #read = new Set<string>();
  #spool: Spool | null = null;
  #bytes = 0;

  constructor(index: DumpFile) {
    this.#index = index;
    this.#folder = tensorFolderOf(index.path);
  }

  get sources(): readonly ByteSource[] {
    return this.#spool === null ? this.#open : [...this.#open, this.#spool];
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Names of the files that were read. */
  get names(): ReadonlySet<string> {
    return this.#read;
  }

  close(): void {
    for (const source of this.sources) source.close();
  }

  /**
   * The tensor of a file; null where there is no such file.
   *
   * @throws NpuDiffError `dump-corrupt` where the name leads out of the folder, or to no regular file; the codes of
   *   the formats' readers
   */
  read(name: string): Pick<ForeignTensor, "dtype" | "shape" | "pieces"> | null {
    const isPlain = !/[\\/\0]/.test(name) && name !== "" && name !== "." && name !== "..";
    if (!isPlain) {
      throw this.#index.corrupt("it names the file of a tensor elsewhere", {
        found: JSON.stringify(name.slice(0, 200)),
        expected: "the name of a file in dump_tensor_data",
      });
    }
    const path = join(this.#folder, name);
    const kind = kindOf(path);
    if (kind === "nothing") return null;
    // A link could lead anywhere.
    if (kind !== "file" || kindOf(this.#folder) !== "folder") throw this.#linked();
    const file = DumpFile.open(path);
    this.#read.add(name);
    this.#bytes += file.size;
    let contents: ForeignContents;
    try {
      contents = contentsOf(file);
    } catch (error) {
      file.close();
      throw error;
    }
    return this.#kept(file, contents);
  }

  #linked(): NpuDiffError {
    return this.#index.corrupt("a tensor's file is a link, or lies behind one", {
      found: "a link, a folder, or a special file",
      expected: "regular files in a folder dump_tensor_data",
    });
  }

  /** Keeps the files open, as long as there are few; copies what lies in all further ones. */
  #kept(file: DumpFile, { tensors, sources }: ForeignContents): ForeignTensor {
    const [tensor, second] = tensors;
    const close = (): void => {
      for (const source of sources) source.close();
    };
    if (tensor === undefined || second !== undefined) {
      close();
      throw file.corrupt("it is the file of one tensor of a dump of msprobe", {
        found: `${tensors.length} tensors`,
        expected: "1",
      });
    }
    if (sources.length === 1 && this.#open.length < MAX_OPEN) {
      this.#open.push(...sources);
      return tensor;
    }
    try {
      return { ...tensor, pieces: (tensor.pieces ?? []).map((piece) => this.#copied(piece)) };
    } finally {
      close();
    }
  }

  #copied({ source, position, bytes }: Piece): Piece {
    const spool = (this.#spool ??= Spool.create());
    const start = spool.size;
    for (let done = 0; done < bytes; done += BLOCK_BYTES) {
      const block = new Uint8Array(Math.min(BLOCK_BYTES, bytes - done));
      source.readInto(position + done, block);
      spool.append(block);
    }
    return { source: spool, position: start, bytes };
  }
}

/** What lies at `path`, links not followed. What cannot be looked at counts as a file: opening it says why. */
function kindOf(path: string): "nothing" | "file" | "folder" | "other" {
  try {
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined) return "nothing";
    if (status.isDirectory()) return "folder";
    return status.isFile() ? "file" : "other";
  } catch {
    return "file";
  }
}

function contentsOf(file: DumpFile): ForeignContents {
  const head = file.read(0, Math.min(file.size, 64));
  if (NPY_MAGIC.every((byte, i) => head[i] === byte)) return readNpy(file);
  refusePickle(file, head);
  const entries = head[0] === 0x50 && head[1] === 0x4b ? readZip(file) : [];
  if (isTorchArchive(entries)) return readTorch(file, entries);
  throw file.fail(
    "dump-schema",
    `${file.name} is no tensor as msprobe saves it`,
    { found: "neither torch's nor NumPy's format", expected: "a .pt or .npy" },
    "dump again",
  );
}
