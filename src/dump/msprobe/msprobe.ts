/** Dumps of Ascend's msprobe (mindstudio-probe), without torch. */

import { counted } from "../../core/counted.ts";
import { DTYPES, type DType, isFloatDType } from "../../core/dtype.ts";
import { NpuDiffError } from "../../core/errors.ts";
import type { ForeignContents, ForeignTensor } from "../foreign/foreign-tensor.ts";
import type { Remark } from "../imported.ts";
import { readDumpJson, readParents, type TensorRecord } from "./dump-json.ts";
import { findMsprobe, type StepDump, tensorFilesIn, tensorFolderOf } from "./find-dumps.ts";
import { type Entry, EntryNames, nameOf } from "./names.ts";
import { statisticsOf } from "./statistics.ts";
import { TensorFiles } from "./tensor-files.ts";

/** torch's and MindSpore's names of the dtypes of a dump. */
const DTYPE_OF: Readonly<Record<string, DType>> = {
  float64: "F64",
  double: "F64",
  float32: "F32",
  float: "F32",
  float16: "F16",
  half: "F16",
  bfloat16: "BF16",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  int64: "I64",
  long: "I64",
  int32: "I32",
  int: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

/**
 * The contents of the dump of msprobe at `path`: a dump.json, its folder, or the folder of steps above; null where it
 * is none.
 *
 * A step of ours is a pass of the model: of several `step` folders the number of the folder, of one the number of the
 * call. Tensors are compared by their data where a file has it, else by their statistics.
 *
 * @throws NpuDiffError `dump-schema` where several ranks lie there, or steps of several calls each; the codes of
 *   the readers of its files
 */
export function readMsprobe(path: string): ForeignContents | null {
  const found = findMsprobe(path);
  return found.length === 0 ? null : new Reader(path, found).read();
}

class Reader {
  readonly #path: string;
  readonly #dumps: readonly StepDump[];
  readonly #tensors: ForeignTensor[] = [];
  readonly #skipped: Remark[] = [];
  readonly #files: TensorFiles[] = [];
  readonly #taken = new Set<string>();
  #bytes = 0;

  constructor(path: string, dumps: readonly StepDump[]) {
    this.#path = path;
    this.#dumps = dumps;
  }

  read(): ForeignContents {
    try {
      const told = this.#dumps.map((dump) => this.#readStep(dump));
      const [first] = told;
      return {
        format: "msprobe",
        tensors: this.#tensors,
        skipped: this.#skipped,
        run: { msprobe: first },
        sources: this.#files.flatMap(({ sources }) => sources),
        bytes: this.#bytes,
      };
    } catch (error) {
      for (const files of this.#files) files.close();
      throw error;
    }
  }

  /** Takes up the tensors of one dump.json, and tells what it says of itself. */
  #readStep({ path, step }: StepDump): Readonly<Record<string, string>> {
    const json = readDumpJson(path);
    const files = new TensorFiles(json.file);
    this.#files.push(files);
    const names = new EntryNames(readParents(path));
    const entries = new Map<string, Entry>();
    const twins = twinsOf(json.records);
    for (const record of json.records) {
      const entry = entries.get(record.entry) ?? names.of(record.entry);
      entries.set(record.entry, entry);
      this.#take(record, entry, twins.has(record.entry), step, files);
    }
    this.#bytes += json.file.size + files.bytes;
    for (const name of tensorFilesIn(tensorFolderOf(path))) {
      if (files.names.has(name)) continue;
      this.#skipped.push({ name, why: "no entry in dump.json: was the dump cut off?" });
    }
    const { task, level, framework } = json;
    return { task, level, framework };
  }

  #take(
    { entry: title, part, keys, shape, leaf }: TensorRecord,
    entry: Entry,
    hasTwin: boolean,
    folder: number | null,
    files: TensorFiles,
  ): void {
    const dtype = dtypeOf(leaf["dtype"]);
    const raw = [title, part, ...keys].filter((one) => one !== "").join(".");
    const step = this.#stepOf(entry, folder);
    const isInteger = dtype !== null && !isFloatDType(dtype) && dtype !== "BOOL";
    const name = nameOf({ entry, part, keys, isInteger, hasTwin });
    const place = { name: this.#free(name, raw, step), module: raw, step };
    const tensor = dataOf(leaf, files) ?? statisticsAlone(leaf, dtype, shape);
    if ("why" in tensor) this.#skipped.push({ name: raw, why: tensor.why });
    else this.#tensors.push({ ...tensor, ...place });
  }

  /** `name` where no tensor of the step has it, else `raw`. */
  #free(name: string, raw: string, step: number): string {
    const key = `${step} ${name}`;
    if (this.#taken.has(key)) return raw;
    this.#taken.add(key);
    return name;
  }

  #stepOf({ call }: Entry, folder: number | null): number {
    if (this.#dumps.length === 1) return call;
    if (call === 0) return folder ?? 0;
    const [first] = this.#dumps;
    throw new NpuDiffError("dump-schema", {
      what: "the dump has several steps, and several calls of a module in one of them",
      facts: [
        { label: "folder", text: this.#path },
        {
          label: "found",
          text: `${counted(this.#dumps.length, "step")}, call ${call} in step ${folder ?? 0}`,
        },
        { label: "expected", text: "one step, or one call of each module a step" },
      ],
      help: `give one step on both sides, such as ${this.#path}/step${first?.step ?? 0}`,
    });
  }
}

/** Entries whose outputs 0 and 1 are alike. */
function twinsOf(records: readonly TensorRecord[]): ReadonlySet<string> {
  const first = new Map<string, string>();
  const twins = new Set<string>();
  for (const { entry, part, keys, shape, leaf } of records) {
    if (part !== "output" || keys.length !== 1) continue;
    const alike = JSON.stringify([shape, leaf["dtype"]]);
    if (keys[0] === "0") first.set(entry, alike);
    if (keys[0] === "1" && first.get(entry) === alike) twins.add(entry);
  }
  return twins;
}

type Found = Pick<ForeignTensor, "dtype" | "shape" | "pieces" | "stats" | "assumed">;

/** What a tensor's file holds, whatever dump.json says of it; null where there is none. */
function dataOf(
  leaf: TensorRecord["leaf"],
  files: TensorFiles,
): Pick<ForeignTensor, "dtype" | "shape" | "pieces"> | null {
  const name = leaf["data_name"];
  return typeof name === "string" ? files.read(name) : null;
}

function statisticsAlone(
  leaf: TensorRecord["leaf"],
  dtype: DType | null,
  shape: readonly number[],
): Found | { readonly why: string } {
  const lacks = typeof leaf["data_name"] === "string" ? "its file is missing; " : "";
  if (dtype === null) return { why: `${lacks}statistics of ${String(leaf["dtype"]).slice(0, 40)}` };
  if (!isFloatDType(dtype)) return { why: `${lacks}statistics of integers are not compared` };
  const elements = shape.reduce((product, length) => product * length, 1);
  if (!Number.isSafeInteger(elements * DTYPES[dtype].bytes)) return { why: "an impossible shape" };
  const told = statisticsOf(leaf, elements, dtype);
  if ("why" in told) {
    const sum = typeof leaf["md5"] === "string" && told.why === "no statistics";
    return { why: `${lacks}${sum ? "a checksum alone" : told.why}` };
  }
  const assumed = [lacks === "" ? "" : `${lacks}its statistics are compared`, told.assumed ?? ""];
  const said = assumed.filter((one) => one !== "").join("; ");
  return {
    dtype,
    shape,
    pieces: null,
    stats: told.stats,
    ...(said === "" ? {} : { assumed: said }),
  };
}

function dtypeOf(value: unknown): DType | null {
  const name = typeof value === "string" ? value.replace(/^(?:torch|mindspore)\./, "") : "";
  const key = name.toLowerCase();
  return Object.hasOwn(DTYPE_OF, key) ? (DTYPE_OF[key] ?? null) : null;
}
