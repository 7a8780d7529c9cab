/** Causes in the result of a comparison, and what the reports make of them. */

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { createDumpWriter } from "../src/dump/write-dump.ts";
import { renderMarkdown } from "../src/report/markdown.ts";
import { PLAIN } from "../src/report/style.ts";
import { renderText } from "../src/report/text.ts";
import { bfloat16, engine, ROWS, reference, SAMPLES, TOKENS, WIDTH } from "./diagnose/specimens.ts";
import { scratch } from "./support/scratch.ts";

const { folder } = scratch();

const NAMES = ["embed", "layers.0.attn", "layers.0.mlp", "layers.0", "norm"] as const;
type Name = (typeof NAMES)[number];
type Values = Readonly<Record<Name, Float64Array>>;

function each(make: (name: Name, index: number) => Float64Array): Values {
  return Object.fromEntries(NAMES.map((name, index) => [name, make(name, index)])) as Values;
}

const REFERENCE = each((_name, index) => reference(index + 1));

/** A correct engine's tensors: an embedding is looked up, and only rounded. */
function correct(seed: number): Values {
  return each((name, index) =>
    name === "embed" ? REFERENCE.embed.map(bfloat16) : engine(REFERENCE[name], seed + index),
  );
}

const CANDIDATE = correct(50);

function write(path: string, values: Values, id: string, replayed: string | null = null): void {
  const writer = createDumpWriter(path, {
    tool: { name: "test", version: "1" },
    id,
    dtype: id.startsWith("r") ? "F32" : "BF16",
    model: { id: "toy/model", layers: 1 },
    ...(replayed === null ? {} : { capture: { replay_of: { id: replayed } } }),
  });
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    writer.write({
      name: "input_ids",
      kind: "tokens",
      dtype: "I64",
      sample,
      shape: [TOKENS],
      bytes: new Uint8Array(BigInt64Array.from({ length: TOKENS }, (_, i) => BigInt(i)).buffer),
    });
    for (const name of NAMES) {
      const from = sample * TOKENS * WIDTH;
      const piece = Float32Array.from(values[name].subarray(from, from + TOKENS * WIDTH));
      const shape = [TOKENS, WIDTH];
      writer.write({ name, sample, dtype: "F32", shape, bytes: new Uint8Array(piece.buffer) });
    }
  }
  writer.close();
}

/** Compares a candidate of which some tensors are changed, with forced references or without. */
async function compared(
  changes: Partial<Record<Name, (value: number, index: number) => number>>,
  isForced = true,
): Promise<ComparisonResult> {
  const directory = mkdtempSync(join(folder, "pair-"));
  const path = (name: string): string => join(directory, `${name}.arrow`);
  const candidate = each((name) =>
    CANDIDATE[name].map((value, i) => bfloat16((changes[name] ?? Number)(value, i))),
  );
  write(path("reference"), REFERENCE, "r0");
  write(path("npu"), candidate, "c0");
  const floors = ["f1", "f2"];
  for (const [nth, id] of floors.entries()) {
    write(path(id), correct(70 + 9 * nth), id);
  }
  const forced = isForced ? ["c0", ...floors] : [];
  for (const id of forced) write(path(`r.${id}`), REFERENCE, `r.${id}`, id);
  return compareDumps({
    reference: path("reference"),
    candidate: path("npu"),
    floors: floors.map(path),
    forced: forced.map((id) => path(`r.${id}`)),
  });
}

const textOf = (result: ComparisonResult, lang: "en" | "zh"): string =>
  renderText(result, { lang, style: PLAIN, ascii: lang === "en", columns: 80 });

describe.each([
  ["with forced references", true],
  ["of a plain pair", false],
])("%s", (_name, isForced) => {
  test("the origin's cause has evidence, confidence and numbers", async () => {
    const result = await compared({ "layers.0.mlp": (value) => 1.25 * value }, isForced);
    expect(result.origin?.tensor).toBe("layers.0.mlp");
    const [cause, ...others] = result.origin?.causes ?? [];
    expect(others).toEqual([]);
    expect(cause?.id).toBe("cause/scale");
    expect(cause?.confidence).toBeGreaterThan(0.9);
    expect(Math.abs(Number(cause?.detail["gain"]) - 1.25)).toBeLessThan(0.001);
    expect(cause?.evidence).toMatch(/^the output is 1\.2(49|50?)\d* times what it should be$/);
    expect(result.groups[0]?.origin).toEqual(result.origin);
    expect(textOf(result, "en")).toMatch(/cause: the output is 1\.2\d* times/);
    expect(textOf(result, "en")).toContain("next: npu-diff explain cause/scale");
    expect(textOf(result, "zh")).toContain("原因：输出为应有值的 1.2");
    expect(renderMarkdown(result, { lang: "en" })).toMatch(/^- cause: the output is 1/m);
  });

  test("a clean candidate has none", async () => {
    const result = await compared({}, isForced);
    expect([result.verdict, result.origin]).toEqual(["pass", null]);
  });
});

test("each independent fault has its own cause", async () => {
  const result = await compared({
    "layers.0.attn": (value, i) => (i % WIDTH === 9 ? 0 : value),
    norm: (value) => -value,
  });
  const [group] = result.groups;
  expect(group?.origin?.causes.map(({ id }) => id)).toEqual(["cause/channel"]);
  expect(group?.independent.map(({ tensor, causes }) => [tensor, causes[0]?.id])).toEqual([
    ["norm", "cause/sign"],
  ]);
  expect(textOf(result, "en")).toMatch(/norm: cause: the output is -1/);
});

test("both blocks of a layer silent: the layer did not run", async () => {
  const result = await compared({ "layers.0.attn": () => 0, "layers.0.mlp": () => 0 }, false);
  const causes = [result.origin, ...(result.groups[0]?.independent ?? [])].map(
    (origin) => origin?.causes[0]?.id,
  );
  expect(causes[0]).toBe("cause/skipped");
});

test("where no cause is sure, the next step is the probe of that module", async () => {
  const mixed = (value: number, i: number): number =>
    value + 0.3 * (REFERENCE["layers.0.attn"][(i + WIDTH) % (ROWS * WIDTH)] ?? 0);
  const result = await compared({ "layers.0.attn": mixed });
  expect(result.origin).toMatchObject({ tensor: "layers.0.attn", causes: [] });
  expect(textOf(result, "en")).toContain(
    "next: npu-dump probe npu.arrow --module layers.0.attn --model toy/model",
  );
  // Without a forced reference nobody knows that the module itself is at fault.
  const plain = await compared({ "layers.0.attn": mixed }, false);
  expect(textOf(plain, "en")).not.toContain("npu-dump probe");
});
