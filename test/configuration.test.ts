/** What models that differ in a constant are told, and which are refused. */

import { basename } from "node:path";
import { expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { Finding } from "../src/core/findings.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { renderMarkdown } from "../src/report/markdown.ts";
import { PLAIN } from "../src/report/style.ts";
import { renderText } from "../src/report/text.ts";
import { scratch } from "./support/scratch.ts";
import { addNoise, LAYERS, toyTensors, writeToyRun } from "./support/toy-run.ts";

type Model = Readonly<Record<string, unknown>>;

const files = scratch();
const REFERENCE = "a".repeat(32);
const CANDIDATE = "b".repeat(32);
const FLOOR = "c".repeat(32);

interface RunParts {
  readonly seed?: number;
  readonly replays?: string;
  /** Tensors that are wrong. */
  readonly broken?: readonly string[];
}

function write(
  id: string,
  model: Model,
  { seed = 0, replays, broken = [] }: RunParts = {},
): string {
  const tensors = toyTensors();
  if (seed > 0) addNoise(tensors, 2 ** -9, seed);
  for (const tensor of tensors) {
    if (broken.includes(tensor.name)) tensor.values = tensor.values.map((value) => -value);
  }
  const file = files.path();
  writeToyRun(file, tensors, {
    id,
    dtype: seed > 0 ? "BF16" : "F32",
    run: {
      model: { layers: LAYERS, ...model },
      ...(replays === undefined ? {} : { capture: { replay_of: { id: replays } } }),
    },
  });
  return file;
}

async function compare(
  reference: Model,
  candidate: Model,
  { broken, ...options }: Partial<CompareOptions> & { readonly broken?: readonly string[] } = {},
): Promise<ComparisonResult> {
  return compareDumps({
    reference: write(REFERENCE, reference),
    candidate: write(CANDIDATE, candidate, {
      seed: 1,
      ...(broken === undefined ? {} : { broken }),
    }),
    ...options,
  });
}

function about(result: ComparisonResult, rule: string): readonly Finding["detail"][] {
  return result.findings.filter((finding) => finding.rule === rule).map(({ detail }) => detail);
}

test("a key that differs is a warning, and no failure by itself", async () => {
  const result = await compare({ rms_norm_eps: 1e-6 }, { rms_norm_eps: 1e-5 });
  expect(result.verdict).toBe("pass");
  expect(about(result, "input/config")).toEqual([
    { key: "model.rms_norm_eps", reference: "0.000001", candidate: "0.00001" },
  ]);
});

test.each([
  ["both lack it", {}, {}],
  ["one lacks it", { logit_scale: 2 }, {}],
  ["it is the same in float32, as GGUF stores it", { eps: 1e-5 }, { eps: 9.999999747378752e-6 }],
  ["a list is equal", { layer_types: ["a", "b"] }, { layer_types: ["a", "b"] }],
])("no warning where %s", async (_name, reference, candidate) => {
  expect(about(await compare(reference, candidate), "input/config")).toEqual([]);
});

test("null is what a model has, not what it does not say", async () => {
  const result = await compare(
    { attn_logit_softcapping: 50, quantization_config: null },
    { attn_logit_softcapping: null, quantization_config: { quant_method: "gptq", bits: 4 } },
  );
  expect(about(result, "input/config")).toEqual([
    { key: "model.attn_logit_softcapping", reference: "50", candidate: "null" },
    {
      key: "model.quantization_config",
      reference: "null",
      candidate: '{"quant_method":"gptq","bits":4}',
    },
  ]);
});

test("a rotary base that stands in two places is told once, by its shorter name", async () => {
  const rope = (theta: number): Model => ({
    rope_parameters: { rope_type: "default", rope_theta: theta },
    rope_theta: theta,
  });
  const result = await compare(rope(10000), rope(100000));
  expect(about(result, "input/config")).toEqual([
    { key: "model.rope_theta", reference: "10000", candidate: "100000" },
  ]);
});

test("what identifies a model without changing what it computes has a rule of its own", async () => {
  const model = (name: string): Model => ({ id: name, weights_sha256: name, eos_token_id: name });
  const result = await compare(model("x"), model("y"));
  expect(about(result, "input/config")).toEqual([]);
  expect(about(result, "input/model").map(({ key }) => key)).toEqual([
    "model.id",
    "model.weights_sha256",
    "model.eos_token_id",
  ]);
});

test("a hostile model that differs in everything is told in part", async () => {
  const model = (value: number): Model =>
    Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [`key${String(index)}`, value + index]),
    );
  const result = await compare(model(0), model(5000));
  expect(about(result, "input/config")).toHaveLength(50);
});

test("the cause of an origin is the key that its module reads, with both values", async () => {
  const options = { broken: ["layers.1.attn"] };
  const result = await compare(
    { hidden_act: "silu", rope_theta: 10000 },
    { hidden_act: "gelu_new", rope_theta: 100000 },
    options,
  );
  expect(result.origin?.tensor).toBe("layers.1.attn");
  // Delta nets have an activation inside their attention.
  expect(result.origin?.causes[0]).toMatchObject({
    id: "cause/configuration",
    evidence: 'hidden_act "silu" against "gelu_new"; rope_theta 10000 against 100000',
  });
  const elsewhere = await compare(
    { final_logit_softcapping: 30 },
    { final_logit_softcapping: null },
    options,
  );
  expect(elsewhere.origin?.causes.map(({ id }) => id)).not.toContain("cause/configuration");
});

test.each(["en", "zh"] as const)(
  "Markdown in %s names the key before other notes",
  async (lang) => {
    const result = await compare(
      { id: "x", rope_theta: 10000 },
      { id: "y", rope_theta: 100000 },
      { broken: ["layers.1.attn"] },
    );
    const text = renderMarkdown(result, { lang });
    const notes = text.split("\n").filter((line) => line.startsWith("- model."));
    expect(notes[0]).toMatch(/rope\\_theta.*10000.*100000/);
    expect(text).toContain("rope\\_theta 10000 against 100000");
  },
);

test("a floor of another model is warned about", async () => {
  const floor = write(FLOOR, { rope_theta: 500, weights_sha256: "w2" }, { seed: 2 });
  const result = await compare(
    { rope_theta: 10000, weights_sha256: "w1" },
    { rope_theta: 10000, weights_sha256: "w1" },
    { floors: [floor] },
  );
  expect(about(result, "input/config")).toEqual([]);
  const file = basename(floor);
  expect(about(result, "input/floor-config")).toEqual([
    { file, key: "model.weights_sha256", reference: '"w1"', floor: '"w2"' },
    { file, key: "model.rope_theta", reference: "10000", floor: "500" },
  ]);
});

test.each([
  ["constant", { rms_norm_eps: 1e-5 }, { rms_norm_eps: 1e-2 }, "rms_norm_eps 0.01"],
  ["weights", { weights_sha256: "w1" }, { weights_sha256: "w2" }, 'weights_sha256 "w2"'],
])("a forced reference of another %s is none", async (_name, mine, theirs, shown) => {
  const forced = write("d".repeat(32), theirs, { replays: CANDIDATE });
  await expect(compare(mine, mine, { forced: [forced] })).rejects.toMatchObject({
    code: "forced-incompatible",
    facts: [
      { label: "reference" },
      { label: "forced", text: expect.stringContaining(shown) as string },
    ],
  });
});

test("a forced reference that says nothing of a constant is one", async () => {
  const forced = write("d".repeat(32), {}, { replays: CANDIDATE });
  const result = await compare(
    { rms_norm_eps: 1e-5 },
    { rms_norm_eps: 1e-5 },
    { forced: [forced] },
  );
  expect(result.inputs.forced).toHaveLength(1);
});

test.each(["en", "zh"] as const)("the text in %s names the key above the tensors", async (lang) => {
  const result = await compare(
    { rope_theta: 10000 },
    { rope_theta: 100000 },
    { broken: ["layers.1.attn"] },
  );
  const options = { lang, ascii: false, columns: 100, style: PLAIN };
  const lines = renderText(result, options).split("\n");
  const at = lines.findIndex((line) => /model\.rope_theta.*10000.*100000/.test(line));
  expect(at).toBeGreaterThan(0);
  expect(at).toBeLessThan(lines.findIndex((line) => line.startsWith("  >")));
});
