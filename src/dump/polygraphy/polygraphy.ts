/**
 * What `polygraphy run --save-outputs` and `--save-inputs` write: JSON, in it
 * each array as base64 of NumPy's format.
 */

import type { NpuDiffError } from "../../core/errors.ts";
import { MAX_ROWS } from "../bounds.ts";
import type { DumpFile } from "../dump-file.ts";
import type { ForeignContents, ForeignTensor } from "../foreign/foreign-tensor.ts";
import type { Remark } from "../imported.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../json.ts";
import { tensorOf } from "../npy/npy.ts";
import { Spool } from "../spool.ts";
import { decodeBase64 } from "./base64.ts";
import { type TextSpan, withoutLongTexts } from "./long-texts.ts";

/** How results begin, and how inputs do: a list of iterations, each an object of arrays. */
const RESULTS = /^\s*\{\s*"lst"\s*:\s*\[/;
const INPUTS = /^\s*\[\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{\s*"(?:array|tensor)"\s*:\s*"/;

/** Whether a file begins as Polygraphy's do. */
export function looksLikePolygraphy(text: string): boolean {
  return RESULTS.test(text) || INPUTS.test(text);
}

/**
 * Reads the arrays of one runner, or of its inputs: every iteration is a sample, unless there is only one, whose
 * arrays may hold a batch of them. The arrays are decoded into a temporary file.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-too-large`; `dump-schema` where it holds several runners, tensors that
 *   PyTorch stored, or no arrays at all
 */
export function readPolygraphy(file: DumpFile): ForeignContents {
  const { json, texts } = withoutLongTexts(file);
  const { runner, iterations } = readRuns(file, json);
  const spool = Spool.create();
  try {
    const arrays = new Arrays(file, texts, spool);
    for (const [i, iteration] of iterations.entries()) {
      for (const [name, value] of Object.entries(iteration)) {
        arrays.add(name, value, iterations.length > 1 ? i : null);
      }
    }
    return {
      format: "Polygraphy",
      tensors: arrays.tensors,
      skipped: arrays.skipped,
      run: runner === null ? {} : { engine: { name: runner } },
      sources: [file, spool],
      bytes: file.size,
    };
  } catch (error) {
    spool.close();
    throw error;
  }
}

interface Runs {
  /** Without its number and the time that it began; null of inputs. */
  readonly runner: string | null;
  /** Arrays by name. */
  readonly iterations: readonly JsonObject[];
}

function readRuns(file: DumpFile, json: string): Runs {
  if (/^\s*\[/.test(json)) {
    const { inputs } = parseJsonObject(file, `{"inputs":${json}}`, "the list", "dump-corrupt");
    return { runner: null, iterations: objectsOf(file, inputs, "a list of iterations") };
  }
  const { lst } = parseJsonObject(file, json, "the file", "dump-corrupt");
  if (!Array.isArray(lst) || lst.length !== 1) {
    const found = Array.isArray(lst) ? `${lst.length} runners` : typeof lst;
    throw file.fail(
      "dump-schema",
      `${file.name} does not hold the results of one runner`,
      { found, expected: "one runner" },
      "run Polygraphy once for each runner, with a file of its own for --save-outputs",
    );
  }
  const [pair] = lst as readonly unknown[];
  const [name, results] = Array.isArray(pair) ? (pair as readonly unknown[]) : [];
  if (typeof name !== "string") {
    throw file.fail(
      "dump-schema",
      `${file.name} holds no results of a runner`,
      { found: "no name of a runner", expected: "the RunResults of Polygraphy" },
      "save arrays with polygraphy run --save-outputs; verdicts cannot be compared",
    );
  }
  const iterations = objectsOf(file, results, "a list of iterations").map(({ outputs }) => outputs);
  return {
    runner: name.replace(/-N\d+-.*$/su, "").slice(0, 200),
    iterations: objectsOf(file, iterations, "the outputs of an iteration"),
  };
}

function objectsOf(file: DumpFile, value: unknown, what: string): readonly JsonObject[] {
  if (Array.isArray(value) && value.length > 0 && value.every(isJsonObject)) return value;
  throw file.corrupt("it is no file of Polygraphy", {
    found: Array.isArray(value) ? `a list of ${value.length}` : typeof value,
    expected: what,
  });
}

/** The arrays found so far. */
class Arrays {
  readonly tensors: ForeignTensor[] = [];
  readonly skipped: Remark[] = [];
  readonly #file: DumpFile;
  readonly #texts: readonly TextSpan[];
  readonly #spool: Spool;
  /** Long texts that are decoded: each belongs to one array. */
  readonly #used = new Set<unknown>();

  constructor(file: DumpFile, texts: readonly TextSpan[], spool: Spool) {
    this.#file = file;
    this.#texts = texts;
    this.#spool = spool;
  }

  add(name: string, value: unknown, sample: number | null): void {
    const file = this.#file;
    if (this.tensors.length + this.skipped.length >= MAX_ROWS) {
      throw file.fail("dump-too-large", `${file.name} holds too many arrays`, {
        found: `more than ${MAX_ROWS}`,
        expected: `at most ${MAX_ROWS}`,
      });
    }
    const place = { label: `${file.name}: ${JSON.stringify(name.slice(0, 200))}`, file };
    const encoded = this.#textOf(arrayOf(value), place.label);
    const piece = decodeBase64(file, encoded, this.#spool, place.label);
    const tensor = tensorOf(name, piece, place, { spool: this.#spool });
    if ("why" in tensor) this.skipped.push(tensor);
    else this.tensors.push(sample === null ? tensor : { ...tensor, sample });
  }

  /** The text of an array, in the file where it is a long one. */
  #textOf(array: JsonObject, label: string): string | TextSpan {
    const { array: text } = array;
    if (typeof text === "string") return text;
    const span = typeof text === "number" && !this.#used.has(text) ? this.#texts[text] : undefined;
    if (span !== undefined) {
      this.#used.add(text);
      return span;
    }
    if ("tensor" in array) throw this.#storedByTorch(label);
    throw this.#file.corrupt(`${label} is no array`, {
      found: text === undefined ? "no array" : typeof text,
      expected: "base64 of NumPy's format",
    });
  }

  #storedByTorch(label: string): NpuDiffError {
    return this.#file.fail(
      "dump-schema",
      `${label} is stored by PyTorch`,
      { found: "a torch.Tensor", expected: "a NumPy array" },
      "let the runner give NumPy arrays (numpy() of each output), or save them as .npz or safetensors",
    );
  }
}

/** The array itself: outputs are wrapped in an object that loads them lazily, inputs are not. */
function arrayOf(value: unknown): JsonObject {
  if (!isJsonObject(value)) return {};
  const { values } = value;
  return isJsonObject(values) ? values : value;
}
