import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { isNpuDiffError } from "../../src/core/errors.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { errorOf, random, scratch } from "../support/scratch.ts";
import { sha256, sha256OfBatch } from "../support/tensor-digests.ts";

const folder = fileURLToPath(new URL("../../fixtures/foreign/polygraphy/", import.meta.url));
const files = scratch();

/** Of each iteration, of each array: its dtype for NumPy, its shape and the SHA-256 of its bytes. */
type Expected = Record<"one" | "two", Record<string, [string, number[], string]>[]>;
const expected = JSON.parse(readFileSync(`${folder}expected.json`, "utf8")) as Expected;

const CANONICAL = new Map([["model.embed_tokens", "embed"]]);
const canonical = (name: string): string => CANONICAL.get(name) ?? name.replace(/^model\./, "");

/** A copy of `two.json` with `change` made to it. */
function changed(change: (text: string) => string): string {
  const text = readFileSync(`${folder}two.json`, "utf8");
  const other = change(text);
  expect(other).not.toBe(text);
  return files.file(other, ".json");
}

describe("what Polygraphy saves", () => {
  it("is read with a sample for each iteration, to the bit", () => {
    for (const name of ["two", "two-inputs"]) {
      const dump = openDump(`${folder}${name}.json`);
      try {
        const wanted = expected.two.flatMap((arrays, sample) =>
          Object.entries(arrays)
            .filter(([array]) => (array === "input_ids") === (name === "two-inputs"))
            .map(([array, [dtype, shape, digest]]) => [
              ...[canonical(array), array, sample, dtype === "int64" ? "I64" : "F32"],
              ...[/^\d+$/.test(array) ? shape : shape.slice(1), digest],
            ]),
        );
        const found = dump.tensors.map((entry) => [
          ...[entry.name, entry.module ?? entry.name, entry.sample, entry.dtype],
          ...[entry.shape, sha256(dump, entry)],
        ]);
        const inOrder = (rows: unknown[][]): unknown[] =>
          rows.map((row) => JSON.stringify(row)).sort();
        expect(inOrder(found)).toEqual(inOrder(wanted));
      } finally {
        dump.close();
      }
    }
  });

  it("is read with a sample for each of a batch where there is one iteration", () => {
    const dump = openDump(`${folder}one.json`);
    const inputs = openDump(`${folder}one-inputs.json`);
    expect(sha256OfBatch(inputs, "input_ids")).toBe(expected.one[0]?.["input_ids"]?.[2]);
    for (const name of ["model.embed_tokens", "model.layers.0", "model.layers.1", "logits"]) {
      expect(sha256OfBatch(dump, canonical(name))).toBe(expected.one[0]?.[name]?.[2]);
      const entries = dump.tensors.filter((entry) => entry.name === canonical(name));
      expect(entries.map(({ sample }) => sample)).toEqual([0, 1]);
    }
    expect(dump.run).toMatchObject({
      ...{ tool: { name: "Polygraphy" }, engine: { name: "onnxrt-runner" }, dtype: "F32" },
    });
    dump.close();
    inputs.close();
  });

  it("is compared", async () => {
    const path = `${folder}two.json`;
    const same = await compareDumps({ reference: path, candidate: path });
    expect(same.tensors.every(({ relL2 }) => relL2 === 0)).toBe(true);
    // The sign of the first logit of the second iteration.
    const other = changed((text) => {
      const at = text.lastIndexOf('"logits"');
      const from = text.indexOf('"array": "', at) + 10;
      const bytes = Buffer.from(text.slice(from, text.indexOf('"', from)), "base64");
      bytes.writeUInt8((bytes[131] ?? 0) ^ 0x80, 131);
      return text.slice(0, from) + bytes.toString("base64") + text.slice(text.indexOf('"', from));
    });
    const result = await compareDumps({ reference: path, candidate: other });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe("logits");
  });

  it("is read where arrays are long enough to stay in the file", () => {
    const values = Float64Array.from({ length: 700_000 }, (_, i) => i / 3);
    const header =
      `{'descr': '<f8', 'fortran_order': False, 'shape': (${values.length},), }`.padEnd(117) + "\n";
    const head = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, header.length, 0]);
    const array = Buffer.concat([head, Buffer.from(header), Buffer.from(values.buffer)]).toString(
      "base64",
    );
    const one = (name: string): string =>
      `"${name}": {"values": {"array": "${array}", "polygraphy_class": "ndarray"}}`;
    // A text with an escape, at places that fall on either side of a block's end.
    const json = `{"lst": [["a \\"\\\\\\"", [{"outputs": {${one("b")}, "c\\\\": ${one("c").slice(5)}, ${one("12")}}, "runtime": 1}]]]}`;
    const dump = openDump(files.file(json, ".json"));
    const digests = new Set(dump.tensors.map((entry) => sha256(dump, entry)));
    expect(dump.tensors.map(({ name }) => name).sort()).toEqual(["12", "b", "c\\"]);
    expect(digests.size).toBe(1);
    dump.close();
  });
});

describe("files that Polygraphy would not give", () => {
  it.each<[string, (text: string) => string, string, RegExp]>([
    [
      "several runners",
      (t) => t.replace(/\[\n {8}\[/, '[["other", []], ['),
      "dump-schema",
      /2 runners/,
    ],
    ["a torch.Tensor", (t) => t.replaceAll('"array"', '"tensor"'), "dump-schema", /torch\.Tensor/],
    ["no base64", (t) => t.replace("k05V", "k05-"), "dump-corrupt", /alphabet/],
    ["a cut array", (t) => t.replace(/"k05V/, '"'), "dump-schema", /no NumPy header/],
    [
      "half an array",
      (t) => t.replace(/(?:[A-Za-z0-9+/]{4}){8}=?=?"/, '"'),
      "dump-corrupt",
      /bytes/,
    ],
    ["a number for an array", (t) => t.replace(/"k05V[^"]*"/, "0"), "dump-corrupt", /number/],
    [
      "no iterations",
      (t) => t.replace(/,\s*\[\s*\{[\s\S]*$/, ", []]]}"),
      "dump-corrupt",
      /a list of 0/,
    ],
    ["its own end", (t) => t.slice(0, -40), "dump-corrupt", /./],
    ["an open text", (t) => t.slice(0, t.lastIndexOf('"')), "dump-corrupt", /./],
    [
      "verdicts",
      () => '{"lst": [{"lst": [], "aggregation": "average"}]}',
      "dump-schema",
      /no name/,
    ],
    ["nesting", () => `{"lst": [${"[".repeat(100_000)}`, "dump-corrupt", /nesting/],
  ])("are refused: %s", (_, change, code, found) => {
    const error = errorOf(() => openDump(changed(change)));
    expect(error).toMatchObject({
      code,
      facts: [{}, { text: expect.stringMatching(found) as unknown }, {}],
    });
  });

  it("are refused where more than the arrays is long", () => {
    const path = files.file(`{"lst": [["a", [${'{"outputs": 0},'.repeat(1_200_000)}]]]}`, ".json");
    expect(errorOf(() => openDump(path))).toMatchObject({ code: "dump-too-large" });
  });

  it("do no harm where they are damaged", () => {
    const bytes = readFileSync(`${folder}two.json`);
    const next = random(3);
    let refused = 0;
    for (let trial = 0; trial < 300; trial++) {
      const copy = Buffer.from(bytes);
      copy[Math.floor(next() * copy.length)] = Math.floor(next() * 256);
      const path = files.path(".json");
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
