/** Logits through a head beside a base file of llama.cpp, which holds log-probabilities of some rows. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import { DTYPES } from "../src/core/dtype.ts";
import { openDump } from "../src/dump/open-dump.ts";
import { createDumpWriter } from "../src/dump/write-dump.ts";
import { f32, safetensors } from "./support/safetensors.ts";
import { scratch } from "./support/scratch.ts";

const LLAMA = fileURLToPath(new URL("../fixtures/foreign/llama/", import.meta.url));
const { folder } = scratch();

/** A dump whose `norm` is the logits of another, and a head that leaves it as it is. */
function throughIdentity(path: string): { readonly norm: string; readonly lmHead: string } {
  const dump = openDump(path);
  const norm = join(folder, "norm.arrow");
  const writer = createDumpWriter(norm, { ...dump.run, id: "norm" });
  let width = 0;
  for (const entry of dump.tensors) {
    const bytes = new Uint8Array(entry.elements * DTYPES[entry.dtype].bytes);
    dump.read(entry, 0, bytes);
    const isLogits = entry.name === "logits";
    if (isLogits) width = entry.shape[1] ?? 0;
    writer.write({ ...entry, name: isLogits ? "norm" : entry.name, bytes });
  }
  writer.close({});
  dump.close();
  const ones = Array.from({ length: width ** 2 }, (_, i) => (i % (width + 1) === 0 ? 1 : 0));
  const lmHead = join(folder, "head");
  mkdirSync(lmHead);
  writeFileSync(
    join(lmHead, "model.safetensors"),
    safetensors({ "lm_head.weight": f32([width, width], ones) }),
  );
  return { norm, lmHead };
}

let made: ReturnType<typeof throughIdentity>;
beforeAll(() => {
  made = throughIdentity(`${LLAMA}full.npz`);
});

test.each(["reference", "candidate"] as const)(
  "a base file as the %s is compared with what the head makes of the other side's norm",
  async (side) => {
    const base = `${LLAMA}base.kld`;
    const other = side === "reference" ? "candidate" : "reference";
    const stored = { [side]: base, [other]: `${LLAMA}full.npz` };
    const wanted = await compareDumps(stored as { reference: string; candidate: string });
    const { norm, lmHead } = made;
    const pair = { [side]: base, [other]: norm } as { reference: string; candidate: string };
    const result = await compareDumps({ ...pair, lmHead });
    expect(result.verdict).toBe(wanted.verdict);
    expect(result.quality.perplexity?.candidate).toBeCloseTo(
      wanted.quality.perplexity?.candidate ?? Number.NaN,
      6,
    );
    expect(result.quality.kl?.mean).toBeCloseTo(wanted.quality.kl?.mean ?? Number.NaN, 8);
    expect(result.quality.kl?.positions).toBe(wanted.quality.kl?.positions);
    expect(result.findings.map(({ rule }) => rule)).toContain("input/lm-head-side");
  },
);
