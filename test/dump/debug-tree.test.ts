import { cpSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { errorOf, scratch } from "../support/scratch.ts";
import { sha256OfBatch } from "../support/tensor-digests.ts";

const source = fileURLToPath(new URL("../../fixtures/foreign/debug-tree/", import.meta.url));
const TREE = "LlamaForCausalLM_debug_tree_FULL_TENSORS.json";
const files = scratch();

/** Name, dtype, shape and SHA-256 of what hooks saw. */
const expected = Object.entries(
  JSON.parse(readFileSync(join(source, "expected.json"), "utf8")) as Record<
    string,
    [string, number[], string]
  >,
);

/** A copy of the fixture, and the path of its tree. */
function copy(): { readonly folder: string; readonly tree: string } {
  const folder = files.path("");
  cpSync(source, folder, { recursive: true });
  return { folder, tree: join(folder, TREE) };
}

/** A copy whose tree has `change` made to it. */
function changed(change: (text: string) => string): string {
  const { tree } = copy();
  const text = readFileSync(tree, "utf8");
  const other = change(text);
  expect(other).not.toBe(text);
  writeFileSync(tree, other);
  return tree;
}

describe("what transformers' model debugger saves", () => {
  it("is read with the names of a dump, to the bit", () => {
    const dump = openDump(join(source, TREE));
    try {
      expect(expected.map(([name]) => name)).toContain("layers.1");
      for (const [name, [dtype, [batch, ...shape], digest]] of expected) {
        const entries = dump.tensors.filter((entry) => entry.name === name);
        expect(entries).toHaveLength(batch ?? 0);
        for (const entry of entries) {
          expect(entry).toMatchObject({ dtype: dtype === "torch.bfloat16" ? "BF16" : "", shape });
        }
        expect([name, sha256OfBatch(dump, name)]).toEqual([name, digest]);
      }
      const ids = dump.tensors.filter(({ name }) => name === "input_ids");
      const read = ids.map((entry) => {
        const bytes = new Uint8Array(entry.elements * 8);
        dump.read(entry, 0, bytes);
        return [...new BigInt64Array(bytes.buffer)].map(Number);
      });
      expect(read).toEqual([
        [3, 14, 15, 9, 2],
        [6, 5, 3, 5, 8],
      ]);
      expect(dump.tensors.map(({ name }) => name)).toContain(
        "model.layers.1.mlp.down_proj.input.0",
      );
    } finally {
      dump.close();
    }
  });

  it("is compared", async () => {
    const reference = join(source, TREE);
    const { folder, tree } = copy();
    const norm = join(folder, "LlamaForCausalLM.model.norm_outputs.safetensors");
    const bytes = readFileSync(norm);
    // The last row, of eight numbers.
    bytes.subarray(-16).fill(0);
    writeFileSync(norm, bytes);
    const same = await compareDumps({ reference, candidate: reference });
    expect(same).toMatchObject({ verdict: "pass", tokens: { samples: 2, tokens: 10 } });
    const other = await compareDumps({ reference, candidate: tree });
    expect(other).toMatchObject({ verdict: "fail", origin: { tensor: "norm" } });
  });

  it("says what a later call wrote over", () => {
    const tree = changed((text) => {
      const root = JSON.parse(text) as { children: { children: unknown[] }[] };
      const [model] = root.children;
      model?.children.push(model.children[0]);
      return JSON.stringify(root);
    });
    const dump = openDump(tree);
    expect(dump.run["imported"]).toMatchObject({
      skipped: [{ name: "model.embed_tokens.input.0" }, { name: "model.embed_tokens" }],
    });
    dump.close();
  });
});

describe("trees that cannot be read", () => {
  it.each<[string, (text: string) => string, string, RegExp]>([
    [
      "printed",
      (t) => t.replace(/"value": "[^"]*"/g, '"value": ["tensor([1])"]'),
      "dump-schema",
      /use_repr=True/,
    ],
    [
      "summarised",
      (t) => t.replace(/"value": "[^"]*",?/g, "").replace(/,(\s*\})/g, "$1"),
      "dump-schema",
      /_SUMMARY/,
    ],
    ["elsewhere", (t) => t.replace('"./', '"../'), "dump-corrupt", /\.\.\//],
    ["in a folder", (t) => t.replace('"./', '"./a/'), "dump-corrupt", /a\//],
    ["absolute", (t) => t.replace('"./', '"/'), "dump-corrupt", /\//],
    [
      "of another file",
      (t) => t.replace("k_proj_outputs.s", "k_proj_inputs_args_0.s"),
      "dump-corrupt",
      /BF16/,
    ],
    ["not there", (t) => t.replace("lm_head_outputs", "lm_head_nothing"), "file-not-found", /./],
    [
      "outside the model",
      (t) => t.replace('"LlamaForCausalLM.lm_head"', '"lm_head"'),
      "dump-corrupt",
      /lm_head/,
    ],
    ["cut", (t) => t.slice(0, -9), "dump-corrupt", /./],
    ["no list", (t) => t.replace('"children": [', '"children": [1, '), "dump-corrupt", /./],
  ])("are refused: %s", (_, change, code, found) => {
    const error = errorOf(() => openDump(changed(change)));
    expect(error).toMatchObject({
      code,
      facts: [{}, { text: expect.stringMatching(found) as unknown }, {}],
    });
  });

  it("are refused where a file beside them is a folder, or cut", () => {
    const { folder, tree } = copy();
    const file = join(folder, "LlamaForCausalLM.lm_head_outputs.safetensors");
    writeFileSync(file, readFileSync(file).subarray(0, -1));
    expect(errorOf(() => openDump(tree))).toMatchObject({ code: "dump-truncated" });
    unlinkSync(file);
    symlinkSync(folder, file);
    expect(errorOf(() => openDump(tree))).toMatchObject({ code: "file-unreadable" });
  });
});
