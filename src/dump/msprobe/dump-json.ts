/** A dump.json of msprobe and the construct.json beside it. */

import { dirname, join } from "node:path";
import { counted } from "../../core/counted.ts";
import type { ErrorCode, NpuDiffError } from "../../core/errors.ts";
import { reasonOf } from "../../core/errors.ts";
import { depthOf } from "../../core/json-depth.ts";
import { MAX_AXES, MAX_JSON_DEPTH, MAX_MSPROBE_JSON_BYTES, MAX_ROWS } from "../bounds.ts";
import { DumpFile } from "../dump-file.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { parsePythonJson } from "../python-json.ts";

/** A tensor of an entry. */
export interface TensorRecord {
  readonly entry: string;
  /** `input`, `kwargs`, `output`, `parameters`, or empty of gradients. */
  readonly part: string;
  readonly keys: readonly string[];
  readonly shape: readonly number[];
  readonly leaf: JsonObject;
}

export interface DumpJson {
  readonly file: DumpFile;
  readonly task: string;
  readonly level: string;
  readonly framework: string;
  readonly records: readonly TensorRecord[];
}

/** The parts of an entry, as its tensors' files call them. */
const PARTS: Readonly<Record<string, string>> = {
  input_args: "input",
  input_kwargs: "kwargs",
  input: "input",
  output: "output",
  parameters: "parameters",
};

const KIND = {
  expected: "a dump.json of msprobe",
  help: "give the folder that holds dump.json",
  whenEmpty: "dump again: msprobe wrote nothing, or was ended before it did",
};

/**
 * Reads a dump.json. The file is closed.
 *
 * @throws NpuDiffError `file-…`, `dump-corrupt`, `dump-schema`, `dump-too-large`
 */
export function readDumpJson(path: string): DumpJson {
  const { file, value } = readJson(path);
  const { data, task, level, framework } = value;
  if (!isJsonObject(data)) {
    throw file.fail(
      "dump-schema",
      `${file.name} is no dump of msprobe`,
      { found: `no data among ${Object.keys(value).slice(0, 8).join(", ")}`, expected: "data" },
      "give the dump.json that msprobe wrote, or its folder",
    );
  }
  const records: TensorRecord[] = [];
  for (const [entry, parts] of Object.entries(data)) {
    if (!isJsonObject(parts)) continue;
    for (const [key, part] of Object.entries(parts)) {
      const name = Object.hasOwn(PARTS, key) ? (PARTS[key] ?? "") : null;
      walk(file, part, records, { entry, part: name ?? "", keys: name === null ? [key] : [] });
    }
  }
  return { file, task: text(task), level: text(level), framework: text(framework), records };
}

/** Of each entry the one around it; nothing where the file is missing. Megatron's hold a number beside the parent. */
export function readParents(dumpJson: string): ReadonlyMap<string, string> {
  const path = join(dirname(dumpJson), "construct.json");
  const parents = new Map<string, string>();
  let value: JsonObject;
  try {
    ({ value } = readJson(path));
  } catch (error) {
    if (codeOf(error) === "file-not-found" || codeOf(error) === "file-empty") return parents;
    throw error;
  }
  for (const [child, found] of Object.entries(value)) {
    const parent: unknown = Array.isArray(found) ? found[0] : found;
    if (typeof parent === "string") parents.set(child, parent);
  }
  return parents;
}

function codeOf(error: unknown): ErrorCode | null {
  return error instanceof Error && "code" in error ? (error as NpuDiffError).code : null;
}

function readJson(path: string): { readonly file: DumpFile; readonly value: JsonObject } {
  const file = DumpFile.open(path, KIND);
  try {
    if (file.size > MAX_MSPROBE_JSON_BYTES) {
      throw file.fail(
        "dump-too-large",
        `${file.name} is too long`,
        { found: `${file.size} bytes`, expected: `at most ${MAX_MSPROBE_JSON_BYTES}` },
        "dump fewer entries: level L0 instead of L1 or mix, or a list or scope in msprobe's config",
      );
    }
    const json = new TextDecoder().decode(file.read(0, file.size));
    const depth = depthOf(json);
    if (depth > MAX_JSON_DEPTH) {
      throw file.corrupt("the JSON is nested too deep", {
        found: counted(depth, "level"),
        expected: `at most ${MAX_JSON_DEPTH}`,
      });
    }
    return { file, value: parsed(file, json) };
  } finally {
    file.close();
  }
}

function parsed(file: DumpFile, json: string): JsonObject {
  const expected = "a JSON object, whole";
  const help = "dump again: msprobe was ended while it wrote the file, or the copy is not whole";
  const what = `${file.name} is not the JSON that msprobe writes`;
  let value: unknown;
  try {
    value = parsePythonJson(json);
  } catch (cause) {
    const found = reasonOf(cause).slice(0, 200);
    throw file.fail("dump-corrupt", what, { found, expected }, help, cause);
  }
  if (isJsonObject(value)) return value;
  throw file.fail("dump-corrupt", what, { found: typeof value, expected }, help);
}

/** Takes up the tensors in `value`, which lists and dictionaries hold. */
function walk(
  file: DumpFile,
  value: unknown,
  records: TensorRecord[],
  place: Pick<TensorRecord, "entry" | "part" | "keys">,
): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const [i, one] of (value as readonly unknown[]).entries()) {
      walk(file, one, records, { ...place, keys: [...place.keys, String(i)] });
    }
    return;
  }
  const leaf = value as JsonObject;
  if (typeof leaf["type"] === "string") {
    if (typeof leaf["dtype"] !== "string") return;
    if (records.length === MAX_ROWS) {
      throw file.fail("dump-too-large", `${file.name} holds too many tensors`, {
        found: `more than ${MAX_ROWS}`,
        expected: `at most ${MAX_ROWS}`,
      });
    }
    records.push({ ...place, shape: shapeOf(file, place.entry, leaf["shape"]), leaf });
    return;
  }
  for (const [key, one] of Object.entries(leaf)) {
    walk(file, one, records, { ...place, keys: [...place.keys, key] });
  }
}

function shapeOf(file: DumpFile, entry: string, value: unknown): readonly number[] {
  const isShape =
    Array.isArray(value) &&
    value.length <= MAX_AXES &&
    value.every((length) => Number.isSafeInteger(length) && (length as number) >= 0);
  if (isShape) return value as readonly number[];
  throw file.corrupt(`a tensor of ${JSON.stringify(entry.slice(0, 200))} has an impossible shape`, {
    found: JSON.stringify(value ?? null).slice(0, 80),
    expected: `at most ${MAX_AXES} lengths`,
  });
}

function text(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 80) : "";
}
