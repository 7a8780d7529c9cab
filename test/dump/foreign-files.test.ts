/** Files of other tools are read to the bit: the tools themselves wrote the fixtures, and say what they hold. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { NpuDiffError } from "../../src/core/errors.ts";
import { dataBytes } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { Spool } from "../../src/dump/spool.ts";
import { findingMessage } from "../../src/report/finding-text.ts";
import { cli } from "../support/cli.ts";
import { python } from "../support/python.ts";
import { errorOf, scratch } from "../support/scratch.ts";

interface Expected {
  readonly files: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly skipped: Readonly<Record<string, readonly string[]>>;
  readonly refused: Readonly<Record<string, string>>;
}

const scratchFolder = scratch();
const FOREIGN = fileURLToPath(new URL("../../fixtures/foreign/", import.meta.url));

/** What a dump says of its tensors, with the hash of each one's bytes. */
function read(path: string) {
  const dump = openDump(path);
  try {
    const tensors = dump.tensors.map((entry) => {
      const bytes = new Uint8Array(dataBytes(entry));
      dump.read(entry, 0, bytes);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      return [entry.name, { dtype: entry.dtype, shape: entry.shape, sha256 }] as const;
    });
    return { tensors: Object.fromEntries(tensors), run: dump.run };
  } finally {
    dump.close();
  }
}

describe.each(["numpy", "safetensors"])("%s", (folder) => {
  const path = (name: string): string => join(FOREIGN, folder, name);
  const { files, skipped, refused } = JSON.parse(
    readFileSync(path("expected.json"), "utf8"),
  ) as Expected;

  test.each(Object.keys(files))("%s", (name) => {
    const { tensors, run } = read(path(name));
    expect(tensors).toEqual(files[name]);
    const left = (run["imported"] as { readonly skipped: readonly { readonly name: string }[] })
      .skipped;
    expect(left.map((one) => one.name)).toEqual(skipped[name] ?? []);
  });

  test.each(Object.entries(refused))("%s is refused", (name, code) => {
    expect(errorOf(() => openDump(path(name)))).toMatchObject({ code });
  });
});

describe("what is not read is told", () => {
  const path = join(FOREIGN, "numpy", "stored.npz");

  test("by a comparison, with the first names", async () => {
    const { findings } = await compareDumps({ reference: path, candidate: path });
    const told = findings.filter(({ rule }) => /^input\/(?:not-read|assumed)$/.test(rule));
    expect(told).toMatchObject([
      {
        rule: "input/not-read",
        level: "warning",
        value: 6,
        detail: { side: "reference", file: "stored.npz" },
      },
      { rule: "input/assumed", level: "warning", value: 1, detail: { side: "reference" } },
      { rule: "input/not-read", detail: { side: "candidate", file: "stored.npz" } },
      { rule: "input/assumed", detail: { side: "candidate" } },
    ]);
    const [first] = told;
    expect(first && findingMessage(first, "en")).toMatch(/^reference stored\.npz: 6 entries were/);
    expect(first && findingMessage(first, "zh")).toMatch(/^基准 stored\.npz：有 6 项/);
    expect(told[0]?.detail["names"]).toMatch(/^text \(.*'<U2'\), bytes \(.*\), \+\d+$/);
    expect(told[1]?.detail["names"]).toMatch(/^f8_e4m3 \(.*V1/);
  });

  test("by inspect, with the reasons", async () => {
    const { stdout, code } = await cli(["inspect", path]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/format +npz\n/);
    expect(stdout).toMatch(/not read +6 entries\n +text: elements of '<U2'\n/);
    expect(stdout).toMatch(/assumed +1 entry\n +f8_e4m3: stored as V1/);
    expect(stdout).not.toContain("skipped");
  });
});

test("an array in Fortran order that is rewritten in several parts", () => {
  const folder = scratchFolder.folder;
  const sha256 = JSON.parse(python("fortran_array.py", folder)) as Record<string, string>;
  for (const [name, expected] of Object.entries(sha256)) {
    const { tensors } = read(join(folder, name));
    expect(Object.values(tensors)).toMatchObject([{ sha256: expected }]);
  }
});

test("an archive of anything else is refused by what it holds", () => {
  const path = scratchFolder.file(zipSync({ "word/document.xml": new Uint8Array(9) }), ".npz");
  const error = errorOf(() => openDump(path));
  expect(error).toMatchObject({ code: "dump-schema" });
  expect(JSON.stringify((error as NpuDiffError).facts)).toContain("word/document.xml");
});

test("what the disk has no room for is refused before it is written", () => {
  const spool = Spool.create();
  try {
    expect(
      errorOf(() => {
        spool.reserve(2 ** 60);
      }),
    ).toMatchObject({ code: "output-unwritable" });
    spool.reserve(1);
  } finally {
    spool.close();
  }
});
