/** The files of the tensors beside a dump.json: one tensor each, as torch or NumPy saves it. */

import { lstatSync } from "node:fs";
import { join } from "node:path";
import { counted } from "../../core/counted.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import type { ByteSource } from "../byte-source.ts";
import { DumpFile } from "../dump-file.ts";
import type { ForeignContents, ForeignTensor } from "../foreign/foreign-tensor.ts";
import { KeptFiles } from "../foreign/kept-files.ts";
import { readNpy } from "../npy/npy.ts";
import { NPY_MAGIC } from "../npy/npy-header.ts";
import { isTorchArchive, readTorch, refusePickle } from "../torch/torch-save.ts";
import { readZip } from "../zip.ts";
import { tensorFolderOf } from "./find-dumps.ts";

/** Reads tensors, and keeps open what their bytes lie in. */
export class TensorFiles {
  readonly #folder: string;
  readonly #index: DumpFile;
  readonly #files = new KeptFiles();
  readonly #read = new Set<string>();

  constructor(index: DumpFile) {
    this.#index = index;
    this.#folder = tensorFolderOf(index.path);
  }

  get sources(): readonly ByteSource[] {
    return this.#files.sources;
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#files.bytes;
  }

  /** Names of the files that were read. */
  get names(): ReadonlySet<string> {
    return this.#read;
  }

  close(): void {
    this.#files.close();
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

  #kept(file: DumpFile, contents: ForeignContents): ForeignTensor {
    const { tensors, sources } = contents;
    if (tensors.length !== 1) {
      for (const source of sources) source.close();
      throw file.corrupt("it is the file of one tensor of a dump of msprobe", {
        found: counted(tensors.length, "tensor"),
        expected: "1",
      });
    }
    return this.#files.keep(contents)[0] as ForeignTensor;
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
