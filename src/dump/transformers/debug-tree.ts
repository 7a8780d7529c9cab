/**
 * What transformers' model debugger writes (`model_addition_debugger_context`
 * with `use_repr=False`): a tree of the calls of one forward as JSON, and beside
 * it a safetensors file for each tensor.
 */

import { dirname, join } from "node:path";
import { counted } from "../../core/counted.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import { MAX_JSON_BYTES } from "../bounds.ts";
import { DumpFile } from "../dump-file.ts";
import { canonicalName } from "../foreign/canonical-names.ts";
import type { ForeignContents, ForeignTensor, Piece } from "../foreign/foreign-tensor.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../json.ts";
import { readSafetensors } from "../safetensors/safetensors-header.ts";
import { Spool } from "../spool.ts";

/** Bytes that are copied at a time. */
const BLOCK_BYTES = 2 ** 22;

/** Tensors of a tree: each is a file of its own. A hundred layers have about five thousand. */
const MAX_TENSORS = 2 ** 16;

/** A file that lies beside the tree. */
const BESIDE = /^\.\/([^/\\\0]+\.safetensors)$/;

/** Whether a file begins as a tree does. */
export function looksLikeDebugTree(text: string): boolean {
  return /^\s*\{\s*"module_path"\s*:/.test(text);
}

/**
 * Reads the tensors of a tree. The debugger keeps no output of a module that has modules in it; what a decoder layer
 * gave is what the next layer, or the norm behind the last one, was called with.
 *
 * The files are copied into a temporary one: there are more of them than a process may hold open.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-too-large`, `file-…` where a file beside it is not what the tree says;
 *   `dump-schema` where the tensors were saved as texts
 */
export function readDebugTree(file: DumpFile): ForeignContents {
  if (file.size > MAX_JSON_BYTES) {
    throw file.fail("dump-too-large", `${file.name} is too long a tree`, {
      found: counted(file.size, "byte"),
      expected: `at most ${MAX_JSON_BYTES}`,
    });
  }
  const text = new TextDecoder().decode(file.read(0, file.size));
  const calls = new Calls(file);
  calls.addRoot(parseJsonObject(file, text, "the tree", "dump-corrupt"));
  const spool = Spool.create();
  try {
    const copies = new Map<string, Copy>();
    const tensors = [...calls.tensors].map(([name, tensor]): ForeignTensor => {
      const copy = copies.get(tensor.file) ?? copied(file, tensor.file, spool);
      copies.set(tensor.file, copy);
      refuseUnlike(file, tensor, copy);
      const assumed = tensor.stream ? { assumed: STREAM } : {};
      return { name, ...copy.tensor, ...assumed };
    });
    const beside = [...copies.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return {
      format: "transformers model debugger",
      tensors,
      skipped: calls.overwritten.map((name) => ({
        name,
        why: "called again later: its file holds the last call alone",
      })),
      run: {},
      sources: [file, spool],
      bytes: file.size + beside,
    };
  } catch (error) {
    spool.close();
    throw error;
  }
}

const STREAM = "a layer's output is what the next module was called with";

/** A tensor as the tree tells it. */
interface Told {
  /** Name of the file beside the tree. */
  readonly file: string;
  /** As `repr` writes them: `torch.Size([1, 5])`, `torch.float32`. */
  readonly shape: string;
  readonly dtype: string;
  /** Whether it stands for the output of the layer before. */
  readonly stream?: boolean;
}

/** The tensors of all calls, by name. */
class Calls {
  readonly tensors = new Map<string, Told>();
  readonly overwritten: string[] = [];
  readonly #file: DumpFile;
  #lastLayer: string | null = null;

  constructor(file: DumpFile) {
    this.#file = file;
  }

  addRoot(root: JsonObject): void {
    const path = this.#pathOf(root);
    const { args, kwargs } = inputsOf(root);
    for (const { keys, told } of this.#toldIn(kwargs)) this.#add(keys.join("."), told);
    for (const { keys, told } of this.#toldIn(args)) {
      const isIds = keys.join() === "0" && !this.tensors.has("input_ids");
      this.#add(isIds ? "input_ids" : `input.${keys.join(".")}`, told);
    }
    this.#addChildren(root, `${path}.`);
  }

  #addChildren(node: JsonObject, prefix: string): void {
    const { children = [] } = node;
    if (!Array.isArray(children) || !children.every(isJsonObject)) {
      throw this.#corrupt("children that are no calls", children);
    }
    for (const child of children) this.#addCall(child, prefix);
  }

  #addCall(node: JsonObject, prefix: string): void {
    const whole = this.#pathOf(node);
    if (!whole.startsWith(prefix)) throw this.#corrupt("a module outside its model", whole);
    const path = whole.slice(prefix.length);
    const { args, kwargs } = inputsOf(node);
    let stream = this.#layerBefore(path);
    for (const { keys, told } of [...this.#toldIn(args), ...this.#toldIn(kwargs)]) {
      // The hidden states are the first argument, or go by their name.
      if (stream !== null && ["0", "hidden_states"].includes(keys.join())) {
        this.#add(stream, { ...told, stream: true });
        stream = null;
      } else {
        this.#add(`${path}.input.${keys.join(".")}`, told);
      }
    }
    for (const { keys, told } of this.#toldIn(node["outputs"])) {
      this.#add(keys.length === 0 ? path : `${path}.output.${keys.join(".")}`, told);
    }
    this.#addChildren(node, prefix);
  }

  /** The decoder layer whose output the module at `path` is called with; null where it is no layer and not the norm behind them. */
  #layerBefore(path: string): string | null {
    const name = canonicalName(path);
    if (name === "norm") return this.#lastLayer;
    const number = /^layers\.(\d+)$/.exec(name ?? "")?.[1];
    if (number === undefined) return null;
    this.#lastLayer = path;
    return number === "0" ? null : path.replace(/\d+$/, `${Number(number) - 1}`);
  }

  /** The tensors in `value`, whose objects and lists may nest, and how they are reached. */
  *#toldIn(
    value: unknown,
    keys: readonly string[] = [],
  ): Generator<{ readonly keys: readonly string[]; readonly told: Told }, void, undefined> {
    if (isJsonObject(value) && typeof value["shape"] === "string" && "dtype" in value) {
      yield { keys, told: this.#told(value, keys) };
    } else if (Array.isArray(value) || isJsonObject(value)) {
      for (const [key, member] of Object.entries(value)) {
        yield* this.#toldIn(member, [...keys, key]);
      }
    }
  }

  #add(name: string, told: Told): void {
    if (this.tensors.has(name)) this.overwritten.push(name);
    this.tensors.set(name, told);
    if (this.tensors.size + this.overwritten.length <= MAX_TENSORS) return;
    throw this.#file.fail("dump-too-large", `${this.#file.name} names too many tensors`, {
      found: `more than ${MAX_TENSORS}`,
      expected: `at most ${MAX_TENSORS}`,
    });
  }

  #told({ shape, dtype, value }: JsonObject, keys: readonly string[]): Told {
    if (typeof value !== "string") throw this.#asTexts(value);
    const file = BESIDE.exec(value)?.[1];
    if (file === undefined || typeof shape !== "string" || typeof dtype !== "string") {
      throw this.#corrupt(`a tensor at ${keys.join(".") || "output"}`, value);
    }
    return { file, shape, dtype };
  }

  #pathOf({ module_path: path }: JsonObject): string {
    if (typeof path === "string" && path !== "") return path;
    throw this.#corrupt("a call of no module", path);
  }

  #corrupt(what: string, found: unknown): NpuDiffError {
    return this.#file.corrupt(`the tree has ${what}`, {
      found: JSON.stringify(found ?? null).slice(0, 200),
      expected: "what model_addition_debugger_context writes",
    });
  }

  /** Five digits of some elements, or of the mean of all, prove nothing of a difference. */
  #asTexts(value: unknown): NpuDiffError {
    return this.#file.fail(
      "dump-schema",
      `${this.#file.name} holds no tensors, but what they look like when printed`,
      {
        found:
          value === undefined ? "statistics of five digits (a _SUMMARY)" : "texts (use_repr=True)",
        expected: "a _FULL_TENSORS tree with a safetensors file for each tensor",
      },
      "run model_addition_debugger_context with use_repr=False and do_prune_layers=False, and give its _FULL_TENSORS.json",
    );
  }
}

function inputsOf({ inputs }: JsonObject): { readonly args: unknown; readonly kwargs: unknown } {
  return isJsonObject(inputs)
    ? { args: inputs["args"], kwargs: inputs["kwargs"] }
    : { args: undefined, kwargs: undefined };
}

/** A tensor that is copied out of its file, of so many bytes. */
interface Copy {
  readonly tensor: Pick<ForeignTensor, "dtype" | "shape" | "pieces">;
  readonly bytes: number;
}

/** Names of dtypes where PyTorch's are longer than those of a dump. */
const SHORT: Readonly<Record<string, string>> = {
  float: "F",
  bfloat: "BF",
  int: "I",
  uint: "U",
};

/** `torch.bfloat16` as a dump calls it. */
function shortDType(dtype: string): string {
  if (dtype === "torch.bool") return "BOOL";
  const [, kind = "", rest = ""] = /^torch\.([a-z]+)(.*)$/.exec(dtype) ?? [];
  return `${SHORT[kind] ?? kind}${rest.replace("fn", "").toUpperCase()}`;
}

/** The one tensor of a file beside `tree`. */
function copied(tree: DumpFile, name: string, spool: Spool): Copy {
  const file = DumpFile.open(join(dirname(tree.path), name));
  try {
    const { tensors } = readSafetensors(file);
    const [tensor] = tensors;
    if (tensor === undefined || tensors.length !== 1) {
      throw tree.corrupt(`${name} is not the tensor that the tree names`, {
        found: counted(tensors.length, "tensor"),
        expected: "one",
      });
    }
    const piece: Piece = { source: spool, position: spool.size, bytes: tensor.bytes };
    for (let at = 0; at < tensor.bytes; at += BLOCK_BYTES) {
      spool.append(file.read(tensor.position + at, Math.min(BLOCK_BYTES, tensor.bytes - at)));
    }
    const pieces = tensor.bytes === 0 ? [] : [piece];
    return { tensor: { dtype: tensor.dtype, shape: tensor.shape, pieces }, bytes: file.size };
  } finally {
    file.close();
  }
}

/** A folder may hold files of another run under the same names. */
function refuseUnlike(tree: DumpFile, { file, dtype, shape }: Told, { tensor }: Copy): void {
  const found = `torch.Size([${tensor.shape.join(", ")}])`;
  if (found === shape && tensor.dtype === shortDType(dtype)) return;
  throw tree.corrupt(`${file} is not the tensor that the tree names`, {
    found: `${tensor.dtype} ${found}`,
    expected: `${dtype} ${shape}`.slice(0, 200),
  });
}
