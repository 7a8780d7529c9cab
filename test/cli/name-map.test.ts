/** `--map` through the command line, the environment and the config of the gate. */

import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { cli } from "../support/cli.ts";
import { f32, i64, safetensors } from "../support/safetensors.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();
const ids = { input_ids: i64([2], [1, 2]) };
const data = Float32Array.from([1, 2, 3, 4, 5, 6]);
const attn = f32([2, 3], data);
const reference = files.file(safetensors({ ...ids, "layers.0.attn": attn }), ".safetensors");
const candidate = files.file(
  safetensors({
    ...ids,
    "blk.0.a": f32(
      [2, 3],
      data.map((one) => one * 1.125),
    ),
  }),
  ".safetensors",
);
const map = files.file("# names\ncandidate:\n  layers.{i}.attn: blk.{i}.a\n", ".yaml");

describe("the command line", () => {
  it("takes --map and NPU_DIFF_MAP, and repeats it", async () => {
    const flagged = await cli(["compare", reference, candidate, "--map", map, "--format", "md"]);
    expect(flagged.code).toBe(1);
    expect(flagged.stderr).toContain("blk.{i}.a of the candidate is compared as layers.{i}.attn");
    expect(flagged.stdout).toMatch(/--map \d+\.yaml/);
    const set = await cli(["compare", reference, candidate, "--json"], {
      env: { NPU_DIFF_MAP: map },
    });
    expect(JSON.parse(set.stdout)).toMatchObject({
      tensors: [{ name: "layers.0.attn", relL2: 0.125 }],
    });
  });

  it("is in the next step that a report names", async () => {
    // Of no cause that is known.
    const noisy = f32([2, 3], [1.1, 1.86, 3.09, 3.52, 5.25, 5.88]);
    const path = files.file(safetensors({ ...ids, "blk.0.a": noisy }), ".safetensors");
    const { stdout } = await cli(["compare", reference, path, "--map", map]);
    const next = /npu-diff (?:inspect|explain).*/.exec(stdout)?.[0] ?? "";
    // As they were given: it is typed where this command was.
    expect(next).toBe(`npu-diff inspect ${reference} ${path} --tensor layers.0.attn --map ${map}`);
  });

  it("looks into a mapped tensor", async () => {
    const ended = await cli([
      "inspect",
      reference,
      candidate,
      "--tensor",
      "layers.0.attn",
      "--map",
      map,
      "--json",
    ]);
    expect(ended.code).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      tensors: [{ tensor: "layers.0.attn", relL2: 0.125 }],
    });
    const alone = await cli(["inspect", reference, "--map", map]);
    expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining("--tensor")]);
  });

  it("says what is wrong with a map, with exit code 2", async () => {
    const ended = await cli(["compare", reference, candidate, "--map", `${map}.lost`]);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining("error[map-missing]")]);
  });
});

test("a config names a map", async () => {
  const folder = files.path("");
  mkdirSync(folder);
  const write = (name: string, bytes: Uint8Array | string): void => {
    writeFileSync(`${folder}/${name}`, bytes);
  };
  write("r.safetensors", safetensors({ ...ids, a: attn }));
  write("c.safetensors", safetensors({ ...ids, b: attn }));
  write("names.yaml", "candidate: {a: b}\n");
  write(
    "npu-diff.json",
    JSON.stringify({
      map: "names.yaml",
      pairs: { p: { reference: "r.safetensors", candidate: "c.safetensors" } },
    }),
  );
  const ended = await cli(["check", "--json"], { cwd: folder });
  expect(JSON.parse(ended.stdout)).toMatchObject({
    pairs: [{ verdict: "pass", result: { tensors: [{ name: "a", relL2: 0 }] } }],
  });
});
