/** Folders with a file for each tensor, as scripts write them. */

import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { cli } from "../support/cli.ts";
import { f32, safetensors } from "../support/safetensors.ts";
import { errorOf, scratch } from "../support/scratch.ts";

const files = scratch();

/** The file that NumPy writes of a float32 array, by the format's description. */
function npy(shape: readonly number[], values: readonly number[]): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const header = `${text.padEnd(117)}\n`;
  const head = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, header.length, 0]);
  return Buffer.concat([head, Buffer.from(header), Buffer.from(Float32Array.from(values).buffer)]);
}

const row = (seed: number): Buffer => npy([2, 4], [1, 2, 3, 4, 5, 6, 7, seed]);

function folder(contents: Readonly<Record<string, Uint8Array | string>>): string {
  const path = files.path();
  mkdirSync(path);
  for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(path, name), bytes);
  return path;
}

function names(path: string): readonly string[] {
  const dump = openDump(path);
  dump.close();
  return dump.tensors.map(({ name }) => name);
}

describe("a folder of files of tensors", () => {
  it("is one dump, in the order of the names, numbers by their values", () => {
    const path = folder({
      "layer_10.npy": row(1),
      "layer_2.npy": row(2),
      "logits.npy": row(3),
      "model.layers.0.mlp.npy": row(4),
    });
    expect(names(path)).toEqual(["layer_2", "layer_10", "logits", "layers.0.mlp"]);
  });

  it("pairs the files of two devices", async () => {
    const side = (device: string, last: number): string =>
      folder({ [`${device}_layer_0.npy`]: row(8), [`${device}_layer_1.npy`]: row(last) });
    const result = await compareDumps({ reference: side("cpu", 8), candidate: side("npu", 80) });
    expect(result.verdict).toBe("fail");
    expect(result.tensors.map(({ name, relL2 }) => [name, relL2 === 0])).toEqual([
      ["layer_0", true],
      ["layer_1", false],
    ]);
    expect(result.origin?.tensor).toBe("layer_1");
  });

  it("calls a tensor as its file does, and by both where several have one name", () => {
    const one = (name: string): Uint8Array => safetensors({ [name]: f32([1, 2], [1, 2]) });
    const path = folder({
      "a.safetensors": one("hidden"),
      "b.safetensors": one("hidden"),
      "c.safetensors": one("model.norm"),
    });
    expect(names(path)).toEqual(["a.hidden", "b.hidden", "norm"]);
  });

  it("may have more files than stay open", () => {
    const many = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`${i}.npy`, row(i)]));
    const dump = openDump(folder(many));
    const descriptors = readdirSync("/proc/self/fd").length;
    const last = dump.tensors.map((entry) => {
      const bytes = new Uint8Array(32);
      dump.read(entry, 0, bytes);
      return new Float32Array(bytes.buffer)[7];
    });
    dump.close();
    expect(last).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect(descriptors).toBeLessThan(300);
  });

  it("tells what else lies there, and follows no link", () => {
    const path = folder({ "x.npy": row(1), "notes.txt": "", ".hidden": "" });
    symlinkSync("/etc/hostname", join(path, "y.npy"));
    const dump = openDump(path);
    dump.close();
    expect(dump.tensors).toHaveLength(1);
    expect(dump.run["imported"]).toMatchObject({
      format: "folder",
      skipped_count: 2,
      skipped: expect.arrayContaining([
        { name: "notes.txt", why: "no file of tensors" },
        { name: "y.npy", why: "no regular file" },
      ]) as unknown,
    });
  });

  it("is refused where a file is not what its name says, or is damaged", () => {
    expect(errorOf(() => openDump(folder({ "x.npy": row(1), "y.npy": "text" })))).toMatchObject({
      code: "dump-schema",
    });
    const cut = row(1).subarray(0, 100);
    expect(errorOf(() => openDump(folder({ "x.npy": row(1), "y.npy": cut })))).toMatchObject({
      code: expect.stringMatching(/^dump-/) as unknown,
    });
    const both = folder({ "cpu_x.npy": row(1), "npu_x.npy": row(2) });
    expect(names(both)).toEqual(["cpu_x.cpu_x", "npu_x.npu_x"]);
  });

  it("is none beside dumps or the configuration of a model", async () => {
    const model = folder({ "config.json": "{}", "model.safetensors": row(1) });
    const { code, stderr } = await cli(["compare", model, model]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error\[/);
    expect((await cli(["compare", folder({}), model])).code).toBe(2);
  });

  it("is taken by the commands", async () => {
    const path = folder({ "layer_0.npy": row(1), "layer_1.npy": row(2) });
    const converted = files.path();
    expect((await cli(["convert", path, `${converted}.safetensors`])).code).toBe(0);
    const { code, stdout } = await cli(["compare", path, `${converted}.safetensors`]);
    expect(code).toBe(0);
    expect(stdout).toContain("2 tensors");
  });
});
