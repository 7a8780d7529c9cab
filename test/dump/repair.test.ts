import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { RecordBatchFileReader, tableFromIPC } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { isNpuDiffError, type NpuDiffError } from "../../src/core/errors.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { repairDump } from "../../src/dump/repair.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { arrowFile, runEnd, zeros } from "../support/arrow-rows.ts";
import { SAMPLE_RUN, sampleTensors, writeSample } from "../support/sample-dump.ts";
import { errorOf, random, scratch } from "../support/scratch.ts";

const folder = scratch();
const path = folder.path();
writeSample(path);
const sample = readFileSync(path);

/** Where each record batch of `bytes` ends, and the names of the tensors up to there. */
function batchEnds(bytes: Buffer): { readonly end: number; readonly names: string[] }[] {
  const footer = bytes.length - 10 - bytes.readInt32LE(bytes.length - 10);
  const names = [...RecordBatchFileReader.from(bytes)].map((batch) => [
    ...(batch.getChild("name") as Iterable<string>),
  ]);
  const ends: { end: number; names: string[] }[] = [];
  // Messages follow one another: the schema's, then the batches'. Where the next one starts is
  // where the one before ends.
  let at = bytes.indexOf(Buffer.of(0xff, 0xff, 0xff, 0xff), 12);
  const starts: number[] = [];
  while (at !== -1 && at < footer) {
    if (at % 8 === 0) starts.push(at);
    at = bytes.indexOf(Buffer.of(0xff, 0xff, 0xff, 0xff), at + 1);
  }
  // The last is the end of the stream.
  for (const [i, batch] of names.entries()) {
    ends.push({ end: starts[i + 1] as number, names: [...(ends.at(-1)?.names ?? []), ...batch] });
  }
  return ends;
}

/** Repairs `bytes` and gives the report with the tensors' bytes by name. */
function repaired(bytes: Uint8Array, suffix = ".arrow") {
  const [input, output] = [folder.file(bytes, suffix), folder.path()];
  const report = repairDump(input, output);
  const dump = openDump(output);
  const tensors = new Map<string, Buffer>();
  for (const entry of dump.tensors) {
    const data = Buffer.alloc(entry.chunks.reduce((total, chunk) => total + chunk.bytes, 0));
    dump.read(entry, 0, data);
    tensors.set(entry.name, data);
  }
  dump.close();
  const written = readFileSync(output);
  rmSync(input);
  rmSync(output);
  return { report, dump, tensors, written };
}

function refusal(bytes: Uint8Array, output = folder.path()): NpuDiffError {
  const error = errorOf(() => repairDump(folder.file(bytes), output));
  if (!isNpuDiffError(error)) throw new Error("no NpuDiffError", { cause: error });
  expect(readdirSync(folder.folder).filter((name) => name.endsWith(".repairing"))).toEqual([]);
  return error;
}

const originals = new Map(sampleTensors().map(([name, , , bytes]) => [name, Buffer.from(bytes)]));

describe("repairDump", () => {
  const ends = batchEnds(sample);

  it("has a sample of several batches", () => {
    expect(ends.length).toBeGreaterThan(5);
    expect(ends.at(-1)?.names.at(-1)).toBe("run.end");
    expect(ends.map(({ end }) => end)).toEqual(
      ends.map(({ end }) => end).toSorted((a, b) => a - b),
    );
  });

  it("keeps every complete batch, byte for byte, wherever the file breaks off", () => {
    const first = ends[0]?.end as number;
    let checked = 0;
    for (let length = first; length < sample.length; length += 1) {
      // Every length near a boundary, every 41st elsewhere.
      const near = ends.some(({ end }) => Math.abs(end - length) < 12);
      if (!near && length % 41 !== 0) continue;
      const whole = ends.filter(({ end }) => end <= length);
      const names = (whole.at(-1)?.names ?? []).filter((name) => name !== "run.end");
      const { report, dump, tensors, written } = repaired(sample.subarray(0, length));
      const kept = Math.min(whole.length, ends.length - 1);
      expect([...tensors.keys()]).toEqual(names);
      for (const [name, bytes] of tensors)
        expect(bytes.equals(originals.get(name) as Buffer)).toBe(true);
      expect(report).toEqual({
        ...{ batches: kept, tensors: names.length, incomplete: [] },
        bytesDropped: length - (ends[kept - 1]?.end as number),
      });
      expect(dump.repaired).toBe(true);
      expect(dump.end).toMatchObject({ complete: true, repaired: report });
      expect(dump.run).toEqual(SAMPLE_RUN);
      expect(
        written.subarray(0, ends[kept - 1]?.end).equals(sample.subarray(0, ends[kept - 1]?.end)),
      ).toBe(true);
      checked += 1;
    }
    expect(checked).toBeGreaterThan(200);
  });

  it("makes a file that Arrow's own library reads", () => {
    const { written } = repaired(sample.subarray(0, ends[3]?.end));
    const names = [...(tableFromIPC(written).getChild("name") as Iterable<string>)];
    expect(names).toEqual([...(ends[3]?.names ?? []), "run.end"]);
  });

  it("keeps what the run said at its end, and says it once", () => {
    const { dump } = repaired(sample.subarray(0, -1));
    expect(dump.end["tensors"]).toBe(10);
    expect(dump.tensors).toHaveLength(10);
    // A repaired file that loses its end again.
    const { written } = repaired(sample.subarray(0, ends[2]?.end));
    const again = repaired(written.subarray(0, -1));
    expect(again.tensors.size).toBe(ends[2]?.names.length);
    expect(again.written.equals(written)).toBe(false);
    expect(Object.keys(again.dump.end)).toEqual(["complete", "repaired"]);
  });

  it("takes a writer's unfinished file", () => {
    const output = folder.path();
    const writer = createDumpWriter(output, SAMPLE_RUN);
    writer.write({ name: "a", dtype: "F32", shape: [2], bytes: new Uint8Array(8).fill(1) });
    writer.write({ name: "b", dtype: "I64", shape: [1], bytes: new Uint8Array(8).fill(2) });
    writer.write({ name: "c", dtype: "F32", shape: [1], bytes: new Uint8Array(4).fill(3) });
    const partial = readFileSync(`${output}.partial`);
    expect(existsSync(output)).toBe(false);
    writer.discard();
    expect(existsSync(`${output}.partial`)).toBe(false);
    const { tensors, report } = repaired(partial, ".arrow.partial");
    expect([...tensors]).toEqual([
      ["a", Buffer.alloc(8, 1)],
      ["b", Buffer.alloc(8, 2)],
    ]);
    expect(report).toEqual({ batches: 2, tensors: 2, incomplete: [], bytesDropped: 0 });
  });

  it("names the tensors that lack chunks, which then count as missing", () => {
    const output = folder.path();
    const writer = createDumpWriter(output, SAMPLE_RUN);
    const rows = 2 ** 21;
    // 80 MiB: chunks of 32, 32 and 16 MiB, the last in a batch of its own.
    const bytes = new Uint8Array(rows * 40);
    writer.write({ name: "small", dtype: "F64", shape: [1], bytes: new Uint8Array(8) });
    writer.write({ name: "large", dtype: "F64", shape: [rows, 5], bytes, sample: 3, step: 2 });
    writer.close();
    const whole = readFileSync(output);
    rmSync(output);
    const { report, dump, tensors } = repaired(whole.subarray(0, 70 * 2 ** 20));
    expect(report.incomplete).toEqual(["large@3.2"]);
    expect(report.tensors).toBe(1);
    expect([...tensors.keys()]).toEqual(["small"]);
    expect(dump.end["repaired"]).toMatchObject({ incomplete: ["large@3.2"] });
  });

  it("stops at a batch that contradicts itself", () => {
    for (const [damage, kept] of [
      [3, 3],
      [0, 0],
    ] as const) {
      const bytes = Buffer.from(sample);
      // The offsets of the names, at the start of the body.
      const start =
        damage === 0
          ? bytes.indexOf(Buffer.of(0xff, 0xff, 0xff, 0xff), 12)
          : (ends[damage - 1]?.end as number);
      const body = start + 8 + bytes.readInt32LE(start + 4);
      bytes.writeInt32LE(-5, body);
      if (kept === 0) {
        expect(refusal(bytes).code).toBe("dump-incomplete");
      } else {
        const { report, tensors } = repaired(bytes);
        expect(report.batches).toBe(kept);
        expect([...tensors.keys()]).toEqual(ends[kept - 1]?.names);
      }
    }
  });

  it("never does harm: 600 files with flipped bits and a lost end", () => {
    const next = random(11);
    let done = 0;
    for (let trial = 0; trial < 600; trial++) {
      const bytes = Buffer.from(sample.subarray(0, Math.floor(next() * sample.length)));
      for (let n = 0; n < 2 && bytes.length > 0; n++) {
        const at = Math.floor(next() * bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(next() * 8));
      }
      const [input, output] = [folder.file(bytes), folder.path()];
      const error = errorOf(() => repairDump(input, output));
      if (error === undefined) {
        openDump(output).close();
        done += 1;
        rmSync(output);
      } else if (!isNpuDiffError(error)) {
        throw new Error("no NpuDiffError", { cause: error });
      }
      rmSync(input);
    }
    expect(done).toBeGreaterThan(120);
  });

  it("has nothing to do for a whole dump", () => {
    expect(refusal(sample).code).toBe("nothing-to-repair");
  });

  it("overwrites nothing, its input included", () => {
    const taken = folder.file("mine");
    expect(refusal(sample.subarray(0, -1), taken).code).toBe("output-unwritable");
    expect(readFileSync(taken, "utf8")).toBe("mine");
    const input = folder.file(sample.subarray(0, -1));
    expect(errorOf(() => repairDump(input, input))).toMatchObject({ code: "output-unwritable" });
    expect(readFileSync(input)).toHaveLength(sample.length - 1);
    expect(refusal(sample.subarray(0, -1), `${dirname(taken)}/none/x.arrow`).code).toBe(
      "output-unwritable",
    );
  });

  it("says why where there is nothing to keep", () => {
    const first = ends[0]?.end as number;
    expect(refusal(sample.subarray(0, first - 1)).code).toBe("dump-incomplete");
    expect(refusal(sample.subarray(0, 100)).code).toBe("dump-incomplete");
    expect(refusal(sample.subarray(0, 3)).code).toBe("dump-incomplete");
    expect(refusal(new Uint8Array(0)).code).toBe("file-empty");
    expect(refusal(Buffer.from("no dump at all, but long enough")).code).toBe("not-arrow");
    // apache-arrow writes files without a schema message in front.
    const bytes = arrowFile([zeros("a", [1]), runEnd()]);
    expect(refusal(bytes.subarray(0, -1)).code).toBe("dump-incomplete");
    expect(refusal(bytes.subarray(0, -1)).message).toContain("schema");
  });

  it("refuses what is wrong in another way than its end", () => {
    // The version as a flatbuffer holds it: its length, the text, and a zero.
    const version = Buffer.of(1, 0, 0, 0, 0x31, 0);
    expect(sample.indexOf(version)).toBe(sample.lastIndexOf(version, ends[0]?.end));
    const other = Buffer.from(sample);
    for (let at = other.indexOf(version); at !== -1; at = other.indexOf(version, at)) {
      other[at + 4] = 0x37;
    }
    expect(refusal(other).code).toBe("dump-version");
    expect(refusal(other.subarray(0, -1)).code).toBe("dump-version");
  });
});
