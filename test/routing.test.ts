/** What a plain pair can say of single tokens behind a router. */

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";

import { PLAIN } from "../src/report/style.ts";
import { renderText } from "../src/report/text.ts";
import { scratch } from "./support/scratch.ts";
import {
  addNoise,
  LAYERS,
  type ToyTensor,
  toyTensors,
  uniform,
  writeToyRun,
} from "./support/toy-run.ts";

const { folder } = scratch();

const ROUNDING = 2 ** -9;
const EXPERTS = 4;

/** Layers of which a router chooses experts; the first of the model is dense, as it often is. */
const ROUTED = Array.from({ length: LAYERS - 1 }, (_, index) => index + 1);

function model(hasRouters: boolean): ToyTensor[] {
  const random = uniform(9);
  return toyTensors().flatMap((tensor) => {
    const layer = /^layers\.(\d+)\.attn$/.exec(tensor.name)?.[1];
    if (!hasRouters || layer === undefined || !ROUTED.includes(Number(layer))) return [tensor];
    const shape = [tensor.shape[0] ?? 0, EXPERTS];
    const values = Float32Array.from({ length: (shape[0] ?? 0) * EXPERTS }, random);
    return [tensor, { ...tensor, name: `layers.${layer}.router`, shape, values }];
  });
}

interface Pair {
  /** The tensors of which one token is another. */
  readonly wild: (name: string) => boolean;
  readonly hasRouters?: boolean;
  readonly hasFloor?: boolean;
  readonly changeAll?: (name: string) => boolean;
  /** Tokens of which the largest logit is another one. */
  readonly flipped?: number;
}

async function comparePair({
  wild,
  hasRouters = true,
  hasFloor = true,
  changeAll = () => false,
  flipped = 0,
  ...options
}: Pair & Partial<CompareOptions>): Promise<ComparisonResult> {
  const directory = mkdtempSync(join(folder, "pair-"));
  const path = (name: string): string => join(directory, `${name}.arrow`);
  writeToyRun(path("reference"), model(hasRouters), { id: "a" });
  for (const [seed, name] of ["candidate", "floor"].entries()) {
    const answers = model(hasRouters);
    for (const tensor of answers) {
      addNoise([tensor], ROUNDING, seed + 1);
      if (name !== "candidate") continue;
      if (changeAll(tensor.name)) addNoise([tensor], 0.3, 4);
      const width = tensor.shape[1] ?? 1;
      if (tensor.name === "logits" && tensor.sample === 0) {
        for (let token = 0; token < flipped; token += 1) {
          const row = tensor.values.subarray(token * width, (token + 1) * width);
          row[row.indexOf(Math.min(...row))] = Math.max(...row) + 1;
        }
      }
      if (tensor.sample === 0 && wild(tensor.name)) {
        tensor.values.set(
          tensor.values.slice(2 * width, 3 * width).map((value) => -value),
          2 * width,
        );
      }
    }
    writeToyRun(path(name), answers, { id: `b${String(seed)}`, dtype: "BF16" });
  }
  return compareDumps({
    reference: path("reference"),
    candidate: path("candidate"),
    floors: hasFloor ? [path("floor")] : [],
    ...options,
  });
}

function levels({ findings }: ComparisonResult): unknown {
  return [...new Set(findings.map(({ rule, level }) => `${level} ${rule}`))]
    .filter((one) => /(error|warning) layer\//.test(one))
    .sort();
}

test("a pair without a wild token passes", async () => {
  const result = await comparePair({ wild: () => false });
  expect(result.verdict).toBe("pass");
});

test.each(["layers.1.mlp", "layers.1", "layers.3.attn", "layers.2.router", "norm"])(
  "a wild token of %s, which experts decide, is left open",
  async (name) => {
    const result = await comparePair({ wild: (one) => one === name });
    expect(result.verdict).toBe("inconclusive");
    expect(result.origin).toBeNull();
    expect(levels(result)).toEqual(["warning layer/routed"]);
    const found = result.findings.find(({ rule }) => rule === "layer/routed");
    expect(found).toMatchObject({ tensor: name, limit: 1 });
    expect(found?.value).toBeGreaterThan(1);
    expect(found?.detail["rule"]).toMatch(/^layer\/(floor-token|floor-ratio-p99)$/);
    expect(result.tensors.find((one) => one.name === name)?.verdict).toBe("inconclusive");
  },
);

test.each(["embed", "layers.0.mlp", "layers.0", "layers.1.attn", "layers.1.router"])(
  "a wild token of %s, before any expert, is a fault",
  async (name) => {
    const result = await comparePair({ wild: (one) => one === name });
    expect(result.verdict).toBe("fail");
    expect(result.origin?.tensor).toBe(name);
    expect(levels(result)).toContain("error layer/floor-token");
  },
);

test("without routers it is a fault wherever it is", async () => {
  const result = await comparePair({ wild: (one) => one === "layers.2.mlp", hasRouters: false });
  expect(result.verdict).toBe("fail");
  expect(result.origin?.tensor).toBe("layers.2.mlp");
});

test("what all tokens show is a fault behind a router too", async () => {
  const result = await comparePair({
    wild: (one) => one === "layers.1.mlp",
    changeAll: (one) => one === "layers.2.mlp",
  });
  expect(result.verdict).toBe("fail");
  expect(result.origin?.tensor).toBe("layers.2.mlp");
});

test("routers that are left out of the comparison route nonetheless", async () => {
  const result = await comparePair({
    wild: (one) => one === "layers.2.mlp",
    skip: ["*.router"],
  });
  expect(result.verdict).toBe("inconclusive");
});

test("a limit that the user set is no matter of routing", async () => {
  const result = await comparePair({
    wild: (one) => one === "layers.2.mlp",
    limits: { maxFloorRatio: 1.5 },
  });
  expect(result.verdict).toBe("fail");
  expect(levels(result)).toContain("error layer/floor-ratio");
});

test("flips beyond near ties are left open too, and a fault without routers", async () => {
  const flips = { wild: () => false, flipped: 4 };
  const routed = await comparePair(flips);
  expect(routed.findings.map(({ rule }) => rule)).not.toContain("quality/real-flips");
  expect(routed.findings.filter(({ rule }) => rule === "layer/routed")).toContainEqual(
    expect.objectContaining({
      level: "warning",
      tensor: "logits",
      value: 2,
      detail: { rule: "quality/real-flips" },
    }),
  );
  const dense = await comparePair({ ...flips, hasRouters: false });
  expect(dense.verdict).toBe("fail");
  expect(dense.findings.map(({ rule }) => rule)).toContain("quality/real-flips");
});

test("without a floor the prior leaves it open too", async () => {
  const result = await comparePair({ wild: (one) => one === "layers.1.mlp", hasFloor: false });
  expect(result.verdict).toBe("inconclusive");
  expect(result.findings.find(({ rule }) => rule === "layer/routed")?.detail["rule"]).toBe(
    "layer/prior-token",
  );
});

test.each([
  ["en", /single tokens, which a choice of experts may explain[^]*forced references/],
  ["zh", /专家选择[^]*强制基准/],
] as const)("the report says what would decide, in %s", async (lang, told) => {
  const result = await comparePair({ wild: (one) => one === "layers.1.mlp" });
  expect(renderText(result, { lang, style: PLAIN, ascii: false, columns: 200 })).toMatch(told);
});
