/** Dumps of msprobe against what torch's own hooks saw, and dumps that are made to harm. */

import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { type Dump, dataBytes, type TensorEntry } from "../../src/dump/dump.ts";
import { readImported } from "../../src/dump/imported.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { cli } from "../support/cli.ts";
import { errorOf, scratch } from "../support/scratch.ts";
import { zipOf } from "../support/zip.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/foreign/msprobe/", import.meta.url));
const folder = scratch();

interface Told {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
  readonly min?: number;
  readonly max?: number;
  readonly mean?: number;
  readonly rms?: number;
}
const expected = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as Record<
  string,
  { readonly outputs: Record<string, Told>; readonly files: Record<string, Told> }
>;

function step(name: string): string {
  return join(FIXTURES, name, "step0");
}

function withDump<T>(path: string, use: (dump: Dump) => T): T {
  const dump = openDump(path);
  try {
    return use(dump);
  } finally {
    dump.close();
  }
}

function sha256(dump: Dump, entry: TensorEntry): string {
  const bytes = new Uint8Array(dataBytes(entry));
  dump.read(entry, 0, bytes);
  return createHash("sha256").update(bytes).digest("hex");
}

/** `model.layers.0.mlp 1` of the first output of its second call; null of everything else. */
function hooked({ module }: TensorEntry): string | null {
  const found = /^Module\.(.+)\.[^.]+\.forward\.(\d+)\.output\.0$/.exec(module ?? "");
  return found === null ? null : `${found[1]} ${found[2]}`;
}

/** A copy of a fixture whose dump.json is changed. */
function changed(name: string, change: (text: string) => string = (text) => text): string {
  const copy = folder.path("");
  cpSync(join(FIXTURES, name, "step0", "proc1"), copy, { recursive: true });
  const path = join(copy, "dump.json");
  writeFileSync(path, change(readFileSync(path, "utf8")));
  return copy;
}

/** A copy of the dump of tensors, without the parameters, of which there are only statistics. */
function dense(): string {
  return changed("tensor-l0", (text) => {
    const json = JSON.parse(text) as { data: Record<string, { parameters: unknown }> };
    for (const entry of Object.values(json.data)) entry.parameters = {};
    return JSON.stringify(json);
  });
}

/** A dump of one module with this output. */
function made(leaf: unknown, task = "tensor"): string {
  const path = folder.path("");
  mkdirSync(join(path, "dump_tensor_data"), { recursive: true });
  const data = { "Module.lm_head.Linear.forward.0": { input_args: [], output: [leaf] } };
  const json = JSON.stringify({ task, level: "L0", dump_data_dir: "/elsewhere", data });
  writeFileSync(join(path, "dump.json"), json);
  return path;
}

const LEAF = { type: "torch.Tensor", dtype: "torch.float32", shape: [1, 2, 4] };

describe("tensors of msprobe", () => {
  const { outputs, files } = expected["tensor-l0"] as (typeof expected)[string];

  it("are those that torch's hooks saw, to the bit", () => {
    withDump(step("tensor-l0"), (dump) => {
      let seen = 0;
      for (const entry of dump.tensors) {
        const told = outputs[hooked(entry) ?? ""];
        if (told === undefined) continue;
        seen += 1;
        expect([entry.name, sha256(dump, entry)]).toEqual([entry.name, told.sha256]);
      }
      expect(seen).toBeGreaterThanOrEqual(16);
    });
  });

  it("are those in their files, inputs and arguments among them", () => {
    withDump(step("tensor-l0"), (dump) => {
      const dense = dump.tensors.filter(({ encoding }) => encoding === "dense");
      expect(dense).toHaveLength(Object.keys(files).length);
      const found = dense.map((entry) => sha256(dump, entry)).toSorted();
      expect(found).toEqual(
        Object.values(files)
          .map((file) => file.sha256)
          .toSorted(),
      );
    });
  });

  it("have canonical names, ids among them, without the class and the number of the call", () => {
    withDump(step("tensor-l0"), ({ tensors }) => {
      const names = tensors.map(({ name }) => name);
      const canonical = ["input_ids", "embed", "layers.0", "layers.0.attn", "layers.0.mlp"];
      expect(names).toEqual(expect.arrayContaining([...canonical, "norm", "logits"]));
      expect(names).toContain("model.layers.0.self_attn.q_proj.output.0");
      const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
      expect(shapes.get("input_ids")).toEqual([4]);
      expect(shapes.get("logits")).toEqual([4, 16]);
    });
  });

  it("whose files are not there are compared by their statistics, and that is said", () => {
    withDump(step("tensor-l0"), ({ tensors, run }) => {
      const weight = tensors.find(({ name }) => name === "model.norm.parameters.weight");
      expect(weight).toMatchObject({ encoding: "stats", stats: { min: 1, max: 1, mean: 1 } });
      const assumed = readImported(run)?.assumed.first ?? [];
      expect(assumed.find(({ name }) => name === "model.norm.parameters.weight")?.why).toMatch(
        /file is missing/,
      );
    });
  });

  it("are found by the folder of a rank, of a step, above steps, and by dump.json", () => {
    const above = join(FIXTURES, "tensor-l0");
    const rank = join(above, "step0", "proc1");
    const ids = [above, join(above, "step0"), rank, join(rank, "dump.json")].map((path) =>
      withDump(path, ({ run }) => run.id),
    );
    expect(new Set(ids).size).toBe(1);
  });

  it("pass against themselves on the command line, with their quality", async () => {
    const { code, stdout } = await cli(["compare", dense(), dense()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/perplexity/);
    const inspected = await cli(["inspect", join(step("tensor-l0"), "proc1", "dump.json")]);
    expect(inspected.code).toBe(0);
    expect(inspected.stdout).toMatch(/format +msprobe\n/);
  });

  it("are compared with a module's error named", async () => {
    const copy = dense();
    const file = join(
      copy,
      "dump_tensor_data/Module.model.layers.0.mlp.LlamaMLP.forward.0.output.0.pt",
    );
    const whole = readFileSync(file);
    // torch lets storages begin at multiples of 64 bytes, behind the name of their entry.
    const at = 64 * Math.ceil((whole.indexOf("/data/0") + 11) / 64);
    for (let i = at; i < at + 40; i++) whole[i] = 0x40;
    writeFileSync(file, whole);
    const { verdict, origin } = await compareDumps({
      reference: dense(),
      candidate: copy,
    });
    expect(verdict).toBe("fail");
    expect(JSON.stringify(origin)).toContain("layers.0.mlp");
  });

  it("without an entry, as a crash leaves them, are listed", () => {
    const copy = changed("tensor-l0", (text) => {
      const json = JSON.parse(text) as { data: Record<string, unknown> };
      delete json.data["Module.lm_head.Linear.forward.0"];
      return JSON.stringify(json);
    });
    withDump(copy, ({ run, tensors }) => {
      expect(tensors.some(({ name }) => name === "logits")).toBe(false);
      expect(readImported(run)?.skipped.first).toMatchObject([
        {
          name: "Module.lm_head.Linear.forward.0.input.0.pt",
          why: expect.stringMatching(/cut off/) as unknown,
        },
        { name: "Module.lm_head.Linear.forward.0.output.0.pt" },
      ]);
    });
  });
});

describe("statistics of msprobe", () => {
  it.each(["statistics-l0", "statistics-mix"])(
    "are as near to those in float64 as they say: %s",
    (name) => {
      const outputs = expected[name]?.outputs ?? {};
      withDump(step(name), ({ tensors }) => {
        let seen = 0;
        for (const entry of tensors) {
          const told = outputs[hooked(entry) ?? ""];
          if (told?.rms === undefined || entry.stats === null) continue;
          seen += 1;
          const { min, max, mean, rms, precision = 0 } = entry.stats;
          expect([min, max]).toEqual([told.min, told.max]);
          expect(Math.abs(mean - (told.mean ?? NaN))).toBeLessThanOrEqual(precision * told.rms);
          expect(Math.abs(rms - told.rms)).toBeLessThanOrEqual(precision * told.rms);
          expect(precision).toBeLessThan(0.005);
        }
        expect(seen).toBeGreaterThan(12);
      });
    },
  );

  it("have the calls of a module as steps", () => {
    withDump(step("statistics-l0"), ({ tensors }) => {
      const layers = tensors.filter(({ name }) => name === "layers.0");
      expect(layers.map((entry) => [entry.step, entry.shape])).toEqual([
        [0, [4, 8]],
        [1, [1, 8]],
      ]);
    });
  });

  it("name the calls of functions by the module around them", () => {
    withDump(step("statistics-mix"), ({ tensors }) => {
      const names = tensors.map(({ name }) => name);
      expect(names).toContain("model.layers.0.mlp.down_proj/Functional.linear.0.output.0");
      expect(names).toContain("model.norm/Torch.rsqrt.0.output.0");
    });
  });

  it("keep the names of gradients and of what is in no module", () => {
    withDump(step("statistics-l1"), ({ tensors }) => {
      const names = tensors.map(({ name }) => name);
      expect(names).toContain("Functional.linear.0.backward.input.0");
      expect(names.every((name) => name.includes(".backward."))).toBe(true);
    });
  });

  it("do not fail where they are rounded otherwise", async () => {
    // The data of a bfloat16 run and the statistics of the same one.
    const result = await compareDumps({
      reference: step("tensor-l0"),
      candidate: step("statistics-l0"),
    });
    expect(result.verdict).not.toBe("fail");
    const logits = result.tensors.find(
      ({ name, step: of }) => name === "logits" && of !== "decode",
    );
    expect(logits?.statsFigures?.bounds?.relL2).toBeLessThan(0.005);
  });

  it("fail where the difference is larger than any rounding", async () => {
    const candidate = changed("statistics-l0", (text) => {
      const json = JSON.parse(text) as {
        data: Record<string, { output: Record<string, number>[] }>;
      };
      const [output] = json.data["Module.model.norm.LlamaRMSNorm.forward.0"]?.output ?? [];
      if (output === undefined) throw new Error("no such entry");
      for (const key of ["Max", "Min", "Mean", "Norm"]) output[key] = 1.5 * (output[key] ?? 0);
      return JSON.stringify(json);
    });
    const reference = step("statistics-l0");
    const limits = { maxRelL2: 0.05 };
    const result = await compareDumps({ reference, candidate, limits });
    const failures = result.findings.filter(({ level }) => level === "error");
    expect(failures).toMatchObject([{ rule: "limit/rel-l2", tensor: "norm" }]);
    const same = await compareDumps({ reference, candidate: changed("statistics-l0"), limits });
    expect(same.findings.filter(({ level }) => level === "error")).toEqual([]);
  });

  it("of what is not finite, written as Python does, count as far as they are known", () => {
    withDump(step("not-finite"), ({ tensors, run }) => {
      const first = (of: number): unknown =>
        tensors.find(({ name, step: call }) => name === "0.output.0" && call === of)?.stats;
      expect(first(0)).toMatchObject({ nan: 4, posInf: 0, negInf: 0 });
      expect(first(1)).toMatchObject({ nan: 0, posInf: 4, negInf: 0 });
      // 60,000 eight times: a norm beyond float16.
      expect(first(2)).toBeUndefined();
      const imported = readImported(run);
      expect(imported?.skipped.first[0]?.why).toMatch(/overflowed F16/);
      expect(imported?.assumed.first[0]?.why).toMatch(/does not say how many/);
    });
  });

  it("are not converted to what would pass for exact", async () => {
    const output = folder.path(".arrow");
    const { code, stdout, stderr } = await cli(["convert", step("statistics-l0"), output]);
    expect(code).toBe(2);
    expect(stdout + stderr).toMatch(/rounded statistics/);
    expect(existsSync(output)).toBe(false);
  });

  it("that are checksums alone are left out, and listed", () => {
    const copy = changed("statistics-l0", (text) =>
      text.replace(
        /"Max":[^,]+,"Min":[^,]+,"Mean":[^,]+,"Norm":[^,]+/g,
        '"Max":null,"md5":"0495ab0e"',
      ),
    );
    withDump(copy, ({ tensors, run }) => {
      expect(tensors).toHaveLength(0);
      const { skipped } = readImported(run) ?? {};
      expect(skipped?.first.some(({ why }) => why === "a checksum alone")).toBe(true);
    });
  });
});

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
