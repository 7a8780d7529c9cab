import { readFileSync, writeFileSync } from "node:fs";
import { type DataType, Field, Int8, List, RecordBatchFileReader, Struct } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { arrowFile, runEnd, zeros } from "../support/arrow-rows.ts";
import { codeOf as codeOfFile } from "../support/read-all.ts";
import { writeSample } from "../support/sample-dump.ts";
import { random, scratch } from "../support/scratch.ts";

const folder = scratch();
const path = folder.path();
writeSample(path);
const sample = readFileSync(path);
const damaged = folder.path();

/** The code of the error for `bytes`; null where the dump could be read. */
function codeOf(bytes: Uint8Array): string | null {
  writeFileSync(damaged, bytes);
  return codeOfFile(damaged, bytes.length);
}

function footerStart(bytes: Buffer): number {
  return bytes.length - 10 - bytes.readInt32LE(bytes.length - 10);
}

describe("a truncated dump", () => {
  it("is an error at whatever length", () => {
    const codes = new Map<string | null, number>();
    // Every length of the head, the schema and the footer; every 5th between them.
    const lengths = [...sample.keys()].filter(
      (length) => length < 1500 || length > footerStart(sample) - 100 || length % 5 === 0,
    );
    for (const length of lengths) {
      const code = codeOf(sample.subarray(0, length));
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    expect(lengths.length).toBeGreaterThan(3000);
    expect([...codes]).toEqual([
      ["file-empty", 1],
      ["dump-truncated", lengths.length - 1],
    ]);
  });

  it("is an error wherever a piece is cut out", () => {
    const next = random(1);
    for (let trial = 0; trial < 500; trial++) {
      const from = Math.floor(next() * (sample.length - 16));
      const length = 8 * (1 + Math.floor(next() * 32));
      const bytes = Buffer.concat([sample.subarray(0, from), sample.subarray(from + length)]);
      expect(codeOf(bytes)).not.toBeNull();
    }
  });

  it("is an error with the footer of another file behind it", () => {
    const other = Buffer.from(arrowFile([zeros("a", [100]), runEnd()]));
    const footer = other.subarray(footerStart(other));
    expect(codeOf(Buffer.concat([sample.subarray(0, 100), footer]))).toBe("dump-corrupt");
  });
});

describe("a damaged dump", () => {
  // Positions of the messages' metadata, the footer and the head: where a
  // single bit may turn a count or an offset into any other.
  const regions: [number, number][] = [
    [0, 8],
    [footerStart(sample), sample.length],
  ];
  for (let at = 8; at + 8 < footerStart(sample); ) {
    const size = sample.readInt32LE(at + 4);
    if (sample.readUInt32LE(at) !== 0xffffffff || size === 0) break;
    regions.push([at, at + 8 + size]);
    const body = bodyLength(at);
    if (body > 0) regions.push([at + 8 + size, at + 8 + size + body]);
    at += 8 + size + body;
  }

  function bodyLength(at: number): number {
    const table = at + 8 + sample.readInt32LE(at + 8);
    const vtable = table - sample.readInt32LE(table);
    const known = sample.readUInt16LE(vtable) >= 4 + 2 * 4;
    const offset = known ? sample.readUInt16LE(vtable + 4 + 2 * 3) : 0;
    return offset === 0 ? 0 : Number(sample.readBigInt64LE(table + offset));
  }

  it("has messages where the test looks for them", () => {
    const batches = [...RecordBatchFileReader.from(sample)].length;
    expect(batches).toBeGreaterThan(5);
    // Head, footer, schema, and a message and a body for each batch.
    expect(regions).toHaveLength(3 + 2 * batches);
  });

  it("never does harm: 4,000 flipped bits", () => {
    const next = random(2);
    const codes = new Map<string | null, number>();
    for (let trial = 0; trial < 4000; trial++) {
      const [from, to] = regions[Math.floor(next() * regions.length)] as [number, number];
      const bytes = Buffer.from(sample);
      const at = from + Math.floor(next() * (to - from));
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(next() * 8));
      const code = codeOf(bytes);
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    expect(codes.get("dump-corrupt")).toBeGreaterThan(100);
    expect(codes.has("internal")).toBe(false);
  });

  it("never does harm: 4,000 numbers replaced by extreme ones", () => {
    const next = random(3);
    const extremes = [0, 1, -1, 0x7fffffff, -0x80000000, 0x01000000, 0x00ffffff, 16, 255];
    const started = performance.now();
    let refused = 0;
    for (let trial = 0; trial < 4000; trial++) {
      const [from, to] = regions[Math.floor(next() * regions.length)] as [number, number];
      const bytes = Buffer.from(sample);
      for (let n = 1 + Math.floor(next() * 3); n > 0; n--) {
        const at = Math.min(from + 4 * Math.floor((next() * (to - from)) / 4), bytes.length - 4);
        bytes.writeInt32LE(extremes[Math.floor(next() * extremes.length)] as number, at);
      }
      if (codeOf(bytes) !== null) refused += 1;
    }
    expect(refused).toBeGreaterThan(1000);
    // A believed count would take minutes, or all memory.
    expect(performance.now() - started).toBeLessThan(40_000);
  });
});

describe("a schema without end", () => {
  function lists(depth: number): DataType {
    let type: DataType = new Int8();
    for (let n = 0; n < depth; n++) type = new List(new Field("item", type, true));
    return type;
  }

  function struct(columns: number): DataType {
    return new Struct(
      Array.from({ length: columns }, (_, i) => new Field(`c${i}`, new Int8(), true)),
    );
  }

  it.each([
    ["80 lists in each other", lists(80), "dump-corrupt"],
    ["60 lists in each other", lists(60), null],
    ["5,000 columns", struct(5000), "dump-corrupt"],
    ["3,000 columns", struct(3000), null],
  ])("is refused beyond the bounds: %s", (_, type, code) => {
    const bytes = arrowFile([runEnd()], { columns: { extra: [type, () => null] } });
    expect(codeOf(bytes)).toBe(code);
  });
});

describe("a lying count", () => {
  const bytes = Buffer.from(arrowFile([zeros("a", [2]), zeros("b", [2]), runEnd()]));

  /** Replaces each place that holds `value` as int64 inside the batch's message, one after another. */
  function lies(value: bigint, lie: bigint): (string | null)[] {
    const codes: (string | null)[] = [];
    const from = bytes.indexOf(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    const end = from + 8 + bytes.readInt32LE(from + 4);
    for (let at = from + 8; at + 8 <= end; at += 4) {
      if (bytes.readBigInt64LE(at) !== value) continue;
      const copy = Buffer.from(bytes);
      copy.writeBigInt64LE(lie, at);
      codes.push(codeOf(copy));
    }
    return codes;
  }

  it.each([4n, 1_000_000n, 2n ** 31n, 2n ** 40n, 2n ** 53n, 2n ** 62n, -1n])(
    "of %d rows is refused before it is believed",
    (lie) => {
      const codes = lies(3n, lie);
      expect(codes.length).toBeGreaterThan(10);
      // The node of a column is a row count too; that of an unread child may be anything that its
      // buffers hold.
      for (const code of codes) expect(code).toBe("dump-corrupt");
    },
  );

  it("of batches in the footer is refused", () => {
    const at = footerStart(bytes);
    const footer = bytes.subarray(at, -10);
    let refused = 0;
    for (let i = 0; i + 4 <= footer.length; i += 4) {
      if (footer.readInt32LE(i) !== 1) continue;
      for (const lie of [2, 1000, 0x7fffffff, -1]) {
        const copy = Buffer.from(bytes);
        copy.writeInt32LE(lie, at + i);
        if (codeOf(copy) === "dump-corrupt") refused += 1;
      }
    }
    expect(refused).toBeGreaterThanOrEqual(4);
  });

  it("of the message's body is refused", () => {
    const from = bytes.indexOf(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    const end = from + 8 + bytes.readInt32LE(from + 4);
    // The body ends where the end of the stream is marked.
    const body = bytes.lastIndexOf(Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])) - end;
    const codes = lies(BigInt(body), BigInt(body - 8));
    expect(codes).toEqual(["dump-corrupt"]);
  });

  it("of nulls is refused", () => {
    const modules = ["m", null, null, "n", null];
    const rows = modules.map((module, i) => zeros(`t${i}`, [1], { module }));
    const file = Buffer.from(arrowFile([...rows, runEnd()]));
    expect(codeOf(file)).toBeNull();
    const from = file.indexOf(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    const end = from + 8 + file.readInt32LE(from + 4);
    // A field node of 6 rows, 4 of them null (run.end has no module either).
    const node = Buffer.from(BigInt64Array.of(6n, 4n).buffer);
    const at = file.indexOf(node, from);
    expect(at).toBeGreaterThan(from);
    expect(at).toBeLessThan(end);
    for (const lie of [1n, 3n, 5n, 6n, 7n, 2n ** 40n, -1n]) {
      const copy = Buffer.from(file);
      copy.writeBigInt64LE(lie, at + 8);
      expect(codeOf(copy)).toBe("dump-corrupt");
    }
  });

  it("of batches that lie over each other is refused", () => {
    const rows = [zeros("a", [2]), zeros("b", [2]), runEnd()];
    const file = Buffer.from(arrowFile(rows, { batches: [1, 1, 1] }));
    const starts = [...file.subarray(0, footerStart(file)).keys()].filter(
      (at) => at % 8 === 0 && file.readUInt32LE(at) === 0xffffffff && file.readInt32LE(at + 4) > 0,
    );
    expect(starts).toHaveLength(3);
    const [first, second] = starts.map(BigInt) as [bigint, bigint];
    const at = file.indexOf(Buffer.from(BigInt64Array.of(second).buffer), footerStart(file));
    for (const lie of [0n, first, second - 8n, second + 8n, BigInt(file.length), -8n, 2n ** 62n]) {
      const copy = Buffer.from(file);
      copy.writeBigInt64LE(lie, at);
      expect(codeOf(copy)).toBe("dump-corrupt");
    }
  });

  it("of the footer's own bytes is refused", () => {
    for (const length of [-1, 0, 1, 4, 7, bytes.length, 0x7fffffff, -0x80000000]) {
      const copy = Buffer.from(bytes);
      copy.writeInt32LE(length, copy.length - 10);
      expect(codeOf(copy)).toBe("dump-corrupt");
    }
  });
});
