/** What the entries of a dump.json are called here. */

import { canonicalName } from "../foreign/canonical-names.ts";

/** An entry: what its tensors are called, and which call it was. */
export interface Entry {
  /** What the names of its tensors begin with. */
  readonly prefix: string;
  /** How many calls of the module came before this one. */
  readonly call: number;
  /** The contract's name of its output; null where there is none. */
  readonly role: string | null;
}

/** `Module.model.layers.0.mlp.LlamaMLP.forward.0`; MindSpore's modules are cells. */
const MODULE =
  /^(?:Module|Cell)\.(?:(?<path>.+)\.)?[^.]+\.(?<pass>forward|backward)\.(?<call>\d{1,9})$/su;

/** `Module.model.norm.LlamaRMSNorm.parameters_grad`, of old without a number. */
const GRADIENTS =
  /^(?:Module|Cell)\.(?:(?<path>.+)\.)?[^.]+\.parameters_grad(?:\.(?<call>\d{1,9}))?$/su;

/** `Functional.linear.5.forward`. */
const API = /^(?<api>[^.]+\..+)\.(?<call>\d{1,9})\.(?<pass>forward|backward)$/su;

/** Gives entries their names; calls of functions are counted within the module that they are made in. */
export class EntryNames {
  readonly #parents: ReadonlyMap<string, string>;
  readonly #calls = new Map<string, number>();

  /** @param parents of each entry the one that it was called in, as construct.json has it. */
  constructor(parents: ReadonlyMap<string, string>) {
    this.#parents = parents;
  }

  /**
   * Of an entry of a module its path in the model, so that dumps of different classes meet. Of a function the path of
   * the module around it and its number there: the same code has the same numbers, wherever the call lies.
   * Without a known module, or of a name of another kind, what msprobe calls it.
   */
  of(name: string): Entry {
    const module = MODULE.exec(name)?.groups;
    if (module !== undefined) {
      const { path = "model", pass = "", call } = module;
      const role = pass === "forward" ? canonicalName(path) : null;
      return { prefix: withPass(path, pass), call: Number(call), role };
    }
    const gradients = GRADIENTS.exec(name)?.groups;
    if (gradients !== undefined) {
      const { path = "model", call = "0" } = gradients;
      return { prefix: `${path}.parameters_grad`, call: Number(call), role: null };
    }
    const { api, call = "", pass = "" } = API.exec(name)?.groups ?? {};
    if (api === undefined) return { prefix: name, call: 0, role: null };
    const parentName = this.#parents.get(name) ?? "";
    const parent = MODULE.exec(parentName)?.groups;
    if (parent === undefined) {
      return { prefix: withPass(`${api}.${call}`, pass), call: 0, role: null };
    }
    const key = JSON.stringify([parentName, api, pass]);
    const number = this.#calls.get(key) ?? 0;
    this.#calls.set(key, number + 1);
    const path = `${parent["path"] ?? "model"}/${api}.${number}`;
    return { prefix: withPass(path, pass), call: Number(parent["call"]), role: null };
  }
}

function withPass(path: string, pass: string): string {
  return pass === "backward" ? `${path}.backward` : path;
}

/** A tensor of an entry: where in it, and what it looks like. */
export interface Place {
  readonly entry: Entry;
  /** `input`, `kwargs`, `output`, `parameters`. */
  readonly part: string;
  /** Indices and keys in that part. */
  readonly keys: readonly string[];
  readonly isInteger: boolean;
  /** Whether the entry has a second output of the same shape. */
  readonly hasTwin: boolean;
}

/**
 * The name of a tensor. The ids that go into the embedding are `input_ids`. A decoder layer with two outputs of one
 * shape hands on its residual stream in two parts, whose sum alone is the layer's output: neither gets its name.
 */
export function nameOf({ entry, part, keys, isInteger, hasTwin }: Place): string {
  const { prefix, role } = entry;
  if (role === "embed" && part === "input" && keys.join(".") === "0" && isInteger) {
    return "input_ids";
  }
  const names = part === "output" && hasTwin && isLayer(role) ? STREAMS : {};
  return [prefix, part, ...keys.map((key) => names[key] ?? key)]
    .filter((one) => one !== "")
    .join(".");
}

/** What the two outputs are called in engines whose layers add up later. */
const STREAMS: Readonly<Record<string, string>> = { 0: "hidden_states", 1: "residual" };

function isLayer(role: string | null): boolean {
  return role !== null && /^layers\.\d+$/.test(role);
}
