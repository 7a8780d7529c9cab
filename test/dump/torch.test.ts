/** Files of torch.save against what torch itself holds of them, and files that are made to harm. */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { Dump } from "../../src/dump/dump.ts";
import { dataBytes } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { Spool } from "../../src/dump/spool.ts";
import { piecesOfView } from "../../src/dump/torch/views.ts";
import { errorOf, scratch } from "../support/scratch.ts";
import { zipOf } from "../support/zip.ts";

const FIXTURES = new URL("../../fixtures/foreign/torch/", import.meta.url);
const folder = scratch();

interface Told {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}
const expected = JSON.parse(readFileSync(new URL("expected.json", FIXTURES), "utf8")) as Record<
  string,
  Record<string, Told>
>;

function fixture(name: string): string {
  return new URL(`${name}.pt`, FIXTURES).pathname;
}

function told(dump: Dump): Record<string, Told> {
  return Object.fromEntries(
    dump.tensors.map((entry): [string, Told] => {
      const bytes = new Uint8Array(dataBytes(entry));
      dump.read(entry, 0, bytes);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      return [entry.module ?? entry.name, { dtype: entry.dtype, shape: entry.shape, sha256 }];
    }),
  );
}

function withDump<T>(path: string, use: (dump: Dump) => T): T {
  const dump = openDump(path);
  try {
    return use(dump);
  } finally {
    dump.close();
  }
}

describe("files of torch.save", () => {
  const several = Object.keys(expected).filter((name) => !name.endsWith("_logits"));

  it.each(several)("hold what torch reads of them: %s", (name) => {
    const wanted = Object.entries(expected[name] ?? {});
    const named = wanted.map(([key, value]) => [key === "" ? name : key, value]);
    expect(withDump(fixture(name), told)).toEqual(Object.fromEntries(named));
  });

  it("are read in parts as well, across the runs of a view", () => {
    withDump(fixture("deflated"), (dump) => {
      const entry = dump.tensors.find(({ name }) => name === "long_runs");
      if (entry === undefined) throw new Error("no such tensor");
      const whole = new Uint8Array(dataBytes(entry));
      dump.read(entry, 0, whole);
      const part = new Uint8Array(1000);
      dump.read(entry, 65_500, part);
      expect(part).toEqual(whole.subarray(65_500, 66_500));
      expect(dump.locate(entry, 0, whole.length).strands[0]).toHaveLength(3);
    });
  });

  it("list what is no tensor, and say what they are", () => {
    withDump(fixture("nested"), ({ run }) => {
      expect(run.tool).toEqual({ name: "torch" });
      const { skipped } = run["imported"] as { readonly skipped: readonly { name: string }[] };
      expect(skipped.map(({ name }) => name)).toEqual(
        expect.arrayContaining([
          "step",
          "loss",
          "big",
          "text",
          "nothing",
          "dtype",
          "device",
          "raw",
        ]),
      );
    });
  });

  it("of one tensor of logits each are compared, whatever device their names say", async () => {
    const result = await compareDumps({
      reference: fixture("cpu_logits"),
      candidate: fixture("npu_logits"),
    });
    // Every value is larger by 0.05 %, within a rounding of float32.
    const [tensor] = result.tensors;
    expect(result.tensors).toHaveLength(1);
    expect(tensor).toMatchObject({ name: "logits", rows: 5, elements: 160 });
    expect(tensor?.relL2).toBeCloseTo(5e-4, 7);
  });
});

describe("names of files that hold one tensor", () => {
  const values = new Float32Array(24).map((_, i) => i / 8);
  const npy = (name: string, shape: string): string => {
    const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape}), }\n`;
    const head = Buffer.from(
      `\x93NUMPY\x01\x00${String.fromCharCode(header.length, 0)}${header}`,
      "latin1",
    );
    const path = join(mkdtempSync(join(folder.folder, "npy-")), name);
    writeFileSync(path, Buffer.concat([head, Buffer.from(values.buffer)]));
    return path;
  };

  it.each([
    ["cpu_logits.npy", "1, 24", "logits", [1, 24]],
    ["npu0-logits.npy", "24,", "logits", [1, 24]],
    ["logits_cuda.npy", "1, 3, 8", "logits", [3, 8]],
    ["ascend_prefill_logits.npy", "3, 8", "logits", [3, 8]],
    ["router_logits.npy", "3, 8", "router_logits", [3, 8]],
    ["npu_hidden.npy", "3, 8", "hidden", [3, 8]],
    ["npus.npy", "3, 8", "npus", [3, 8]],
  ])("say what it is, without the device: %s of [%s]", (file, shape, name, read) => {
    withDump(npy(file, shape), ({ tensors }) => {
      expect(tensors).toMatchObject([{ name, shape: read, sample: 0 }]);
    });
  });

  it("are compared where one has an axis more, in other formats as well", async () => {
    const reference = npy("cpu_logits.npy", "24,");
    const result = await compareDumps({ reference, candidate: npy("npu_logits.npy", "1, 1, 24") });
    expect(result).toMatchObject({ verdict: "pass", tensors: [{ name: "logits", maxAbs: 0 }] });
  });
});

describe("views that reach over more than is held in memory", () => {
  /** A storage of any length: byte i holds i mod 251. */
  const endless = {
    name: "endless",
    descriptor: -1,
    readInto(position: number, target: Uint8Array): void {
      for (let i = 0; i < target.length; i += SPARSE) target[i] = (position + i) % 251;
    },
    close: () => undefined,
  };
  // Only these bytes of a read are ever looked at below.
  const SPARSE = 5;
  const storage = { source: endless, position: 0, bytes: 2 ** 30 };

  it("are read part by part", () => {
    const spool = Spool.create();
    try {
      const stride = 150_000_000;
      const view = { offset: 10, shape: [3, 2], strides: [stride, 5] };
      const pieces = piecesOfView(storage, view, 1, () => spool);
      expect(pieces).toMatchObject([{ position: 0, bytes: 6 }]);
      const out = new Uint8Array(6);
      spool.readInto(0, out);
      const wanted = [0, 1, 2].flatMap((i) => [10 + i * stride, 15 + i * stride]);
      expect([...out]).toEqual(wanted.map((at) => at % 251));
    } finally {
      spool.close();
    }
  });

  it("are refused where that would take far longer than reading all of it", () => {
    const view = { offset: 0, shape: [1_000_000, 2], strides: [1, 2 ** 29] };
    expect(piecesOfView(storage, view, 1, () => Spool.create())).toBeNull();
  });
});

/** A file with this pickle, and the storage `0` of `bytes`. */
function archive(pickle: Uint8Array | string, bytes = 16): string {
  const data = typeof pickle === "string" ? Buffer.from(pickle, "latin1") : pickle;
  const entries = {
    "x/data.pkl": data,
    "x/version": Buffer.from("3"),
    "x/data/0": Buffer.alloc(bytes),
  };
  return folder.file(zipOf(entries), ".pt");
}

const text = (value: string): string =>
  `X${Buffer.from(Uint32Array.of(value.length).buffer).toString("latin1")}${value}`;
const integer = (value: number): string => {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt8(0x8a, 0);
  bytes.writeUInt8(8, 1);
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes.toString("latin1");
};
const storage = (length: number, key = "0", type = "torch\nFloatStorage"): string =>
  `(${text("storage")}c${type}\n${text(key)}${text("npu:0")}${integer(length)}tQ`;
const tuple = (values: readonly number[]): string => `(${values.map(integer).join("")}t`;
const tensor = (
  shape: readonly number[],
  strides: readonly number[],
  offset = 0,
  of = storage(4),
): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${of}${integer(offset)}${tuple(shape)}${tuple(strides)}\x89NtR`;
const pickle = (body: string): string => `\x80\x02${body}.`;

describe("files that are made to harm", () => {
  it("are what the tests take them for: a plain one is read", () => {
    withDump(archive(pickle(tensor([2, 2], [2, 1]))), ({ tensors }) => {
      expect(tensors).toMatchObject([{ dtype: "F32", shape: [2, 2] }]);
    });
  });

  const marker = join(mkdtempSync(join(folder.folder, "m-")), "ran");

  it.each([
    ["os.system", `cposix\nsystem\n(${text(`touch ${marker}`)}tR`, /posix\.system/],
    ["builtins.eval", `cbuiltins\neval\n(${text("1")}tR`, /builtins\.eval/],
    ["a name that Object has", "cconstructor\n__proto__\n(tR", /constructor\.__proto__/],
    ["a module of torch with a harmless look", "ctorch\nload\n(tR", /torch\.load/],
    ["a class", "ctorch.nn.modules.linear\nLinear\n)\x81", /torch\.nn\.modules\.linear\.Linear/],
    [
      "complex numbers",
      tensor([1], [1], 0, storage(1, "0", "torch\nComplexFloatStorage")),
      /complex64/,
    ],
    ["quantized numbers", tensor([1], [1], 0, storage(4, "0", "torch\nQInt8Storage")), /QInt8/],
    ["a sparse tensor", "ctorch._utils\n_rebuild_sparse_tensor\n(tR", /sparse/],
    [
      "a tensor of a class of its own",
      "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nctorch\nTensor\n)NtR",
      /class of its own/,
    ],
    ["protocol 4", "\x80\x04N", /protocol 4/],
  ])("are refused by name: %s", (_, body, found) => {
    const error = errorOf(() => openDump(archive(pickle(body))));
    expect(error).toMatchObject({
      facts: [{}, { label: "found", text: expect.stringMatching(found) as unknown }, {}],
    });
    expect(["dump-schema", "dump-corrupt"]).toContain((error as { code: string }).code);
    expect(errorOf(() => readFileSync(marker))).toMatchObject({ code: "ENOENT" });
  });

  it("leave out tensors of elements that no dump holds, and say so", () => {
    const complex = tensor([1], [1], 0, storage(1, "1", "torch\nComplexDoubleStorage"));
    const fnuz = `ctorch._utils\n_rebuild_tensor_v3\n(${storage(4, "0", "torch.storage\nUntypedStorage")}${integer(0)}${tuple([4])}${tuple([1])}\x89Nctorch\nfloat8_e4m3fnuz\ntR`;
    const items = [text("a"), tensor([4], [1]), text("b"), complex, text("c"), fnuz];
    withDump(archive(pickle(`}(${items.join("")}u`)), ({ tensors, run }) => {
      expect(tensors.map(({ name }) => name)).toEqual(["a"]);
      expect(run["imported"]).toMatchObject({
        skipped: [
          { name: "b", why: "elements of complex128" },
          { name: "c", why: "elements of float8_e4m3fnuz" },
        ],
      });
    });
  });

  const far = 2 ** 52;
  it.each([
    ["a view beyond its storage", tensor([2, 3], [3, 1]), "dump-corrupt"],
    ["an offset beyond it", tensor([1], [1], 4), "dump-corrupt"],
    ["lengths whose product overflows", tensor([far, far, far], [0, 0, 0]), "dump-corrupt"],
    ["strides whose product overflows", tensor([far, 2], [far, 1]), "dump-corrupt"],
    ["one element 2^40 times", tensor([2 ** 40], [0]), "dump-too-large"],
    ["a negative length", tensor([-1], [1]), "dump-corrupt"],
    ["as many strides as it likes", tensor([2], []), "dump-corrupt"],
    ["a hundred axes", tensor(Array(100).fill(1), Array(100).fill(1)), "dump-too-large"],
    ["a storage that is not there", tensor([1], [1], 0, storage(4, "../../0")), "dump-corrupt"],
    ["a storage that claims more", tensor([1], [1], 0, storage(5)), "dump-corrupt"],
    [
      "a storage that claims more the second time",
      `](${tensor([1], [1])}${tensor([5], [1], 0, storage(5))}e`,
      "dump-corrupt",
    ],
    ["no value", "", "dump-corrupt"],
    ["a value from nowhere", "h\x07", "dump-corrupt"],
    ["a mark that is not there", "t", "dump-corrupt"],
    ["a text that ends elsewhere", "X\xff\xff\xff\xff", "dump-corrupt"],
    ["a name without an end", `c${"a".repeat(5000)}`, "dump-corrupt"],
    ["state of an object", "N}b", "dump-corrupt"],
    ["lists in lists, 10^5 deep", `${"]".repeat(1e5)}${"a".repeat(1e5 - 1)}`, "dump-too-large"],
    ["tuples in tuples, 10^5 deep", `)${"\x85".repeat(1e5)}`, "dump-too-large"],
    ["a list that holds itself", "]q\x00h\x00a", "dump-too-large"],
    [
      "a list of lists of lists, each twice",
      `]q\x00${Array.from({ length: 40 }, (_, i) => {
        const [last, next] = [i, i + 1].map((one) => String.fromCharCode(one));
        return `]q${next}(h${last}h${last}e`;
      }).join("")}`,
      "dump-too-large",
    ],
  ])("are refused: %s", (_, body, code) => {
    expect(errorOf(() => openDump(archive(pickle(body))))).toMatchObject({ code });
  });

  it("are refused where they are no archives", () => {
    const legacy = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    const cases = [
      [Buffer.from(legacy, "latin1"), /before 1\.6/, /weights_only/],
      [Buffer.from(pickle("cposix\nsystem\n(tR"), "latin1"), /may hold programs/, /safetensors/],
      [
        zipOf({ "x/data.pkl": Buffer.from("N."), "x/constants.pkl": Buffer.from("N.") }),
        /torch\.jit/,
        /state_dict/,
      ],
    ] as const;
    for (const [bytes, message, help] of cases) {
      expect(errorOf(() => openDump(folder.file(bytes, ".pt")))).toMatchObject({
        ...{ code: "dump-schema", message: expect.stringMatching(message) as unknown },
        help: expect.stringMatching(help) as unknown,
      });
    }
  });

  it("do no harm where bytes of the pickle are others", () => {
    const good = readFileSync(fixture("nested"));
    const path = folder.path(".pt");
    let refused = 0;
    for (let at = 30; at < 1500; at += 4) {
      const copy = Buffer.from(good);
      copy[at] = (copy[at] as number) ^ (1 << (at % 8));
      writeFileSync(path, copy);
      const error = errorOf(() => {
        withDump(path, told);
      });
      if (error === undefined) continue;
      expect(error).toHaveProperty("name", "NpuDiffError");
      refused += 1;
    }
    expect(refused).toBeGreaterThan(80);
  });
});
