/** Dumps of msprobe against what torch's own hooks saw. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { readImported } from "../../src/dump/imported.ts";
import { cli } from "../support/cli.ts";
import {
  changed,
  dense,
  expected,
  FIXTURES,
  folder,
  hooked,
  sha256,
  step,
  withDump,
} from "../support/msprobe.ts";

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
