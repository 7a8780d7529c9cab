/** The fixtures of msprobe, copies of them that are changed, and dumps that are made up. */

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Dump, dataBytes, type TensorEntry } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { type Scratch, scratch } from "./scratch.ts";

export const FIXTURES = fileURLToPath(new URL("../../fixtures/foreign/msprobe/", import.meta.url));
export const folder: Scratch = scratch();

interface Told {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
  readonly min?: number;
  readonly max?: number;
  readonly mean?: number;
  readonly rms?: number;
}
export const expected = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as Record<
  string,
  { readonly outputs: Record<string, Told>; readonly files: Record<string, Told> }
>;

export function step(name: string): string {
  return join(FIXTURES, name, "step0");
}

export function withDump<T>(path: string, use: (dump: Dump) => T): T {
  const dump = openDump(path);
  try {
    return use(dump);
  } finally {
    dump.close();
  }
}

export function sha256(dump: Dump, entry: TensorEntry): string {
  const bytes = new Uint8Array(dataBytes(entry));
  dump.read(entry, 0, bytes);
  return createHash("sha256").update(bytes).digest("hex");
}

/** `model.layers.0.mlp 1` of the first output of its second call; null of everything else. */
export function hooked({ module }: TensorEntry): string | null {
  const found = /^Module\.(.+)\.[^.]+\.forward\.(\d+)\.output\.0$/.exec(module ?? "");
  return found === null ? null : `${found[1]} ${found[2]}`;
}

/** A copy of a fixture whose dump.json is changed. */
export function changed(name: string, change: (text: string) => string = (text) => text): string {
  const copy = folder.path("");
  cpSync(join(FIXTURES, name, "step0", "proc1"), copy, { recursive: true });
  const path = join(copy, "dump.json");
  writeFileSync(path, change(readFileSync(path, "utf8")));
  return copy;
}

/** A copy of the dump of tensors, without the parameters, of which there are only statistics. */
export function dense(): string {
  return changed("tensor-l0", (text) => {
    const json = JSON.parse(text) as { data: Record<string, { parameters: unknown }> };
    for (const entry of Object.values(json.data)) entry.parameters = {};
    return JSON.stringify(json);
  });
}

/** A dump of one module with this output. */
export function made(leaf: unknown, task = "tensor"): string {
  const path = folder.path("");
  mkdirSync(join(path, "dump_tensor_data"), { recursive: true });
  const data = { "Module.lm_head.Linear.forward.0": { input_args: [], output: [leaf] } };
  const json = JSON.stringify({ task, level: "L0", dump_data_dir: "/elsewhere", data });
  writeFileSync(join(path, "dump.json"), json);
  return path;
}

export const LEAF = { type: "torch.Tensor", dtype: "torch.float32", shape: [1, 2, 4] };
