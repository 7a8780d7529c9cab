/** SmolLM2-135M-Instruct without its logits, and through its head: what whole logits say, in little room. */

import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { bothTools, ROOT } from "../support/both-tools.ts";
import { MAIN } from "../support/cli.ts";

/** Passages of the demo. */
const PASSAGES = 4;
const SIDES = ["reference", "candidate"] as const;

const { folder, run, python, compare } = bothTools();

let model: string;

beforeAll(() => {
  model = run(process.execPath, join(ROOT, "scripts/model.mjs")).trim();
  const passages = readFileSync(join(ROOT, "demo/passages.jsonl"), "utf8").split("\n");
  writeFileSync(join(folder, "prompts.jsonl"), `${passages.slice(0, PASSAGES).join("\n")}\n`);
  const capture = [
    "--model",
    model,
    "--dtype",
    "float32",
    "--select",
    "norm",
    "--select",
    "logits",
  ];
  const prompts = ["--prompts", "prompts.jsonl", "-o", "reference.arrow"];
  python("-m", "npu_dump", "run", ...capture, ...prompts);
  // Float32 as well, with an error that shows in what it predicts.
  const coarse = [join(ROOT, "test/e2e/rounded_engine.py"), "63", ...capture];
  python(...coarse, "--tokens-from", "reference.arrow", "-o", "candidate.arrow");
  for (const side of SIDES) {
    const strip = join(ROOT, "test/support/without_tensor.py");
    python(strip, "logits", `${side}.arrow`, `${side}-norm.arrow`);
  }
}, 600_000);

test("dumps that hold norm alone say what whole logits say, in little memory", async () => {
  for (const side of SIDES) {
    const [whole = 0, norm = 0] = [`${side}.arrow`, `${side}-norm.arrow`].map(
      (name) => statSync(join(folder, name)).size,
    );
    expect(whole / norm).toBeGreaterThan(20);
  }

  const weights = join(model, "model.safetensors");
  const dumps = SIDES.map((side) => `${side}-norm.arrow`);
  const through = [process.execPath, MAIN, "compare", ...dumps, "--lm-head", weights, "--json"];
  const measure = join(ROOT, "test/e2e/peak_memory.py");
  const peak = Number(python(measure, "through.json", ...through));
  // The head is the embedding: bfloat16 of 49,152 tokens, 576 wide.
  expect(peak).toBeLessThan(300e6 + 1.5 * 49_152 * 576 * 2);

  const computed = JSON.parse(
    readFileSync(join(folder, "through.json"), "utf8"),
  ) as ComparisonResult;
  const [, stored] = await compare("reference.arrow", "candidate.arrow");
  for (const side of SIDES) {
    const [mine, theirs] = [computed, stored].map(({ quality }) => quality.perplexity?.[side]);
    expect(Math.abs((mine ?? Number.NaN) / (theirs ?? Number.NaN) - 1)).toBeLessThan(1e-5);
  }
  const kl = stored.quality.kl?.mean ?? Number.NaN;
  expect(kl).toBeGreaterThan(1e-3);
  expect(Math.abs((computed.quality.kl?.mean ?? Number.NaN) - kl)).toBeLessThan(1e-4 * kl);
  // What the dump says of its weights is what the file is.
  expect(computed.findings.map(({ rule }) => rule)).not.toContain("input/lm-head-weights");
}, 120_000);
