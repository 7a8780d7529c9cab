/** Which names and places tensors of other tools' files get: padding, and norms behind a block. */

import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { type FileTensors, f32, i64, safetensors } from "../support/safetensors.ts";
import { errorOf, random, scratch } from "../support/scratch.ts";

const files = scratch();
const file = (tensors: FileTensors): string => files.file(safetensors(tensors), ".safetensors");

/** Names, samples and shapes of a file's tensors, in its order. */
function places(tensors: FileTensors): readonly string[] {
  const dump = openDump(file(tensors));
  const found = dump.tensors.map(
    ({ name, sample, shape }) => `${name}@${sample} [${shape.join(",")}]`,
  );
  dump.close();
  return found;
}

const WIDTH = 4;
const lengths = [3, 5, 1];
const next = random(1);
const numbers = (count: number): number[] =>
  Array.from({ length: count }, () => Math.round(next() * 4096 - 2048) || 1);
const samples = lengths.map((length) => ({
  ids: Array.from({ length }, (_, t) => 100 + t),
  embed: numbers(length * WIDTH),
  other: numbers(length * 2 * WIDTH),
}));

/** The samples as one batch, padded with what must not be compared. */
function padded(side: "left" | "right", factor = 1): FileTensors {
  const tokens = 6;
  const fill = (values: readonly number[], width: number, pad: number): readonly number[] => {
    const padding = Array.from({ length: tokens * width - values.length }, () => pad);
    return side === "left" ? [...padding, ...values] : [...values, ...padding];
  };
  const batch = (of: (sample: (typeof samples)[number]) => readonly number[]) =>
    samples.flatMap(of);
  return {
    input_ids: i64(
      [3, tokens],
      batch(({ ids }) => fill(ids, 1, 0)),
    ),
    attention_mask: i64(
      [3, tokens],
      batch(({ ids }) =>
        fill(
          ids.map(() => 1),
          1,
          0,
        ),
      ),
    ),
    "model.embed_tokens": f32(
      [3, tokens, WIDTH],
      batch(({ embed }) =>
        fill(
          embed.map((one) => one * factor),
          WIDTH,
          9e9,
        ),
      ),
    ),
    "model.layers.0.self_attn.q_proj": f32(
      [3, tokens, 2, WIDTH],
      batch(({ other }) => fill(other, 2 * WIDTH, 9e9)),
    ),
  };
}

const apart: FileTensors = Object.fromEntries(
  samples.flatMap(({ ids, embed, other }, i) => [
    [`input_ids@${i}`, i64([ids.length], ids)],
    [`embed@${i}`, f32([ids.length, WIDTH], embed)],
    [`model.layers.0.self_attn.q_proj@${i}`, f32([ids.length, 2, WIDTH], other)],
  ]),
);

describe("a padded batch", () => {
  it.each(["left", "right"] as const)(
    "is compared with prompts without padding: %s",
    async (side) => {
      const result = await compareDumps({
        reference: file(apart),
        candidate: file(padded(side, 1.25)),
      });
      expect(result.tensors.map(({ name, relL2 }) => [name, relL2])).toEqual([
        ["embed", 0.25],
        ["model.layers.0.self_attn.q_proj", 0],
      ]);
      expect(result.tokens).toEqual({ samples: 3, tokens: 9 });
      expect(result.notCaptured).toEqual({ reference: [], candidate: [] });
    },
  );

  it("has its ids in a dictionary of inputs, too", async () => {
    const { input_ids, attention_mask, ...rest } = padded("left");
    const nested = {
      ...rest,
      "inputs.input_ids": input_ids,
      "inputs.attention_mask": attention_mask,
    };
    const other = { ...apart, "input_ids@1": i64([5], [100, 101, 102, 103, 999]) };
    const candidate = file(nested as FileTensors);
    await expect(compareDumps({ reference: file(other), candidate })).rejects.toMatchObject({
      code: "tokens-differ",
    });
    const same = await compareDumps({ reference: file(apart), candidate });
    expect(same.findings.map(({ rule }) => rule)).not.toContain("input/unverified");
  });

  it("still has to be of the same ids", async () => {
    const other = { ...apart, "input_ids@1": i64([5], [100, 101, 102, 103, 999]) };
    await expect(
      compareDumps({ reference: file(other), candidate: file(padded("left")) }),
    ).rejects.toMatchObject({ code: "tokens-differ" });
  });

  it.each([
    ["a gap", [1, 1, 0, 1, 1, 1], /gap at token 2 of sample 0/],
    ["no token", [0, 0, 0, 0, 0, 0], /no token in sample 0/],
    ["other numbers", [0, 0, 1, 1, 2, 1], /2 in sample 0/],
  ])("is refused with a mask of %s", (_, row, found) => {
    const mask = i64([3, 6], [...row, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1]);
    expect(
      errorOf(() => openDump(file({ ...padded("left"), attention_mask: mask }))),
    ).toMatchObject({
      code: "dump-schema",
      facts: [{ text: expect.stringMatching(found) as unknown }, {}],
    });
  });

  it("is known where its tokens stand in a row, as a router is given them", async () => {
    const inARow = (side: "left" | "right"): FileTensors => {
      const { input_ids, attention_mask, "model.embed_tokens": batch } = padded(side);
      const router = { ...batch, shape: [3 * 6, WIDTH] };
      return { input_ids, attention_mask, "model.layers.0.mlp.gate": router } as FileTensors;
    };
    expect(places(inARow("left")).slice(-3)).toEqual([
      "layers.0.router@0 [3,4]",
      "layers.0.router@1 [5,4]",
      "layers.0.router@2 [1,4]",
    ]);
    const result = await compareDumps({
      reference: file(inARow("left")),
      candidate: file(inARow("right")),
    });
    expect(result.tensors.map(({ name, relL2 }) => [name, relL2])).toEqual([
      ["layers.0.router", 0],
    ]);
  });

  it("keeps what is no part of the batch", () => {
    const named = places({
      ...padded("right"),
      "rotary.cos": f32([6, 2], numbers(12)),
      causal: f32([3, 2, 6, 6], numbers(216)),
    });
    // As many heads as tokens.
    const heads = f32([3, 6, 6, 6], numbers(648));
    expect(places({ ...padded("right"), "attn.weights": heads })).toContain(
      "attn.weights@0 [3,6,6,6]",
    );
    expect(named).toContain("rotary.cos@0 [6,2]");
    expect(named).toContain("causal@0 [3,2,6,6]");
    expect(named).toContain("embed@2 [1,4]");
    expect(named.join()).not.toContain("attention_mask");
  });
});

describe("one side's axis for a batch of one", () => {
  const one = numbers(6 * WIDTH);
  const flat = f32([6, WIDTH], one);
  const batched = (factor: number) =>
    f32(
      [1, 6, WIDTH],
      one.map((value) => value * factor),
    );
  const ids = { input_ids: i64([6], [1, 2, 3, 4, 5, 6]) };
  const figuresOf = async (reference: FileTensors, candidate: FileTensors) => {
    const result = await compareDumps({
      reference: file({ ...ids, ...reference }),
      candidate: file({ ...ids, ...candidate }),
      floors: [file({ ...ids, "layers.0.q_proj": batched(1 + 1 / 64) })],
    });
    return result.tensors.map(({ name, relL2, floorRatio }) => [
      name,
      relL2,
      floorRatio === null ? null : Math.round(floorRatio),
    ]);
  };

  it("is left out, whatever the module", async () => {
    const found = [["layers.0.q_proj", 0.25, 16]];
    const name = "layers.0.q_proj";
    expect(await figuresOf({ [name]: flat }, { [name]: batched(1.25) })).toEqual(found);
    expect(await figuresOf({ [name]: batched(1) }, { [`model.${name}`]: scaled(flat) })).toEqual(
      found,
    );
  });

  it("is kept where the rest differs as well", async () => {
    const found = await figuresOf({ one: flat }, { one: f32([1, 4, 6], one) });
    expect(found).toEqual([["one", null, null]]);
  });
});

const scaled = ({ shape, data }: { shape: readonly number[]; data: unknown }) =>
  f32(
    shape,
    Array.from(data as Float32Array, (value) => value * 1.25),
  );

it("does not pass floating-point numbers that one side stores as integers", async () => {
  const rest = { k: f32([2, 2], [1, 2, 3, 4]) };
  const [floats, integers] = [
    file({ ...rest, out: f32([2], [3, -7]) }),
    file({ ...rest, out: i64([2], [3, -7]) }),
  ];
  for (const [reference, candidate, side] of [
    [floats, integers, "candidate"],
    [integers, floats, "reference"],
  ] as const) {
    const { verdict, missing } = await compareDumps({ reference, candidate });
    expect([verdict, missing[side]]).toEqual(["fail", ["out@0.0"]]);
  }
});

describe("what a block hands to the residual sum", () => {
  const row = f32([1, WIDTH], numbers(WIDTH));
  const names = (...paths: string[]): readonly string[] =>
    places(Object.fromEntries(paths.map((path) => [path, row]))).map((one) =>
      one.replace(/@.*/, ""),
    );

  it("is the norm's output where a norm is behind the block", () => {
    expect(
      names(
        "model.layers.0.self_attn",
        "model.layers.0.post_attention_layernorm",
        "model.layers.0.pre_feedforward_layernorm",
        "model.layers.0.mlp",
        "model.layers.0.post_feedforward_layernorm",
        "model.layers.0",
      ),
    ).toEqual([
      "model.layers.0.self_attn",
      "layers.0.attn",
      "model.layers.0.pre_feedforward_layernorm",
      "model.layers.0.mlp",
      "layers.0.mlp",
      "layers.0",
    ]);
    expect(names("model.layers.3.post_self_attn_layernorm", "model.layers.3.mlp")).toEqual([
      "layers.3.attn",
      "model.layers.3.mlp",
    ]);
  });

  it("is the block's own where the norm is in front of the next one", () => {
    expect(
      names(
        "model.layers.0.self_attn",
        "model.layers.0.post_attention_layernorm",
        "model.layers.0.mlp",
      ),
    ).toEqual(["layers.0.attn", "model.layers.0.post_attention_layernorm", "layers.0.mlp"]);
  });

  it("is known behind wrappers and in paths of graphs", () => {
    expect(
      names(
        "model.layers.0._orig_mod.self_attn.output.0",
        "_orig_mod.model.layers.1._checkpoint_wrapped_module.mlp",
        "/model/layers.2/self_attn/MatMul_output_0",
        "/model/layers.2/Add_output_0",
        "/lm_head/MatMul_output_0",
      ),
    ).toEqual([
      "layers.0.attn",
      "layers.1.mlp",
      // Steps inside a module: which of them is its output cannot be told.
      "/model/layers.2/self_attn/MatMul_output_0",
      "/model/layers.2/Add_output_0",
      "logits",
    ]);
  });
});
