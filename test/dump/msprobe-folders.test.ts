/** Where dumps of msprobe lie, and folders that are made to harm. */

import { cpSync, existsSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { readImported } from "../../src/dump/imported.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import {
  changed,
  expected,
  folder,
  LEAF,
  made,
  sha256,
  step,
  withDump,
} from "../support/msprobe.ts";
import { errorOf } from "../support/scratch.ts";
import { zipOf } from "../support/zip.ts";

describe("folders of msprobe", () => {
  it("of several steps of one call each are the steps of one run", () => {
    const root = folder.path("");
    for (const [name, from] of [
      ["step0", "tensor-l0"],
      ["step2", "tensor-l0"],
    ] as const) {
      cpSync(step(from), join(root, name), { recursive: true });
    }
    withDump(root, ({ tensors }) => {
      const steps = tensors.filter(({ name }) => name === "logits").map((entry) => entry.step);
      expect(steps).toEqual([0, 2]);
    });
  });

  it("of several steps of several calls are refused with what to give", () => {
    const root = folder.path("");
    for (const name of ["step0", "step1"]) {
      cpSync(step("statistics-l0"), join(root, name), { recursive: true });
    }
    expect(errorOf(() => openDump(root))).toMatchObject({
      ...{ code: "dump-schema", help: expect.stringMatching(/step0$/) as unknown },
    });
  });

  it("of several ranks are refused with what to give", async () => {
    const root = folder.path("");
    for (const name of ["rank0", "rank1"])
      cpSync(changed("statistics-l0"), join(root, name), { recursive: true });
    const error = { code: "dump-schema", help: expect.stringMatching(/rank0$/) as unknown };
    expect(errorOf(() => openDump(root))).toMatchObject(error);
    await expect(compareDumps({ reference: root, candidate: root })).rejects.toMatchObject(error);
  });

  it("of a layer that hands on two parts of its stream do not call one the layer", () => {
    const two = [
      { ...LEAF, data_name: "a.pt" },
      { ...LEAF, data_name: "b.pt" },
    ];
    const path = made(null, "statistics");
    const stats = { Max: 1, Min: -1, Mean: 0, Norm: Math.sqrt(4) };
    const data = {
      "Module.model.layers.3.QwenLayer.forward.0": {
        output: two.map((leaf) => ({ ...leaf, ...stats })),
      },
    };
    writeFileSync(
      join(path, "dump.json"),
      JSON.stringify({ task: "statistics", dump_data_dir: null, data }),
    );
    withDump(path, ({ tensors }) => {
      expect(tensors.map(({ name }) => name)).toEqual([
        "model.layers.3.output.hidden_states",
        "model.layers.3.output.residual",
      ]);
    });
  });
});

describe("folders that are made to harm", () => {
  const secret = folder.file("secret");

  it.each(["../../etc/passwd", "/etc/passwd", "..", "", "a/b.pt", "a\\b.pt", "a\0.pt", secret])(
    "do not lead elsewhere: %j",
    (name) => {
      const path = made({ ...LEAF, data_name: name });
      expect(errorOf(() => openDump(path))).toMatchObject({
        code: "dump-corrupt",
        message: expect.stringMatching(/elsewhere/) as unknown,
      });
    },
  );

  it("do not lead elsewhere by links, of a file or of the folder", () => {
    const good = step("tensor-l0");
    const name = "Module.lm_head.Linear.forward.0.output.0.pt";
    const linked = made({ ...LEAF, data_name: name });
    symlinkSync(join(good, "proc1/dump_tensor_data", name), join(linked, "dump_tensor_data", name));
    const behind = made({ ...LEAF, data_name: name });
    rmSync(join(behind, "dump_tensor_data"), { recursive: true });
    symlinkSync(join(good, "proc1/dump_tensor_data"), join(behind, "dump_tensor_data"));
    for (const path of [linked, behind]) {
      expect(errorOf(() => openDump(path))).toMatchObject({ code: "dump-corrupt" });
    }
  });

  it.each([
    ["no JSON", '{"dump_data_dir": null, "data": {', "dump-corrupt"],
    ["no data", '{"dump_data_dir": null}', "dump-schema"],
    ["data that is a list", '{"dump_data_dir": null, "data": []}', "dump-schema"],
    [
      "100 levels",
      `{"dump_data_dir": null, "data": ${'{"a":'.repeat(100)}1${"}".repeat(100)}}`,
      "dump-corrupt",
    ],
  ])("are refused: %s", (_, json, code) => {
    const path = made(null);
    writeFileSync(join(path, "dump.json"), json);
    expect(errorOf(() => openDump(path))).toMatchObject({ code });
    expect(errorOf(() => openDump(join(path, "dump.json")))).toMatchObject({ code });
  });

  it.each([
    ["a negative length", { shape: [-1] }],
    ["a length that is none", { shape: ["4"] }],
    ["no shape", { shape: null }],
  ])("are refused: %s", (_, leaf) => {
    expect(errorOf(() => openDump(made({ ...LEAF, ...leaf })))).toMatchObject({
      code: "dump-corrupt",
    });
  });

  it("are refused where a name is longer than any file's", () => {
    const path = made({ ...LEAF, data_name: `${"a".repeat(5000)}.pt` });
    expect(errorOf(() => openDump(path))).toMatchObject({ code: "file-unreadable" });
  });

  it("are refused where the file of a tensor is a program, or holds several", () => {
    const system = Buffer.from("\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00trueR.", "latin1");
    for (const bytes of [system, zipOf({ "a/data.pkl": system }), Buffer.from("no tensor")]) {
      const path = made({ ...LEAF, data_name: "a.pt" });
      writeFileSync(join(path, "dump_tensor_data", "a.pt"), bytes);
      expect(errorOf(() => openDump(path))).toHaveProperty("name", "NpuDiffError");
    }
    const two = made({ ...LEAF, data_name: "two.pt" });
    cpSync(
      fileURLToPath(new URL("../../fixtures/foreign/torch/dtypes.pt", import.meta.url)),
      join(two, "dump_tensor_data", "two.pt"),
    );
    expect(errorOf(() => openDump(two))).toMatchObject({ code: "dump-corrupt" });
  });

  it("leave out impossible statistics, and numbers of elements", () => {
    const stats = { Max: 1, Min: -1, Mean: 5, Norm: 0.001 };
    for (const leaf of [stats, { ...stats, shape: [2 ** 50, 2 ** 50] }]) {
      withDump(made({ ...LEAF, ...leaf }, "statistics"), ({ tensors, run }) => {
        expect(tensors).toHaveLength(0);
        expect(readImported(run)?.skipped.count).toBe(1);
      });
    }
  });

  it("close what they opened, however many files there are", () => {
    const copies = 300;
    const path = made(null);
    const source = join(step("tensor-l0"), "proc1/dump_tensor_data");
    const name = "Module.lm_head.Linear.forward.0.output.0.pt";
    const data: Record<string, unknown> = {};
    for (let i = 0; i < copies; i++) {
      cpSync(join(source, name), join(path, "dump_tensor_data", `${i}.pt`));
      data[`Module.m${i}.Linear.forward.0`] = { output: [{ ...LEAF, data_name: `${i}.pt` }] };
    }
    writeFileSync(join(path, "dump.json"), JSON.stringify({ dump_data_dir: null, data }));
    const told = expected["tensor-l0"]?.files[name.slice(0, -3)];
    withDump(path, (dump) => {
      expect(dump.tensors).toHaveLength(copies);
      expect(new Set(dump.tensors.map((entry) => sha256(dump, entry)))).toEqual(
        new Set([told?.sha256]),
      );
    });
    // Nothing holds the folder.
    renameSync(path, `${path}-moved`);
    expect(existsSync(path)).toBe(false);
  });
});
