/** Files that are not the ranks of one run: each set is refused, with its reason. */

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDump } from "../../src/dump/open-dump.ts";
import { repairDump } from "../../src/dump/repair.ts";
import { type TensorInput } from "../../src/dump/write-dump.ts";
import {
  factsOf,
  onRank1,
  parallel,
  type Run,
  rankSets,
  refusal,
  shard,
  tensorOnRank1,
} from "../support/rank-sets.ts";
import type { SplitOptions } from "../support/split-ranks.ts";

const { folder, split, whole } = rankSets();

describe("ranks that are not all there", () => {
  test.each([
    ["by a pattern", "npu.rank*.arrow"],
    ["by the file of a rank", "npu.rank0.arrow"],
  ])("%s", (_name, name) => {
    const set = split({ ranks: 4 });
    rmSync(join(set, "../npu.rank2.arrow"));
    const error = refusal(join(set, "..", name));
    expect(error.code).toBe("rank-missing");
    expect(factsOf(error)).toContain("missing: rank 2");
    expect(error.help).toContain("'NAME.rank*.arrow'");
  });

  test("under a name that no other rank can be found by", () => {
    const set = split();
    renameSync(join(set, "../npu.rank0.arrow"), join(set, "../part.arrow"));
    expect(refusal(join(set, "../part.arrow")).code).toBe("rank-missing");
  });

  test("and do not say which they are", () => {
    const set = split(onRank1(parallel({ rank: null })));
    expect(refusal(set).code).toBe("rank-missing");
  });

  test("one without its end", () => {
    const set = split();
    const rank1 = join(set, "../npu.rank1.arrow");
    writeFileSync(rank1, readFileSync(rank1).subarray(0, -100));
    expect(refusal(set).code).toBe("dump-truncated");
  });

  test("a pattern that matches nothing, too much, or lies nowhere", () => {
    const place = folder();
    mkdirSync(place);
    expect(refusal(join(place, "npu.rank*.arrow")).code).toBe("file-not-found");
    expect(refusal(join(place, "no/npu.rank*.arrow")).code).toBe("file-not-found");
    for (let i = 0; i <= 512; i += 1) writeFileSync(join(place, `npu.rank${String(i)}.arrow`), "");
    expect(refusal(join(place, "npu.rank*.arrow")).code).toBe("file-unreadable");
  });
});

describe("ranks that are not of one run", () => {
  test("one twice", () => {
    const set = split();
    copyFileSync(join(set, "../npu.rank1.arrow"), join(set, "../npu.rank1-copy.arrow"));
    const error = refusal(set);
    expect(error.code).toBe("ranks-differ");
    expect(factsOf(error)).toContain("npu.rank1-copy.arrow");
  });

  test("a whole dump among them", () => {
    const set = split();
    copyFileSync(whole, join(set, "../npu.rank9.arrow"));
    expect(refusal(set).code).toBe("ranks-differ");
  });

  test.each([
    ["id", (run: Run) => ({ ...run, id: "bb" })],
    ["world size", parallel({ world_size: 3 })],
    ["tp", parallel({ tp: 1 })],
    ["ep", parallel({ ep: 2 })],
    ["dtype", (run: Run) => ({ ...run, dtype: "BF16" })],
  ])("another %s", (_name, change) => {
    const error = refusal(split(onRank1(change)));
    expect(error.code).toBe("ranks-differ");
    expect(error.message).toBe("the ranks are not of one run");
  });

  test("other tokens", () => {
    const error = refusal(
      split(
        tensorOnRank1("input_ids", (tensor) => {
          const bytes = tensor.bytes.slice();
          bytes[8] = 99;
          return { ...tensor, bytes };
        }),
      ),
    );
    expect(error.code).toBe("replicas-differ");
    expect(factsOf(error)).toContain("element [1]");
  });

  test("tokens on one of them alone", () => {
    expect(refusal(split(tensorOnRank1("input_ids", () => null))).code).toBe("shards-invalid");
  });

  test("other tokens, whatever run.shards says", () => {
    const options = tensorOnRank1("input_ids", (tensor) => ({
      ...tensor,
      bytes: new Uint8Array(tensor.bytes.length),
    }));
    const run = shard("input_ids", { partial: "sum" });
    expect(refusal(split({ ...options, run })).code).toBe("replicas-differ");
  });

  test("a tensor of another dtype, shape, encoding or layer, or shared out in another way", () => {
    const stats = { min: 0, max: 0, mean: 0, rms: 0, nan: 0, posInf: 0, negInf: 0 };
    const none = new Uint8Array(0);
    for (const change of [
      (tensor: TensorInput) => ({ ...tensor, dtype: "I32" as const }),
      (tensor: TensorInput) => ({ ...tensor, shape: [...tensor.shape, 1] }),
      (tensor: TensorInput) => ({ ...tensor, encoding: "stats" as const, stats, bytes: none }),
      (tensor: TensorInput) => ({ ...tensor, layer: 1 }),
    ]) {
      expect(refusal(split(tensorOnRank1("layers.0", change))).code).toBe("ranks-differ");
    }
    const run = shard("layers.0", { partial: "sum" });
    expect(refusal(split(onRank1(run))).code).toBe("ranks-differ");
  });

  test("rows of another rank than the file's", () => {
    const set = split(tensorOnRank1("layers.0", (tensor) => ({ ...tensor, rank: 0 })));
    expect(refusal(set).code).toBe("dump-corrupt");
  });
});

describe("replicas that are not equal", () => {
  test("are told with the place and both numbers", () => {
    const error = refusal(
      split(
        tensorOnRank1("layers.2", (tensor) => {
          const values = new Float32Array(tensor.bytes.slice().buffer);
          values[11] = 0.5;
          return { ...tensor, bytes: new Uint8Array(values.buffer) };
        }),
      ),
    );
    expect(error.code).toBe("replicas-differ");
    expect(error.message).toContain("layers.2@0.0");
    expect(factsOf(error)).toMatch(
      /first at: element \[1, 3\]; rank 0: npu\.rank0\.arrow {3}.*; rank 1: npu\.rank1\.arrow {3}0\.5 \(0x3f000000\)/,
    );
  });

  test("zeros of two signs are two bit patterns", () => {
    const zero = (negative: boolean) => (tensor: TensorInput) => {
      const values = new Float32Array(tensor.bytes.slice().buffer);
      values[0] = negative ? -0 : 0;
      return { ...tensor, bytes: new Uint8Array(values.buffer) };
    };
    const set = split({
      tensor: (tensor, rank) => (tensor.name === "embed" ? zero(rank === 1)(tensor) : tensor),
    });
    expect(factsOf(refusal(set))).toContain("0x80000000");
  });

  test("statistics that differ", () => {
    const set = split({
      tensor: (tensor, rank) => {
        if (tensor.name !== "layers.0") return tensor;
        const stats = { min: 0, max: rank, mean: 0, rms: 0, nan: 0, posInf: 0, negInf: 0 };
        return { ...tensor, encoding: "stats", stats, bytes: new Uint8Array(0) };
      },
    });
    expect(refusal(set).code).toBe("replicas-differ");
  });

  test("a NaN equals itself", () => {
    const set = split({
      tensor: (tensor) =>
        tensor.name === "embed"
          ? { ...tensor, bytes: new Uint8Array(tensor.bytes.length).fill(0xff) }
          : tensor,
    });
    const dump = openDump(set);
    expect(dump.ranks).toBe(2);
    dump.close();
  });
});

describe("of repaired ranks", () => {
  test("what is whole is there", () => {
    const set = split();
    const rank1 = join(set, "../npu.rank1.arrow");
    const broken = join(set, "../broken");
    writeFileSync(broken, readFileSync(rank1).subarray(0, -100));
    rmSync(rank1);
    const { incomplete } = repairDump(broken, rank1);
    const dump = openDump(set);
    expect([dump.repaired, incomplete]).toEqual([true, []]);
    expect(dump.tensors).toHaveLength(2 * 2 + 1 + 3 * 15);
    dump.close();
  });

  test.each(["vocabulary", "sum", "tokens"] as const)(
    "a %s that lacks a part is missing",
    (how) => {
      const lost: Partial<SplitOptions> = {
        how: ({ name }) => (name === "logits" ? how : "replica"),
        holds: ({ name }, rank) => name !== "logits" || rank === 0,
      };
      expect(refusal(split(lost)).code).toBe("shards-invalid");
      const dump = openDump(
        split({ ...lost, end: (rank) => (rank === 1 ? { repaired: {} } : {}) }),
      );
      const names = dump.tensors.map(({ name }) => name);
      expect(names).not.toContain("logits");
      expect(names).toContain("norm");
      dump.close();
    },
  );
});
