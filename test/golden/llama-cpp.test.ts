/**
 * KL divergence, perplexities and their uncertainties against llama.cpp's
 * formulae (`fixtures/llama_statistics.py`). Those take tokens for independent:
 * ours, clustered by sample, are the same where every token is a sample.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { Quality } from "../../src/core/quality.ts";
import type { Dump, TensorEntry } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { scratch } from "../support/scratch.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));

interface Figures {
  readonly tokens: number;
  readonly positions: number;
  readonly perplexity: Readonly<Record<"reference" | "candidate" | "uncertainty", number>>;
  readonly logRatio: Readonly<Record<"mean" | "uncertainty" | "clustered", number>>;
  readonly ratio: Readonly<Record<"value" | "uncertainty", number>>;
  readonly difference: number;
  readonly kld: Readonly<Record<KlFigure | "uncertainty" | "clustered", number>>;
  readonly deltaP: Readonly<Record<keyof NonNullable<Quality["deltaP"]>, number>>;
  readonly sameTop: Readonly<Record<"share" | "uncertainty", number>>;
}

type KlFigure = "mean" | "median" | "p95" | "p99" | "p999" | "max";

const EXPECTED = JSON.parse(readFileSync(`${FIXTURES}llama-cpp/expected.json`, "utf8")) as Readonly<
  Record<string, Figures>
>;

const files = scratch();

/**
 * The ids and logits of a dump, cut into samples of `rows` rows that begin at
 * every token: two rows make one prediction, one makes none.
 */
function cut(source: string, rows: 1 | 2): string {
  const dump = openDump(source);
  const path = files.path();
  try {
    const writer = createDumpWriter(path, {
      tool: { name: "test", version: "1" },
      id: `${dump.run.id}${String(rows)}`,
      dtype: dump.run.dtype,
    });
    const pieces = dump.tensors.filter(({ name, step }) => step === 0 && name === "logits");
    let sample = 0;
    for (const logits of pieces) {
      const ids = dump.tensors.find(
        (entry) => entry.name === "input_ids" && entry.step === 0 && entry.sample === logits.sample,
      );
      if (ids === undefined) throw new Error("a sample without ids");
      const [idBytes, logitBytes] = [bytesOf(dump, ids), bytesOf(dump, logits)];
      const [tokens = 0, vocabulary = 0] = logits.shape;
      const width = logitBytes.byteLength / tokens;
      for (let token = 0; token + rows <= tokens; token += 1) {
        const piece = { sample, shape: [rows, vocabulary] };
        writer.write({
          name: "input_ids",
          kind: "tokens",
          dtype: "I64",
          sample,
          shape: [rows],
          bytes: idBytes.slice(8 * token, 8 * (token + rows)),
        });
        const bytes = logitBytes.slice(width * token, width * (token + rows));
        writer.write({ name: "logits", dtype: logits.dtype, ...piece, bytes });
        sample += 1;
      }
    }
    writer.close();
  } finally {
    dump.close();
  }
  return path;
}

function bytesOf(dump: Dump, entry: TensorEntry): Uint8Array {
  const bytes = new Uint8Array(entry.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0));
  dump.read(entry, 0, bytes);
  return bytes;
}

describe.each(Object.entries(EXPECTED))("%s", (pair, llama) => {
  const reference = `${FIXTURES}pairs/clean/reference.arrow`;
  const candidate = `${FIXTURES}pairs/${pair}/candidate.arrow`;

  /** The quality of the whole prompts, or of their tokens as samples of so many rows. */
  async function quality(rows: 1 | 2 | null): Promise<Quality> {
    const [x, y] = [reference, candidate].map((path) => (rows === null ? path : cut(path, rows)));
    return (await compareDumps({ reference: x ?? "", candidate: y ?? "" })).quality;
  }

  function close(found: number | null | undefined, wanted: number): void {
    const error = Math.abs((found ?? Number.NaN) - wanted);
    expect(
      error <= Math.max(1e-12, 1e-8 * Math.abs(wanted)),
      `${String(found)} for ${String(wanted)}`,
    ).toBe(true);
  }

  test("perplexities, their ratio and difference", async () => {
    const { perplexity } = await quality(null);
    expect(perplexity?.tokens).toBe(llama.tokens);
    close(perplexity?.reference, llama.perplexity.reference);
    close(perplexity?.candidate, llama.perplexity.candidate);
    close(1 + (perplexity?.relativeIncrease ?? Number.NaN), llama.ratio.value);
    close((perplexity?.candidate ?? 0) - (perplexity?.reference ?? 0), llama.difference);
    close(perplexity?.deltaNll.mean, llama.logRatio.mean);
    close(perplexity?.deltaNll.se, llama.logRatio.clustered);
  });

  test("the paired uncertainty of ln(PPL ratio) is ours where every prediction is a sample", async () => {
    const { perplexity } = await quality(2);
    expect(perplexity?.samples).toBe(llama.tokens);
    close(perplexity?.deltaNll.se, llama.logRatio.uncertainty);
    const of = (ratio: number): number => ratio * (perplexity?.deltaNll.se ?? Number.NaN);
    close(of(1 + (perplexity?.relativeIncrease ?? Number.NaN)), llama.ratio.uncertainty);
  });

  test("KL divergence and its quantiles", async () => {
    const { kl } = await quality(null);
    expect(kl?.positions).toBe(llama.positions);
    close(kl?.mean, llama.kld.mean);
    close(kl?.se, llama.kld.clustered);
    for (const name of ["median", "p95", "p99", "p999", "max"] as const) {
      close(kl?.[name], llama.kld[name]);
    }
  });

  test("the uncertainty of KL is ours where every token is a sample", async () => {
    const { kl } = await quality(1);
    expect(kl?.clusters).toBe(llama.positions);
    close(kl?.se, llama.kld.uncertainty);
  });

  test("the change of the true token's probability, and the same best token", async () => {
    const { deltaP, top1Agreement } = await quality(null);
    for (const name of ["rms", "p1", "p5", "p50", "p95", "p99", "min", "max"] as const) {
      close(deltaP?.[name], llama.deltaP[name]);
    }
    close(top1Agreement?.strict, llama.sameTop.share);
  });
});
