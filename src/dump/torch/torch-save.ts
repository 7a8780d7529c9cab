/** Files of `torch.save` (.pt, .pth, .bin): a ZIP archive of a pickle and of one entry for each storage. */

import { parse } from "node:path";
import { counted } from "../../core/counted.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import { MAX_AXES, MAX_TEXT_BYTES } from "../bounds.ts";
import type { DumpFile } from "../dump-file.ts";
import type { ForeignContents, ForeignTensor, Piece } from "../foreign/foreign-tensor.ts";
import type { Remark } from "../imported.ts";
import { converted } from "../npy/rewrite.ts";
import { Spool } from "../spool.ts";
import { unzipped, type ZipEntry } from "../zip.ts";
import {
  PickleProblem,
  PyDict,
  PyList,
  PyOpaque,
  PyTuple,
  type PyValue,
  readPickle,
} from "./pickle.ts";
import {
  conversionOf,
  DTYPE_NAMES,
  OtherElements,
  TORCH_SYMBOLS,
  TorchStorage,
  TorchTensor,
} from "./torch-objects.ts";
import { elementsOf, endOf, piecesOfView } from "./views.ts";

/** Bytes of the pickle: a tensor takes about 200. */
const MAX_PICKLE_BYTES = 2 ** 26;

/** Nesting of dictionaries and lists, and values in them: one value may stand in many places. */
const MAX_DEPTH = 64;
const MAX_VALUES = 2 ** 20;

/**
 * Tensors may share a storage and repeat elements of it, so that a small file unfolds to anything: all of them
 * together may take so many times the file's size, and this much beside.
 */
const MAX_UNFOLDED = 16;
const UNFOLDED_BESIDE = 2 ** 28;

const PICKLE = /^([^/]+)\/data\.pkl$/;

/** Whether an archive is one of torch.save's. */
export function isTorchArchive(entries: readonly ZipEntry[]): boolean {
  return entries.some(({ name }) => PICKLE.test(name));
}

/**
 * Reads the tensors of a file of `torch.save`: one tensor under the file's name without its extension, or those in
 * dictionaries, lists and tuples, names joined by dots. Other values are left out, and listed.
 *
 * @throws NpuDiffError `dump-schema` where the file holds other objects than tensors; `dump-corrupt`;
 *   `dump-too-large`; `output-unwritable`
 */
export function readTorch(file: DumpFile, entries: readonly ZipEntry[]): ForeignContents {
  const archive = new TorchArchive(file, entries);
  try {
    return archive.read();
  } catch (error) {
    archive.close();
    throw error;
  }
}

class TorchArchive {
  readonly #file: DumpFile;
  readonly #entries: ReadonlyMap<string, ZipEntry>;
  readonly #prefix: string;
  readonly #tensors: ForeignTensor[] = [];
  readonly #skipped: Remark[] = [];
  /** What the first tensor is of whose elements no dump holds. */
  #other: string | null = null;
  /** Storages as they are read, by key and by what was done to their elements. */
  readonly #storages = new Map<string, Piece>();
  #spool: Spool | null = null;
  #bigEndian = false;
  #values = 0;
  #left: number;

  constructor(file: DumpFile, entries: readonly ZipEntry[]) {
    this.#file = file;
    this.#entries = new Map(entries.map((entry) => [entry.name, entry]));
    const pickle = entries.find(({ name }) => PICKLE.test(name));
    this.#prefix = PICKLE.exec(pickle?.name ?? "")?.[1] ?? "";
    this.#left = MAX_UNFOLDED * file.size + UNFOLDED_BESIDE;
  }

  read(): ForeignContents {
    const { name, size } = this.#file;
    if (this.#entry("constants.pkl") !== undefined) {
      throw this.#file.fail(
        "dump-schema",
        `${name} is a program of torch.jit`,
        { found: "constants.pkl in the archive", expected: "tensors" },
        "save the tensors themselves: torch.save(module.state_dict(), …)",
      );
    }
    this.#bigEndian = this.#text("byteorder") === "big";
    const root = this.#unpickle();
    this.#visit(root, "", 0);
    if (this.#tensors.length === 0 && this.#other !== null) throw this.#noTensor(this.#other);
    const sources = this.#spool === null ? [this.#file] : [this.#file, this.#spool];
    const contents = { tensors: this.#tensors, skipped: this.#skipped, run: {} };
    return { format: "torch", ...contents, sources, bytes: size };
  }

  close(): void {
    this.#spool?.close();
  }

  #entry(name: string): ZipEntry | undefined {
    return this.#entries.get(`${this.#prefix}/${name}`);
  }

  #scratch(): Spool {
    return (this.#spool ??= Spool.create());
  }

  #bytes(entry: ZipEntry): Uint8Array {
    const { source, position, bytes } = unzipped(this.#file, entry, () => this.#scratch());
    const target = new Uint8Array(bytes);
    source.readInto(position, target);
    return target;
  }

  /** The text of a small entry; none where there is no such entry. */
  #text(name: string): string {
    const entry = this.#entry(name);
    if (entry === undefined || entry.size > 16) return "";
    return new TextDecoder("latin1").decode(this.#bytes(entry)).trim();
  }

  #unpickle(): PyValue {
    const entry = this.#entry("data.pkl");
    if (entry === undefined || entry.size > MAX_PICKLE_BYTES) {
      throw this.#tooLarge("has too long a pickle", `${entry?.size}`, `${MAX_PICKLE_BYTES} bytes`);
    }
    try {
      return readPickle(this.#bytes(entry), TORCH_SYMBOLS);
    } catch (cause) {
      if (!(cause instanceof PickleProblem)) throw cause;
      const facts = { found: cause.message.slice(0, 400), expected: cause.expected };
      if (cause.damaged) throw this.#file.corrupt("the pickle is damaged", facts, cause);
      throw this.#noTensor(facts.found, facts.expected, cause);
    }
  }

  #noTensor(found: string, expected = DTYPE_NAMES, cause?: unknown): NpuDiffError {
    return this.#file.fail(
      "dump-schema",
      `${this.#file.name} holds what is no tensor that can be compared; nothing of it was run`,
      { found, expected },
      SAVE_TENSORS,
      cause,
    );
  }

  #visit(value: PyValue, name: string, depth: number): void {
    this.#values += 1;
    if (depth > MAX_DEPTH || this.#values > MAX_VALUES || name.length > MAX_TEXT_BYTES) {
      throw this.#tooLarge(
        "nests too much",
        `depth ${depth}, ${counted(this.#values, "value")}, a name of ${counted(name.length, "character")}`,
        `${MAX_DEPTH}, ${MAX_VALUES} and ${MAX_TEXT_BYTES}`,
      );
    }
    const inner = (key: string, one: PyValue): void => {
      this.#visit(one, name === "" ? key : `${name}.${key}`, depth + 1);
    };
    if (value instanceof TorchTensor) {
      this.#tensors.push(this.#tensorOf(value, name === "" ? parse(this.#file.name).name : name));
    } else if (value instanceof PyDict) {
      for (const [key, one] of value.entries) inner(keyText(key), one);
    } else if (value instanceof PyList || value instanceof PyTuple) {
      for (const [i, one] of value.items.entries()) inner(String(i), one);
    } else if (value instanceof OtherElements) {
      this.#other ??= `elements of ${value.dtype}`;
      this.#skipped.push({ name, why: `elements of ${value.dtype}` });
    } else {
      this.#skipped.push({ name, why: `no tensor: ${kindOf(value)}` });
    }
  }

  #tensorOf({ storage, dtype, view }: TorchTensor, name: string): ForeignTensor {
    const { shape } = view;
    const width = storage.dtype?.bytes ?? 1;
    const elements = elementsOf(view);
    const label = JSON.stringify(name.slice(0, 200));
    if (shape.length > MAX_AXES) {
      throw this.#tooLarge(`has the tensor ${label}`, `${shape.length} axes`, `${MAX_AXES}`);
    }
    const end = endOf(view) * dtype.bytes;
    if (!Number.isSafeInteger(elements * 8) || !(end <= storage.length * width)) {
      throw this.#file.corrupt(`the tensor ${label} reaches beyond its storage`, {
        found: `byte ${end} of [${shape.join(", ")}] with strides [${view.strides.join(", ")}]`,
        expected: counted(storage.length * width, "byte"),
      });
    }
    this.#left -= elements * dtype.bytes;
    if (this.#left < 0) {
      throw this.#tooLarge(
        `has tensors far larger than it, up to ${label}`,
        `[${shape.join(", ")}] with strides [${view.strides.join(", ")}]`,
        `${MAX_UNFOLDED} times the file's ${this.#file.size} bytes, and ${UNFOLDED_BESIDE} beside`,
      );
    }
    if (elements === 0) return { name, dtype: dtype.dtype, shape, pieces: [] };
    const piece = this.#storageOf(storage, dtype);
    const size = piece.bytes / ((storage.length * width) / dtype.bytes);
    const pieces = piecesOfView(piece, view, size, () => this.#scratch());
    if (pieces === null) {
      throw this.#tooLarge(
        `has the tensor ${label} scattered over its storage`,
        `[${shape.join(", ")}] with strides [${view.strides.join(", ")}]`,
        "a tensor that lies together",
      );
    }
    return { name, dtype: dtype.dtype, shape, pieces };
  }

  /** The bytes of a storage, little-endian, in one of our dtypes. */
  #storageOf(storage: TorchStorage, dtype: TorchTensor["dtype"]): Piece {
    const conversion = conversionOf(dtype, this.#bigEndian);
    const bytes = storage.length * (storage.dtype?.bytes ?? 1);
    // The length as well: two tensors may tell different ones.
    const key = `${JSON.stringify(conversion)} ${bytes} ${storage.key}`;
    const there = this.#storages.get(key);
    if (there !== undefined) return there;
    const entry = this.#entry(`data/${storage.key}`);
    const label = `the storage ${JSON.stringify(storage.key.slice(0, 80))}`;
    if (entry?.size !== bytes || bytes % dtype.bytes !== 0) {
      const found = entry === undefined ? "no such entry" : counted(entry.size, "byte");
      throw this.#file.corrupt(`${label} is not there as the pickle says`, {
        found,
        expected: `${counted(bytes, "byte")}, elements of ${dtype.bytes}`,
      });
    }
    const stored = unzipped(this.#file, entry, () => this.#scratch());
    const piece =
      conversion.kind === "none" ? stored : converted(stored, conversion, this.#scratch());
    this.#storages.set(key, piece);
    return piece;
  }

  #tooLarge(what: string, found: string, expected: string): NpuDiffError {
    return this.#file.fail(
      "dump-too-large",
      `${this.#file.name} ${what}`,
      { found, expected: `at most ${expected}` },
      "save the tensors themselves: torch.save({name: tensor.contiguous() …})",
    );
  }
}

const SAVE_TENSORS =
  "save the tensors alone: torch.save({name: tensor.detach().cpu() …}), or safetensors.torch.save_file";

/** Keys of a dictionary as parts of names. */
function keyText(key: PyValue): string {
  if (typeof key === "string") return key;
  if (typeof key === "object" && key !== null) return kindOf(key);
  return String(key);
}

function kindOf(value: PyValue): string {
  if (value === null) return "None";
  if (value instanceof PyOpaque) return value.what;
  if (value instanceof TorchStorage) return "a storage";
  return typeof value === "object" ? "an object" : typeof value;
}

/** The magic number that files of torch.save began with before 1.6: a pickle of its own. */
const LEGACY = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/** Refuses pickles that are no archive of torch.save: there is no telling them apart from programs. */
export function refusePickle(file: DumpFile, head: Uint8Array): void {
  const isPickle = head[0] === 0x80 && (head[1] ?? 0) >= 1 && (head[1] ?? 0) <= 5;
  if (!isPickle) return;
  const isLegacy = LEGACY.every((byte, i) => head[i + 2] === byte);
  throw file.fail(
    "dump-schema",
    isLegacy
      ? `${file.name} is in the format that torch.save had before 1.6`
      : `${file.name} is a Python pickle, which may hold programs`,
    { found: "a pickle", expected: "a ZIP archive, as torch.save writes it" },
    isLegacy
      ? "save it again with a newer torch: torch.save(torch.load(FILE, weights_only=True), FILE)"
      : SAVE_TENSORS,
  );
}
