/** NumPy's files: one array (.npy), or an archive of them (.npz). */

import { parse } from "node:path";
import { counted } from "../../core/counted.ts";
import { DTYPES } from "../../core/dtype.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import type { DumpFile } from "../dump-file.ts";
import type { ForeignContents, ForeignTensor, Piece } from "../foreign/foreign-tensor.ts";
import type { Remark } from "../imported.ts";
import { Spool } from "../spool.ts";
import { readZip, unzipped, type ZipEntry } from "../zip.ts";
import { MAX_NPY_HEADER, type NpyHeader, readNpyHeader } from "./npy-header.ts";
import { converted, transposed } from "./rewrite.ts";

const PREFIX = 12;

/** Of V1, as which NumPy stores every format of one byte but float8_e5m2. */
const GUESSED = "stored as V1, taken for float8_e4m3fn";

/** What an array is called in messages, and how one says what is wrong with it. */
interface Place {
  readonly label: string;
  readonly file: DumpFile;
}

/**
 * Reads the array of a .npy file, under the file's name without its extension.
 *
 * @throws NpuDiffError `dump-corrupt`; `dump-schema` where it holds no numbers of a dump
 */
export function readNpy(file: DumpFile): ForeignContents {
  const scratch = new Scratch();
  try {
    const place = { label: file.name, file };
    const piece = { source: file, position: 0, bytes: file.size };
    const tensor = tensorOf(parse(file.name).name, piece, place, scratch);
    if ("why" in tensor) throw unreadable(place, tensor.why);
    return contents("npy", file, [tensor], [], scratch);
  } catch (error) {
    scratch.close();
    throw error;
  }
}

/**
 * Reads the arrays of an archive of .npy files. What no dump holds (texts, Python objects, complex numbers) is left
 * out, and listed.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-truncated`; `dump-schema` where it holds none, or one is no array
 *   of NumPy's
 */
export function readNpz(
  file: DumpFile,
  entries: readonly ZipEntry[] = readZip(file),
): ForeignContents {
  const scratch = new Scratch();
  try {
    const tensors: ForeignTensor[] = [];
    const skipped: Remark[] = [];
    for (const entry of entries) {
      const name = entry.name.replace(/\.npy$/, "");
      if (name === entry.name) {
        skipped.push({ name, why: "no .npy" });
        continue;
      }
      const place = { label: `${file.name}: ${JSON.stringify(name)}`, file };
      const tensor = tensorOf(
        name,
        unzipped(file, entry, () => scratch.spool),
        place,
        scratch,
      );
      if ("why" in tensor) skipped.push(tensor);
      else tensors.push(tensor);
    }
    const [first] = skipped;
    if (tensors.length === 0 && first !== undefined) throw noArrays(file, first, skipped.length);
    return contents("npz", file, tensors, skipped, scratch);
  } catch (error) {
    scratch.close();
    throw error;
  }
}

/** One temporary file for all arrays that need it. */
class Scratch {
  #spool: Spool | null = null;

  get spool(): Spool {
    return (this.#spool ??= Spool.create());
  }

  get open(): readonly Spool[] {
    return this.#spool === null ? [] : [this.#spool];
  }

  close(): void {
    this.#spool?.close();
  }
}

function contents(
  format: string,
  file: DumpFile,
  tensors: readonly ForeignTensor[],
  skipped: readonly Remark[],
  scratch: Scratch,
): ForeignContents {
  const sources = [file, ...scratch.open];
  return { format, tensors, skipped, run: {}, sources, bytes: file.size };
}

/** The array that lies in `piece`, header and all; why not, where it holds what no dump does. */
export function tensorOf(
  name: string,
  piece: Piece,
  place: Place,
  scratch: { readonly spool: Spool },
): ForeignTensor | Remark {
  const head = new Uint8Array(Math.min(piece.bytes, MAX_NPY_HEADER + PREFIX));
  piece.source.readInto(piece.position, head);
  const header = readNpyHeader(head);
  if ("problem" in header) {
    if (header.isWhole) return { name, why: header.problem };
    throw unreadable(place, header.problem);
  }
  const { dtype, shape, fortran, conversion, guessed } = header;
  const stored = storedBytes(header);
  const data = {
    source: piece.source,
    position: piece.position + header.length,
    bytes: piece.bytes - header.length,
  };
  const elements = shape.reduce((product, length) => product * length, 1);
  if (elements * stored !== data.bytes) {
    throw place.file.corrupt(`${place.label} has data that does not fit its shape`, {
      found: counted(data.bytes, "byte"),
      expected: `${counted(elements * stored, "byte")} of [${shape.join(", ")}]`,
    });
  }
  const tensor = { name, dtype, shape, ...(guessed ? { assumed: GUESSED } : {}) };
  if (conversion.kind === "none" && !fortran) return { ...tensor, pieces: [data] };
  const straight = conversion.kind === "none" ? data : converted(data, conversion, scratch.spool);
  const pieces = [
    fortran ? transposed(straight, shape, DTYPES[dtype].bytes, scratch.spool) : straight,
  ];
  return { ...tensor, pieces };
}

function storedBytes({ dtype, conversion }: NpyHeader): number {
  return conversion.kind === "widen" ? conversion.bytes : DTYPES[dtype].bytes;
}

function noArrays(file: DumpFile, { name, why }: Remark, count: number): NpuDiffError {
  return file.fail(
    "dump-schema",
    `${file.name} is an archive without an array that can be compared`,
    {
      found: `${counted(count, "entry", "entries")}, the first ${JSON.stringify(name.slice(0, 80))}: ${why}`,
      expected: "arrays of numbers in NumPy's format, or tensors of torch.save",
    },
    "give an archive of np.savez or torch.save",
  );
}

function unreadable({ label, file }: Place, problem: string): NpuDiffError {
  return file.fail(
    "dump-schema",
    `${label} is no array that can be compared`,
    { found: problem, expected: "numbers in NumPy's format, versions 1 to 3" },
    "store the array as float64, float32, float16, bfloat16, an integer or bool",
  );
}
