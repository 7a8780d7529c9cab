/** Logits from `norm` through the weights of a head, and the logit lens, held to NumPy float64. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import { DTYPES } from "../src/core/dtype.ts";
import { isNpuDiffError } from "../src/core/errors.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import type { RunMetadata } from "../src/dump/dump.ts";
import { openDump } from "../src/dump/open-dump.ts";
import { createDumpWriter } from "../src/dump/write-dump.ts";
import { TINY_LLAMA } from "./support/both-tools.ts";
import { cli, MAIN } from "./support/cli.ts";
import { python } from "./support/python.ts";
import { scratch } from "./support/scratch.ts";

const PAIRS = new URL("../fixtures/pairs/", import.meta.url).pathname;
const WHOLE = {
  reference: `${PAIRS}clean/reference.arrow`,
  candidate: `${PAIRS}rotary-base/candidate.arrow`,
  floor: `${PAIRS}clean/floor.arrow`,
};
const WHOLE_PAIR = { reference: WHOLE.reference, candidate: WHOLE.candidate };
const { folder } = scratch();
const at = (name: string): string => join(folder, name);

interface Expected {
  readonly perplexity: readonly [number, number];
  readonly kl: { readonly mean: number; readonly max: number; readonly gm: number };
  readonly lens: readonly {
    readonly tensor: string;
    readonly mean: number;
    readonly gm: number;
    readonly floorRatio: number;
    readonly top1: number;
  }[];
}

let expected: { readonly plain: Expected; readonly odd: Expected };

beforeAll(() => {
  const { reference, candidate, floor } = WHOLE;
  expected = JSON.parse(
    python("lm_head.py", folder, reference, candidate, floor, TINY_LLAMA),
  ) as typeof expected;
});

/** Copies a dump with the sign of all logits turned. */
function negateLogits(path: string, out: string): void {
  copy(path, out, { id: "negated" }, true);
}

/** Copies a dump, with other entries in its run. */
function copy(path: string, out: string, run: Partial<RunMetadata>, negated = false): void {
  const dump = openDump(path);
  const writer = createDumpWriter(out, { ...dump.run, ...run });
  for (const entry of dump.tensors.filter(({ encoding }) => encoding === "dense")) {
    const size = DTYPES[entry.dtype].bytes;
    const bytes = new Uint8Array(entry.elements * size);
    dump.read(entry, 0, bytes);
    if (negated && entry.name === "logits") {
      for (let at = size - 1; at < bytes.length; at += size)
        bytes[at] = (bytes[at] as number) ^ 0x80;
    }
    writer.write({ ...entry, bytes });
  }
  writer.close();
  dump.close();
}

function compare(lmHead: string, options: Partial<CompareOptions> = {}): Promise<ComparisonResult> {
  return compareDumps({
    reference: at("reference.arrow"),
    candidate: at("candidate.arrow"),
    floors: [at("floor.arrow")],
    lmHead,
    lensTokens: null,
    ...options,
  });
}

/** The code and the words of the error that a comparison ends with. */
async function failure(run: Promise<unknown>): Promise<string> {
  const error = await run.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!isNpuDiffError(error)) throw new Error("no error of ours", { cause: error });
  const facts = error.facts.map(({ label, text }) => `${label}: ${text}`);
  return [error.code, error.message, ...facts, error.help].join("\n");
}

function relative(actual: number | undefined, wanted: number): number {
  return Math.abs((actual ?? Number.NaN) / wanted - 1);
}

/** The bound of KL through float32 products. */
function expectKl(actual: number | undefined, wanted: number): void {
  const error = Math.abs((actual ?? Number.NaN) - wanted);
  expect(error).toBeLessThan(Math.max(1e-9, 1e-4 * wanted));
}

describe.each([
  ["tied, one file, RMSNorm", "plain", "plain/model.safetensors", "model.embed_tokens.weight"],
  [
    "shards, padding, a bias, a cap, 1 + w",
    "odd",
    "odd/model.safetensors.index.json",
    "lm_head.weight",
  ],
] as const)("%s", (_, kind, file, head) => {
  let result: ComparisonResult;
  beforeAll(async () => {
    result = await compare(at(file));
  });

  test("perplexity and KL are those of float64", () => {
    const { perplexity, kl } = result.quality;
    const wanted = expected[kind];
    expect(relative(perplexity?.reference, wanted.perplexity[0])).toBeLessThan(1e-5);
    expect(relative(perplexity?.candidate, wanted.perplexity[1])).toBeLessThan(1e-5);
    expectKl(kl?.mean, wanted.kl.mean);
    expectKl(kl?.max, wanted.kl.max);
    expect(relative(kl?.gm, wanted.kl.gm)).toBeLessThan(1e-3);
    expect(kl?.floorRatio).toBeGreaterThan(1.5);
  });

  test("the lens sees every layer as float64 does", () => {
    const { lens } = result;
    expect(lens?.head).toBe(head);
    expect(lens?.norm?.kind).toBe(kind === "odd" ? "rms-offset" : "rms");
    expect(lens?.norm?.error).toBeLessThan(1e-6);
    expect(lens?.positions).toBe(41);
    expect(lens?.positionsInAll).toBe(41);
    const wanted = expected[kind].lens;
    expect(lens?.layers.map(({ tensor }) => tensor)).toEqual(wanted.map(({ tensor }) => tensor));
    for (const [i, { kl, top1Agreement }] of (lens?.layers ?? []).entries()) {
      const layer = wanted[i];
      expectKl(kl.mean, layer?.mean ?? Number.NaN);
      expect(relative(kl.gm, layer?.gm ?? Number.NaN)).toBeLessThan(1e-3);
      expect(relative(kl.floorRatio ?? Number.NaN, layer?.floorRatio ?? Number.NaN)).toBeLessThan(
        2e-3,
      );
      expect(top1Agreement.share).toBe(layer?.top1);
    }
  });

  test("the prediction parts where the fault is", () => {
    expect(result.lens?.parting).toEqual({ tensor: "layers.2", layer: 2 });
    expect(result.origin?.tensor).toBe("layers.2.attn");
    expect(result.verdict).toBe("fail");
    expect(result.findings.map(({ rule }) => rule)).toContain("input/lm-head");
  });
});

describe("what is computed and what is not", () => {
  test("stored logits come first, and the lens looks all the same", async () => {
    const { reference, candidate, floor } = WHOLE;
    const options = { reference, candidate, floors: [floor] };
    const through = await compare(at("plain"), options);
    const stored = await compareDumps(options);
    expect(through.quality).toEqual(stored.quality);
    expect(through.lens?.layers).toHaveLength(5);
    expect(through.findings.map(({ rule }) => rule)).not.toContain("input/lm-head");
    expect(stored.lens).toBeNull();
  });

  test("of both sides without logits they are computed, which is told of", async () => {
    const both = await compare(at("plain"));
    const head = both.findings.find(({ rule }) => rule === "input/lm-head");
    expect(head).toMatchObject({
      level: "info",
      value: 320,
      detail: { weight: "model.embed_tokens.weight", dtype: "BF16", padding: 0 },
    });
  });

  test("what a side stores is compared: a head that answers otherwise fails", async () => {
    const { candidate } = WHOLE;
    const mixed = await compare(at("plain"), { candidate });
    const side = mixed.findings.find(({ rule }) => rule === "input/lm-head-side");
    expect(side).toMatchObject({ level: "warning", detail: { side: "reference" } });
    const { perplexity } = (await compareDumps(WHOLE_PAIR)).quality;
    expect(mixed.quality.perplexity?.candidate).toBe(perplexity?.candidate);
    // Everything is the reference's own, but for what its head answers.
    negateLogits(WHOLE.reference, at("broken-head.arrow"));
    const broken = await compare(at("plain"), { candidate: at("broken-head.arrow") });
    expect(broken.verdict).toBe("fail");
    expect(broken.origin?.tensor).toBe("logits");
  });

  test("a head that nothing shows to be the model's is told of", async () => {
    const rules = async (options: Partial<CompareOptions>): Promise<readonly string[]> => {
      const { findings } = await compare(at("plain"), options);
      return findings.flatMap(({ rule }) => (rule.startsWith("input/lm-head-") ? [rule] : []));
    };
    const told = (out: string, digest: string): Partial<CompareOptions> => {
      copy(at("reference.arrow"), at(out), { model: { weights_sha256: digest } });
      return { reference: at(out) };
    };
    const digest = createHash("sha256")
      .update(readFileSync(at("plain/model.safetensors")))
      .digest("hex");
    expect(await rules({})).toEqual(["input/lm-head-unchecked"]);
    expect(await rules(told("same-weights.arrow", digest))).toEqual([]);
    expect(await rules(told("other-weights.arrow", digest.replace(/./u, "x")))).toEqual([
      "input/lm-head-weights",
    ]);
    // Stored logits of the reference show it, without a digest.
    const { reference } = WHOLE;
    expect(await rules({ reference })).toEqual(["input/lm-head-side"]);
  });

  test("a floor without norm is none of computed logits", async () => {
    const { quality, findings } = await compare(at("plain"), {
      floors: [at("floor-logits.arrow")],
    });
    expect(quality.kl?.mean).toBe((await compare(at("plain"))).quality.kl?.mean);
    expect(quality.kl?.floorRatio).toBeNull();
    const absent = findings.find(({ rule }) => rule === "input/lm-head-floor");
    expect(absent).toMatchObject({ level: "warning", detail: { file: "floor-logits.arrow" } });
  });

  test("a side without norm keeps its logits, which is told of", async () => {
    const reference = at("reference-logits.arrow");
    const { quality, findings, lens } = await compare(at("plain"), { reference });
    const side = findings.find(({ rule }) => rule === "input/lm-head-side");
    expect(side).toMatchObject({ level: "warning", detail: { side: "candidate" } });
    const { perplexity } = (await compareDumps(WHOLE_PAIR)).quality;
    expect(quality.perplexity?.reference).toBe(perplexity?.reference);
    expect(relative(quality.perplexity?.candidate, expected.plain.perplexity[1])).toBeLessThan(
      1e-5,
    );
    expect(lens?.notAvailable).toBe("no-norm");
  });

  test("padding behind the vocabulary is left out, and told of", async () => {
    const { findings } = await compare(at("odd"));
    const head = findings.find(({ rule }) => rule === "input/lm-head");
    expect(head?.detail["padding"]).toBe(16);
  });

  test("the lens looks at as many positions as it may, and at none", async () => {
    const some = await compare(at("plain"), { lensTokens: 5 });
    expect(some.lens).toMatchObject({ positions: 5, positionsInAll: 41 });
    expect(some.lens?.layers[4]?.kl.positions).toBe(5);
    const none = await compare(at("plain"), { lensTokens: 0 });
    expect(none.lens).toMatchObject({ layers: [], notAvailable: "switched-off" });
    expect(none.quality).toEqual((await compare(at("plain"))).quality);
  });

  test("a final norm of another formula is said to be unknown", async () => {
    const { notAvailable } = (await compare(weights("gain", { gain: 3 }))).lens ?? {};
    expect(notAvailable).toBe("unknown-norm");
  });

  test("without a config the epsilon is not known, and the logits are the same", async () => {
    const path = weights("bare", { config: null });
    const { lens, quality } = await compare(path);
    expect(lens?.notAvailable).toBe("no-epsilon");
    expect(relative(quality.perplexity?.reference, expected.plain.perplexity[0])).toBeLessThan(
      1e-5,
    );
  });

  test("threads change nothing", async () => {
    const one = await compare(at("plain"), { jobs: 1 });
    expect(await compare(at("plain"), { jobs: 2 })).toEqual(one);
  });
});

describe("what cannot be computed is an error", () => {
  test("weights of another width", async () => {
    const shape = [640, 32];
    const text = await failure(compare(weights("narrow", { shape })));
    expect(text).toMatch(/^lm-head\n.*\n.*\n.*model\.embed_tokens\.weight \[640, 32\]\n.*64/);
  });

  test("weights of fewer tokens", async () => {
    const text = await failure(compare(weights("few", { shape: [160, 64], dtype: "F32" })));
    expect(text).toContain("model.vocab_size 320");
  });

  test("weights without a head", async () => {
    const text = await failure(compare(weights("headless", { name: "model.layers.0.up.weight" })));
    expect(text).toContain("none among model.layers.0.up.weight");
    const config = { tie_word_embeddings: false };
    expect(await failure(compare(weights("untied", { config })))).toContain("not the embedding");
  });

  test("weights that are no floats", async () => {
    const text = await failure(compare(weights("ints", { dtype: "I16" })));
    expect(text).toContain("model.embed_tokens.weight I16 [320, 64]");
  });

  test("a head that does not give the logits that the reference stores", async () => {
    const { reference, candidate, floor } = WHOLE;
    const config = { logits_scaling: 0.5 };
    const path = weights("scaled", { config });
    const text = await failure(compare(path, { reference, candidate, floors: [floor] }));
    expect(text).toContain("does not give the logits that the reference stores");
  });

  test("a config that makes no sense", async () => {
    const config = { final_logit_softcapping: "30" };
    expect(await failure(compare(weights("hostile", { config })))).toContain('"30"');
  });

  test("a truncated file, and one that is none", async () => {
    const path = weights("cut", {});
    truncateSync(path, 20_000);
    expect(await failure(compare(path))).toMatch(/^dump-truncated\n/);
    expect(await failure(compare(at("nowhere.safetensors")))).toMatch(/^file-not-found\n/);
    expect(await failure(compare(WHOLE.reference))).toMatch(/^dump-/);
  });

  test("sides without norm", async () => {
    const options = { reference: `${PAIRS}massive-first-row/reference.arrow` };
    const text = await failure(compare(at("plain"), { ...options, candidate: options.reference }));
    expect(text).toContain("nothing that the lm_head could make logits of");
  });

  test("on the command line: exit 2, and no stack trace", async () => {
    const args = ["compare", at("reference.arrow"), at("candidate.arrow"), "--lm-head"];
    const { code, stderr } = await cli([...args, weights("ints2", { dtype: "I16" })]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error\[lm-head\]: the lm_head is not stored as it is\n/);
    expect(stderr).not.toContain("    at ");
    expect(await cli([...args, at("plain"), "--lens-tokens", "-1"])).toMatchObject({ code: 2 });
  });

  test("without the package: which one to add", () => {
    // The program where nothing is installed beside it.
    const alone = at("alone");
    mkdirSync(alone);
    cpSync(join(MAIN, "../.."), join(alone, "dist"), { recursive: true });
    symlinkSync(join(MAIN, "../../../package.json"), join(alone, "package.json"));
    const main = join(alone, "dist/cli/main.js");
    const dumps = [at("reference.arrow"), at("candidate.arrow")];
    const run = (...args: readonly string[]): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, [main, "compare", ...dumps, ...args], { encoding: "utf8" });
    const lacking = run("--lm-head", at("plain"));
    expect(lacking.status).toBe(2);
    expect(lacking.stderr).toMatch(
      /^error\[package-missing\]: .*\n[^]*npm install .*onnxruntime-node/,
    );
    // What does not need it runs.
    expect(run().status).toBe(1);
  });
});

test("the command line shows where the prediction parts, and its JSON is rendered again", async () => {
  const args = [at("reference.arrow"), at("candidate.arrow"), "--floor", at("floor.arrow")];
  const json = at("result.json");
  const page = at("result.html");
  const head = ["--lm-head", at("plain/model.safetensors"), "--lens-tokens", "all"];
  const outputs = ["-o", json, "-o", page];
  const { code, stdout, stderr } = await cli(["compare", ...args, ...head, ...outputs]);
  expect(code).toBe(1);
  expect(stderr).toContain("input/lm-head");
  const line = "the prediction parts at layer 2";
  expect(stdout).toContain(line);
  expect(stdout).toContain("41 of 41 positions");
  expect(readFileSync(page, "utf8")).toContain(line);
  expect(readFileSync(page, "utf8")).toContain("--lm-head model.safetensors --lens-tokens all");
  const again = await cli(["report", json, "--format", "md", "--lang", "zh"]);
  expect(again.stdout).toContain("预测从第 2 层开始分叉");
});

test("a config names the weights for its pairs, by a path from its own folder", async () => {
  const own = at("gate");
  mkdirSync(own);
  const pair = { reference: "../reference.arrow", candidate: "../candidate.arrow" };
  const settings = { lmHead: "../plain", lensTokens: 7 };
  const config = { ...settings, pairs: { tiny: { ...pair, floor: ["../floor.arrow"] } } };
  writeFileSync(join(own, "npu-diff.json"), JSON.stringify(config));
  const { code, stdout } = await cli(["check", "--json"], { cwd: own });
  expect(code).toBe(1);
  const { pairs } = JSON.parse(stdout) as {
    readonly pairs: readonly { readonly result: ComparisonResult }[];
  };
  expect(pairs[0]?.result.lens).toMatchObject({ positions: 7, parting: { tensor: "layers.2" } });
});

interface Variant {
  readonly name?: string;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  /** Factor of the final norm's weight. */
  readonly gain?: number;
  /** Added to the model's; null for no file. */
  readonly config?: Readonly<Record<string, unknown>> | null;
}

/** Weights of the tiny model with something changed, in a folder of their own; the path of the file. */
function weights(
  variant: string,
  { name, dtype = "BF16", shape, gain = 1, config = {} }: Variant,
): string {
  const own = at(variant);
  mkdirSync(own);
  const stored = readFileSync(join(TINY_LLAMA, "model.safetensors"));
  const length = Number(stored.readBigUInt64LE(0));
  const header = JSON.parse(stored.toString("utf8", 8, 8 + length)) as Record<
    string,
    { readonly shape: readonly number[]; readonly data_offsets: readonly [number, number] }
  >;
  const bytesOf = (tensor: string): Buffer => {
    const [from = 0, to = 0] = header[tensor]?.data_offsets ?? [];
    return Buffer.from(stored.subarray(8 + length + from, 8 + length + to));
  };
  const embedding = bytesOf("model.embed_tokens.weight");
  const norm = bytesOf("model.norm.weight");
  const gains = Float32Array.from({ length: norm.length / 2 }, (_, i) => {
    const value = new Float32Array(Uint32Array.of(norm.readUInt16LE(2 * i) << 16).buffer)[0] ?? 0;
    // Not the same for all: a factor for all could be undone.
    return value * (i % 2 === 0 ? gain : 1);
  });
  const tensors = {
    [name ?? "model.embed_tokens.weight"]: {
      dtype,
      shape: shape ?? [320, 64],
      data_offsets: [0, embedding.length],
    },
    "model.norm.weight": {
      dtype: "F32",
      shape: [64],
      data_offsets: [embedding.length, embedding.length + gains.byteLength],
    },
  };
  const text = Buffer.from(JSON.stringify(tensors));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const path = join(own, "model.safetensors");
  writeFileSync(path, Buffer.concat([size, text, embedding, Buffer.from(gains.buffer)]));
  if (config !== null) {
    const told: unknown = JSON.parse(readFileSync(join(TINY_LLAMA, "config.json"), "utf8"));
    writeFileSync(join(own, "config.json"), JSON.stringify({ ...(told as object), ...config }));
  }
  return path;
}
