/** Names that differ only in how they are written are paired; what could be several, or only looks alike, is told. */

import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { Finding } from "../../src/core/findings.ts";
import type { CompareOptions } from "../../src/core/options.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { cli } from "../support/cli.ts";
import {
  type FileTensor,
  type FileTensors,
  f32,
  i64,
  safetensors,
} from "../support/safetensors.ts";
import { random, scratch } from "../support/scratch.ts";

const files = scratch();
const TOKENS = 6;
const ids = { input_ids: i64([TOKENS], [1, 2, 3, 4, 5, 6]) };

function tensor(seed: number, width: number, factor = 1): FileTensor {
  const next = random(seed);
  const data = Array.from({ length: TOKENS * width }, () => Math.round(next() * 4096 - 2048) || 1);
  return f32(
    [TOKENS, width],
    data.map((one) => one * factor),
  );
}

/** Columns of several tensors side by side. */
function beside(...parts: readonly FileTensor[]): FileTensor {
  const rows = Array.from({ length: TOKENS }, (_, t) =>
    parts.flatMap(({ shape, data }) => {
      const width = shape[1] ?? 0;
      return [...(data as Float32Array).subarray(t * width, (t + 1) * width)];
    }),
  );
  return f32([TOKENS, parts.reduce((sum, { shape }) => sum + (shape[1] ?? 0), 0)], rows.flat());
}

const file = (tensors: FileTensors): string =>
  files.file(safetensors({ ...ids, ...tensors }), ".safetensors");

/** A capture of ours. */
function capture(model: Readonly<Record<string, unknown>>, tensors: FileTensors): string {
  const path = files.path();
  const writer = createDumpWriter(path, { tool: { name: "test" }, id: "2", dtype: "F32", model });
  for (const [name, { dtype, shape, data }] of Object.entries({ ...ids, ...tensors })) {
    writer.write({ name, dtype, shape, bytes: new Uint8Array(data.buffer), module: null });
  }
  writer.close({});
  return path;
}

const compared = async (
  reference: FileTensors,
  candidate: FileTensors,
  more: Partial<CompareOptions> = {},
): Promise<ComparisonResult> =>
  await compareDumps({ reference: file(reference), candidate: file(candidate), ...more });

const figures = ({ tensors }: ComparisonResult): Record<string, number | null> =>
  Object.fromEntries(tensors.map(({ name, relL2 }) => [name, relL2]));

const of = ({ findings }: ComparisonResult, rule: string): readonly Finding[] =>
  findings.filter((finding) => finding.rule === rule);

describe("a capture and what hooks on the modules stored", () => {
  const blocks: FileTensors = {
    "layers.0.attn": tensor(2, 4),
    "layers.0.mlp": tensor(3, 4),
    "layers.0": tensor(4, 4),
  };
  const hooks: FileTensors = {
    "model.embed_tokens": tensor(1, 4, 1 / 8),
    "model.layers.0.self_attn": tensor(2, 4),
    "model.layers.0.mlp": tensor(3, 4),
    "model.layers.0": tensor(4, 4),
  };
  const same = { "layers.0.attn": 0, "layers.0.mlp": 0, "layers.0": 0 };

  it.each([{ embedding_multiplier: 8 }, { scale_emb: 8 }, { architecture: "GPT2LMHeadModel" }])(
    "differ in the embedding, which is no stream yet: %o",
    async (model) => {
      const path = capture(model, { embed: tensor(1, 4), ...blocks });
      const forward = await compareDumps({ reference: path, candidate: file(hooks) });
      expect(figures(forward)).toEqual(same);
      expect(of(forward, "input/other-module")).toMatchObject([
        { detail: { side: "candidate", name: "embed", module: "model.embed_tokens" } },
      ]);
      expect(of(forward, "input/similar-name")).toEqual([]);
      const backward = await compareDumps({ reference: file(hooks), candidate: path });
      expect(figures(backward)).toEqual(same);
    },
  );

  it("have one embedding where nothing comes behind it", async () => {
    const path = capture({ embedding_multiplier: 1 }, { embed: tensor(1, 4), ...blocks });
    const result = await compareDumps({ reference: path, candidate: file(hooks) });
    expect(figures(result)).toEqual({ embed: 0.875, ...same });
  });

  it("have one residual scale, which the file does not tell", async () => {
    const path = capture({ residual_scale: 0.25 }, blocks);
    const rest = Object.fromEntries(Object.entries(hooks).slice(1));
    const forward = await compareDumps({ reference: path, candidate: file(rest) });
    expect(figures(forward)).toEqual(same);
    const backward = await compareDumps({ reference: file(rest), candidate: path });
    expect(figures(backward)).toEqual(same);
  });
});

describe("names are paired", () => {
  it("by the module that both sides name", async () => {
    const path = files.path();
    const writer = createDumpWriter(path, { tool: { name: "test" }, id: "1", dtype: "F32" });
    const bytes = ({ data }: FileTensor): Uint8Array =>
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const write = (name: string, { dtype, shape, data }: FileTensor, module: string): void => {
      writer.write({ name, dtype, shape, bytes: bytes({ dtype, shape, data }), module });
    };
    write("input_ids", ids.input_ids, "");
    write("first query", tensor(1, 4), "model.layers.0.self_attn.q_proj");
    writer.close({});
    const result = await compareDumps({
      reference: path,
      candidate: file({ "model.layers.0.self_attn.q_proj": tensor(1, 4, 1.25) }),
    });
    expect(figures(result)).toEqual({ "first query": 0.25 });
    expect(of(result, "input/renamed")).toMatchObject([
      { value: 1, detail: { side: "candidate", reason: "by-module", to: "first query" } },
    ]);
  });

  it("by the pattern of the names, whatever wraps the module", async () => {
    const layers = [0, 1, 2];
    const named = (name: (i: number) => string, factor: number): FileTensors =>
      Object.fromEntries(layers.map((i) => [name(i), tensor(i, 4, factor)]));
    const reference = named((i) => `model.layers.${i}.self_attn.o_proj`, 1);
    for (const name of [
      (i: number) => `_orig_mod.model.layers.${i}.self_attn.o_proj.output.0`,
      (i: number) => `/model/layers.${i}/self_attn/o_proj/MatMul_output_0`,
      (i: number) => `transformer.h.${i}.self_attn.o_proj`,
    ]) {
      const result = await compared(reference, named(name, 1.5));
      expect(Object.values(figures(result))).toEqual([0.5, 0.5, 0.5]);
      expect(of(result, "input/renamed")).toMatchObject([
        {
          value: 3,
          detail: {
            side: "candidate",
            to: "model.layers.{i}.self_attn.o_proj",
            reason: "by-pattern",
          },
        },
      ]);
      expect(result.notCaptured).toEqual({ reference: [], candidate: [] });
    }
  });

  it("across fused projections, in parts, on either side and in floors", async () => {
    const q = [tensor(1, 8), tensor(1, 8, 1.125)] as const;
    const k = [tensor(2, 4), tensor(2, 4)] as const;
    const v = [tensor(3, 4), tensor(3, 4, 1.5)] as const;
    const apart = (side: 0 | 1): FileTensors => ({
      "model.layers.7.self_attn.q_proj": q[side],
      "model.layers.7.self_attn.k_proj": k[side],
      "model.layers.7.self_attn.v_proj": v[side],
    });
    const fused = (side: 0 | 1): FileTensors => ({
      "model.layers.7.self_attn.qkv_proj": beside(q[side], k[side], v[side]),
    });
    const expected = {
      "model.layers.7.self_attn.q_proj": 0.125,
      "model.layers.7.self_attn.k_proj": 0,
      "model.layers.7.self_attn.v_proj": 0.5,
    };
    const forward = await compared(apart(0), fused(1));
    expect(figures(forward)).toEqual(expected);
    expect(
      of(forward, "input/renamed").map(({ detail }) => [detail["side"], detail["from"]]),
    ).toEqual(
      [
        ["candidate", "model.layers.{i}.self_attn.qkv_proj[0:8]"],
        ["candidate", "model.layers.{i}.self_attn.qkv_proj[8:12]"],
        ["candidate", "model.layers.{i}.self_attn.qkv_proj[12:16]"],
      ].map(([side, from]) => [side, from?.replace("{i}", "7")]),
    );
    const floor = file({
      "model.layers.7.self_attn.qkv_proj": beside(
        tensor(1, 8, 1.0625),
        ...[2, 3].map((seed) => tensor(seed, 4, 1.25)),
      ),
    });
    const backward = await compared(fused(0), apart(1), { floors: [floor] });
    expect(figures(backward)).toEqual(expected);
    expect(backward.tensors.find(({ name }) => name.endsWith("q_proj"))?.floorRatio).toBeCloseTo(
      2,
      9,
    );
    const gates = await compared(
      { "layers.0.mlp.gate_proj": tensor(4, 6), "layers.0.mlp.up_proj": tensor(5, 6) },
      { "model.layers.0.mlp.gate_up_proj": beside(tensor(4, 6), tensor(5, 6, 1.25)) },
    );
    expect(figures(gates)).toEqual({ "layers.0.mlp.gate_proj": 0, "layers.0.mlp.up_proj": 0.25 });
  });

  it("of the hidden states that transformers returns where their number is that of the layers", async () => {
    const states = (factor: number): FileTensors =>
      Object.fromEntries([0, 1, 2, 3].map((i) => [`hidden_states.${i}`, tensor(i, 4, factor)]));
    const path = capture(
      { layers: 3 },
      Object.fromEntries(
        ["embed", "layers.0", "layers.1", "norm"].map((name, i) => [name, tensor(i, 4)]),
      ),
    );
    const forward = await compareDumps({ reference: path, candidate: file(states(1.25)) });
    expect(figures(forward)).toEqual({
      embed: 0.25,
      "layers.0": 0.25,
      "layers.1": 0.25,
      norm: 0.25,
    });
    const backward = await compareDumps({ reference: file(states(1)), candidate: path });
    expect(figures(backward)).toEqual({ embed: 0, "layers.0": 0, "layers.1": 0, norm: 0 });
    // As the model returns them: with an axis for the batch.
    const batch = Object.fromEntries(
      Object.entries(states(1)).map(([name, { shape, ...rest }]) => [
        name,
        { ...rest, shape: [1, ...shape] },
      ]),
    );
    const whole = await compareDumps({ reference: path, candidate: file(batch) });
    expect(figures(whole)).toEqual({ embed: 0, "layers.0": 0, "layers.1": 0, norm: 0 });
    // No sum of what the layers give: Mamba's states begin after the first one.
    const other = capture({ layers: 3, residual: "other" }, { embed: tensor(0, 4) });
    await expect(
      compareDumps({ reference: other, candidate: file(states(1)) }),
    ).rejects.toMatchObject({ code: "nothing-aligned" });
    // One fewer: another tool's way of counting, perhaps.
    const fewer = Object.fromEntries(Object.entries(states(1)).slice(0, -1));
    await expect(compareDumps({ reference: path, candidate: file(fewer) })).rejects.toMatchObject({
      code: "nothing-aligned",
    });
  });
});

describe("names are left alone", () => {
  const same = { "model.layers.0.q": tensor(1, 4) };

  it("where they could be several", async () => {
    const result = await compared(
      { ...same, "model.layers.0.x": tensor(2, 4) },
      {
        ...same,
        "a.model.x": tensor(2, 4),
        "module.layers.0.x.output.0": tensor(2, 4),
        "layers.0.x": tensor(2, 4),
      },
    );
    expect(figures(result)).toEqual({ "model.layers.0.q": 0 });
    expect(of(result, "input/ambiguous-name")).toMatchObject([
      {
        value: 1,
        detail: {
          reference: "model.layers.0.x",
          candidate: "module.layers.0.x.output.0, layers.0.x",
        },
      },
    ]);
  });

  it("where shapes differ, or widths do not add up", async () => {
    const result = await compared(
      {
        ...same,
        "model.x": tensor(2, 4),
        "l.q_proj": tensor(3, 4),
        "l.k_proj": tensor(4, 2),
        "l.v_proj": tensor(5, 2),
      },
      { ...same, "module.x": tensor(2, 5), "l.qkv_proj": tensor(6, 9) },
    );
    expect(figures(result)).toEqual({ "model.layers.0.q": 0 });
    expect(of(result, "input/renamed")).toEqual([]);
  });

  it("where they only look alike, which is told with the line for a map", async () => {
    const result = await compared(
      {
        ...same,
        "decoder.2.out": tensor(7, 4),
        "decoder.3.out": tensor(8, 4),
        other: tensor(9, 4),
      },
      {
        ...same,
        "blk.3.result": tensor(8, 4, 1.001),
        "blk.2.result": tensor(7, 4),
        stranger: tensor(10, 4),
      },
    );
    expect(figures(result)).toEqual({ "model.layers.0.q": 0 });
    expect(of(result, "input/similar-name")).toMatchObject([
      { level: "info", value: 2, detail: { line: '"decoder.{i}.out": "blk.{i}.result"' } },
    ]);
  });

  it("where two look alike", async () => {
    const result = await compared(
      { ...same, a: tensor(7, 4) },
      { ...same, b: tensor(7, 4), c: tensor(7, 4, 1.001) },
    );
    expect(of(result, "input/similar-name")).toEqual([]);
  });

  it("with a hint where nothing else is in common", async () => {
    const [reference, candidate] = [file({ a: tensor(7, 4) }), file({ b: tensor(7, 4) })];
    const ended = await cli(["compare", reference, candidate]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('{"candidate": {"a": "b"}}');
    const map = files.file('{"candidate": {"a": "b"}}', ".json");
    expect((await cli(["compare", reference, candidate, "--map", map])).code).toBe(0);
  });

  it("says which side told no ids", async () => {
    const reference = file(same);
    const candidate = files.file(safetensors(same), ".safetensors");
    const english = await cli(["compare", reference, candidate]);
    expect(english.stderr).toContain(
      "the candidate stored no token ids: nothing shows that the inputs agree",
    );
    const chinese = await cli(["compare", candidate, reference, "--lang", "zh"]);
    expect(chinese.stderr).toContain("基准侧未保存 token id：无法确认输入一致");
  });
});

describe("one name of two modules", () => {
  const path = (module: string, i: number): string => `model.layers.${i}.${module}`;
  const layers = [0, 1];
  const modules = (named: Readonly<Record<string, number>>): FileTensors =>
    Object.fromEntries(
      layers.flatMap((i) =>
        Object.entries(named).map(([module, seed]) => [path(module, i), tensor(10 * i + seed, 4)]),
      ),
    );
  const BLOCKS = { self_attn: 1, mlp: 2 };
  const NORMS = {
    post_attention_layernorm: 3,
    pre_feedforward_layernorm: 4,
    post_feedforward_layernorm: 5,
  };
  const told = (result: ComparisonResult): readonly unknown[] =>
    of(result, "input/other-module").map(({ level, value, detail }) => ({
      level,
      value,
      ...detail,
    }));

  it("is that of none where one file holds the norms behind the blocks and the other the blocks alone", async () => {
    const gemma = modules({ ...BLOCKS, ...NORMS });
    const alone = modules(BLOCKS);
    for (const [side, result] of [
      ["candidate", await compared(gemma, alone)],
      ["reference", await compared(alone, gemma)],
    ] as const) {
      expect(result.verdict).toBe("pass");
      expect(Object.keys(figures(result)).toSorted()).toEqual(
        layers.flatMap((i) => [path("mlp", i), path("self_attn", i)]).toSorted(),
      );
      expect(told(result)).toEqual(
        ["attn", "mlp"].map((block) => ({
          level: "warning",
          value: 2,
          side,
          name: `layers.{i}.${block}`,
          module: `model.layers.{i}.${block === "attn" ? "self_attn" : "mlp"}`,
        })),
      );
      const [lacking, holding] =
        side === "candidate"
          ? [result.notCaptured.candidate, result.notCaptured.reference]
          : [result.notCaptured.reference, result.notCaptured.candidate];
      expect(lacking).toContain("layers.0.attn@0.0");
      expect(holding).toEqual([]);
    }
  });

  it("is that of none where the norms alone stand against the blocks", async () => {
    await expect(compared(modules(NORMS), modules(BLOCKS))).rejects.toMatchObject({
      code: "nothing-aligned",
    });
  });

  it("is that of a floor as of the reference", async () => {
    const alone = modules(BLOCKS);
    const result = await compared(alone, modules({ ...BLOCKS, ...NORMS }), {
      floors: [file(modules({ self_attn: 1, mlp: 6 }))],
    });
    expect(Object.values(figures(result))).toEqual([0, 0, 0, 0]);
    expect(result.tensors.map(({ floor }) => floor !== null)).toEqual([true, true, true, true]);
  });

  it("is that of the module that the other side has under its own name", async () => {
    const contested = { "layers.0.attn": tensor(7, 4), [path("self_attn", 0)]: tensor(1, 4) };
    const plain = { [path("self_attn", 0)]: tensor(1, 4) };
    for (const result of [await compared(contested, plain), await compared(plain, contested)]) {
      expect(figures(result)).toEqual({ [path("self_attn", 0)]: 0 });
      expect(told(result)).toHaveLength(1);
    }
  });

  it("is that of the map where there is one", async () => {
    const alone = { [path("self_attn", 0)]: tensor(1, 4, 1.5) };
    const norms = {
      [path("post_attention_layernorm", 0)]: tensor(1, 4),
      [path("post_feedforward_layernorm", 0)]: tensor(2, 4),
    };
    const map = [
      { name: "layers.0.attn", from: path("self_attn", 0), side: "candidate", at: "map.yaml:1" },
    ] as const;
    const result = await compared(norms, alone, { map });
    expect(figures(result)).toMatchObject({ "layers.0.attn": 0.5 });
    expect(told(result)).toEqual([]);
  });
});

it("tells of integers of both sides, which no rule compares", async () => {
  const side = (last: number): FileTensors => ({
    norm: tensor(1, 4),
    "mlp.experts": i64([TOKENS], [1, 2, 3, 4, 5, last]),
    seq: i64([2], [1, last]),
  });
  const result = await compared(side(6), side(7));
  expect(result.verdict).toBe("pass");
  expect(of(result, "input/integers")).toMatchObject([
    { level: "info", value: 2, detail: { names: "mlp.experts, seq" } },
  ]);
  expect(of(await compared({ norm: tensor(1, 4) }, side(7)), "input/integers")).toEqual([]);
});
