import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { isNpuDiffError } from "../../src/core/errors.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { errorOf, random, scratch } from "../support/scratch.ts";
import { sha256 } from "../support/tensor-digests.ts";

const folder = fileURLToPath(new URL("../../fixtures/foreign/llama/", import.meta.url));
const files = scratch();
const at = (name: string): string => `${folder}${name}`;

interface Figures {
  readonly kl: number;
  readonly sameTop: number;
}

type Side = "base" | "other";

const expected = JSON.parse(readFileSync(at("expected.json"), "utf8")) as {
  readonly data: Record<Side | "odd", string[]>;
  readonly ids: Record<"base" | "odd", number[][]>;
  readonly quantum: Record<Side | "odd", number>;
  /** The largest |ln Σp| of what is kept of a position. */
  readonly excess: Record<Side, number>;
  readonly perplexity: Record<"logits" | "kept" | "normalised", Record<Side, number>>;
  readonly logits: Figures;
  readonly "llama.cpp": Figures;
  readonly normalised: Record<"baseAndOther" | "baseAndFull", Figures>;
};

const base = readFileSync(at("base.kld"));
const [CONTEXT, VOCABULARY, CHUNKS] = [8, 12, 16].map((place) => base.readInt32LE(place)) as [
  number,
  number,
  number,
];
const ROWS = CONTEXT - 1 - CONTEXT / 2;
const STRIDE = 8 + 2 * VOCABULARY;
const START = 20 + 4 * CONTEXT * CHUNKS;

/** A copy of `base.kld` with `change` made to it. */
function changed(change: (bytes: Buffer) => Buffer | undefined): string {
  const copy = Buffer.from(base);
  return files.file(change(copy) ?? copy, ".kld");
}

/** The first chunks of `base.kld`. */
function firstChunks(count: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const head = Buffer.from(bytes.subarray(0, 20));
    head.writeInt32LE(count, 16);
    return Buffer.concat([
      head,
      bytes.subarray(20, 20 + 4 * CONTEXT * count),
      bytes.subarray(START, START + count * ROWS * STRIDE),
    ]);
  };
}

/** A file of one chunk of zeros, whose tokens are all alike. */
function plain(vocabulary: number): string {
  const head = Buffer.alloc(20 + 4 * 3 + 8 + 2 * (vocabulary + (vocabulary % 2)));
  head.write("_logits_", "latin1");
  for (const [i, value] of [3, vocabulary, 1].entries()) head.writeInt32LE(value, 8 + 4 * i);
  return files.file(head, ".kld");
}

describe("base files of llama.cpp", () => {
  it.each(["base", "other", "odd"] as const)("are read to the bit: %s", (name) => {
    const dump = openDump(at(`${name}.kld`));
    try {
      const ids = expected.ids[name === "other" ? "base" : name];
      const [context = 0] = ids.map(({ length }) => length);
      const first = Math.floor(context / 2);
      const rows = context - 1 - first;
      const found = dump.tensors.filter((entry) => entry.name === "logits");
      expect(found.map((entry) => sha256(dump, entry))).toEqual(expected.data[name]);
      expect(found.every(({ shape }) => shape[0] === rows)).toBe(true);
      const read = dump.tensors
        .filter((entry) => entry.name === "input_ids")
        .map((entry) => {
          const bytes = new Uint8Array(entry.elements * 4);
          dump.read(entry, 0, bytes);
          return [...new Int32Array(bytes.buffer)];
        });
      expect(read).toEqual(ids);
      const quantum = expected.quantum[name];
      expect(dump.run["capture"]).toMatchObject({ logits: { first_token: first, rows, quantum } });
      expect(dump.run.tool).toEqual({ name: "llama.cpp" });
    } finally {
      dump.close();
    }
  });

  it.each([
    ["another base file", "other.kld", "baseAndOther"],
    ["all logits", "full.npz", "baseAndFull"],
  ] as const)("are compared with %s at the positions that they hold", async (_, file, pair) => {
    const result = await compareDumps({ reference: at("base.kld"), candidate: at(file) });
    expect(result).toMatchObject({ verdict: "pass", tensors: [], tokens: { samples: CHUNKS } });
    const { perplexity, kl, top1Agreement } = result.quality;
    expect(kl?.positions).toBe(CHUNKS * ROWS);
    expect(perplexity?.tokens).toBe(CHUNKS * ROWS);
    expect(kl?.maxAt?.token).toBeGreaterThanOrEqual(CONTEXT / 2);
    expect(kl?.mean).toBeCloseTo(expected.normalised[pair].kl, 12);
    expect(top1Agreement?.share).toBe(expected.normalised[pair].sameTop);
    const { logits, kept, normalised } = expected.perplexity;
    expect(perplexity?.reference).toBeCloseTo(normalised.base, 11);
    const other = file === "full.npz" ? logits.other : normalised.other;
    expect(perplexity?.candidate).toBeCloseTo(other, 11);
    // llama.cpp takes what it kept for probabilities, whose sum is not quite 1.
    const apart = (a = Number.NaN, b = Number.NaN): number => Math.abs(Math.log(a / b));
    expect(apart(perplexity?.reference, kept.base)).toBeLessThan(expected.excess.base);
    expect(apart(perplexity?.reference, logits.base)).toBeLessThan(expected.quantum.base);
    const far = (a = Number.NaN, b = Number.NaN): number => Math.abs(a - b);
    expect(far(kl?.mean, expected["llama.cpp"].kl)).toBeLessThan(expected.excess.base);
    // Half the square of the step is what rounding may add.
    expect(far(Math.sqrt(kl?.mean ?? 0), Math.sqrt(expected.logits.kl))).toBeLessThan(
      expected.quantum.base,
    );
  });

  it("agree with the logits that they were made of to their step", async () => {
    const result = await compareDumps({ reference: at("full.npz"), candidate: at("other.kld") });
    expect(result.verdict).toBe("pass");
    expect(result.quality.top1Agreement?.share).toBe(1);
    expect(result.quality.kl?.max).toBeLessThan(expected.quantum.other ** 2);
    expect(result.quality.kl?.max).toBeGreaterThan(0);
    const same = await compareDumps({ reference: at("base.kld"), candidate: at("base.kld") });
    expect(same.quality).toMatchObject({ kl: { max: 0 }, flips: { count: 0 } });
  });

  it("are no proof where no rule decides", async () => {
    const few = changed(firstChunks(2));
    const undecided = [
      await compareDumps({ reference: few, candidate: few }),
      await compareDumps({
        ...{ reference: at("base.kld"), candidate: at("base.kld"), preset: "exact" as const },
      }),
    ];
    for (const { verdict, findings } of undecided) {
      expect(verdict).toBe("inconclusive");
      expect(findings).toContainEqual(
        expect.objectContaining({
          ...{ rule: "layer/undecided", detail: { reason: "log-probabilities" } },
        }),
      );
    }
    const limited = { reference: few, candidate: few, limits: { minTop1: 0.99 } };
    expect((await compareDumps(limited)).verdict).toBe("pass");
  });

  it("are no pass where llama.cpp had no numbers", async () => {
    const path = changed((bytes) => {
      bytes.writeFloatLE(Number.NaN, START);
      return bytes;
    });
    const result = await compareDumps({ reference: at("base.kld"), candidate: path });
    expect(result.verdict).toBe("fail");
    expect(result.findings.map(({ rule }) => rule)).toContain("quality/undefined");
  });

  it("are compared with their own tokens and vocabulary alone", async () => {
    const path = changed((bytes) => {
      bytes.writeInt32LE(bytes.readInt32LE(20) ^ 1, 20);
      return bytes;
    });
    await expect(
      compareDumps({ reference: at("base.kld"), candidate: path }),
    ).rejects.toMatchObject({ code: "tokens-differ" });
    const result = await compareDumps({ reference: plain(4), candidate: plain(5) });
    expect(result.verdict).toBe("fail");
    expect(result.findings.map(({ rule }) => rule)).toContain("structure/shape");
  });
});

describe("base files that llama.cpp would not write", () => {
  const header = (place: number, value: number) => (bytes: Buffer) => {
    bytes.writeInt32LE(value, place);
    return bytes;
  };
  const position = (scale: number, least: number) => (bytes: Buffer) => {
    bytes.writeFloatLE(scale, START);
    bytes.writeFloatLE(least, START + 4);
    return bytes;
  };
  it.each<[string, (bytes: Buffer) => Buffer, string, RegExp]>([
    ["the magic alone", (b) => b.subarray(0, 8), "dump-truncated", /8 bytes/],
    ["without its end", (b) => b.subarray(0, -1), "dump-truncated", /./],
    ["with more behind its end", (b) => Buffer.concat([b, b]), "dump-corrupt", /./],
    ["of two tokens a chunk", header(8, 2), "dump-corrupt", /n_ctx 2/],
    ["of no tokens", header(8, 0), "dump-corrupt", /n_ctx 0/],
    ["of many tokens", header(8, 0x7fff_ffff), "dump-truncated", /./],
    ["of a vocabulary below 0", header(12, -1), "dump-corrupt", /n_vocab -1/],
    ["of a huge vocabulary", header(12, 0x7fff_ffff), "dump-too-large", /2147483647/],
    ["of no chunks", header(16, 0), "dump-corrupt", /n_chunk 0/],
    ["of many chunks", header(16, 0x7fff_ffff), "dump-truncated", /./],
    ["with a token below 0", header(24, -1), "dump-corrupt", /-1/],
    ["with a token too large", header(24, VOCABULARY), "dump-corrupt", /320/],
    ["with a step below 0", position(-1e-5, -1), "dump-corrupt", /nats/],
    ["with too large a step", position(3e-4, -20), "dump-corrupt", /nats/],
    ["with probabilities above 1", position(1e-4, -1), "dump-corrupt", /nats/],
  ])("are refused: %s", (_, change, code, found) => {
    const error = errorOf(() => openDump(changed(change)));
    expect(error).toMatchObject({
      code,
      facts: [{}, { text: expect.stringMatching(found) as unknown }, {}],
    });
  });

  it("do no harm where they are damaged", () => {
    const next = random(5);
    const path = files.path(".kld");
    let refused = 0;
    for (let trial = 0; trial < 400; trial++) {
      const copy = Buffer.from(base);
      const start = trial % 2 === 0 ? START : copy.length;
      copy[Math.floor(next() * start)] = Math.floor(next() * 256);
      writeFileSync(path, copy);
      const error = errorOf(() => {
        openDump(path).close();
      });
      if (error === undefined) continue;
      refused += 1;
      expect(isNpuDiffError(error)).toBe(true);
    }
    expect(refused).toBeGreaterThan(20);
  });
});
