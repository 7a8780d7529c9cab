/** `npu-diff inspect REFERENCE CANDIDATE --tensor NAME`, as a reader and a machine see it. */

import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import type { TensorDepth } from "../../src/core/depth.ts";
import type { DepthReport } from "../../src/report/depth/schema.ts";
import { renderDepthJson, renderDepthSchema } from "../../src/report/depth/schema.ts";
import { renderDepthText } from "../../src/report/depth/text.ts";
import { PLAIN } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";
import { cli } from "../support/cli.ts";

const PAIRS = fileURLToPath(new URL("../../fixtures/pairs/", import.meta.url));
const REFERENCE = `${PAIRS}clean/reference.arrow`;
const FAULTY = `${PAIRS}new-nan/candidate.arrow`;

const EVIL = '\u001b[31m</script>"\u202e';

/** Everything as wide as it gets, with a stranger's texts. */
const WIDEST: TensorDepth = {
  tensor: `layers.0.${EVIL}.k_proj`,
  layer: 0,
  step: "decode",
  dtypes: { reference: ["F32"], candidate: ["F8_E4M3", "BF16"] },
  samples: 123_456,
  rows: 12_345_678,
  width: 1_048_576,
  relL2: Number.POSITIVE_INFINITY,
  maxAbs: 1.23456e-30,
  ulp: {
    buckets: [0, 0.5, 1, 2].map((upTo) => ({ upTo, elements: 1_234_567_890 })),
    beyond: 1,
    nonFinite: 2,
    max: 1e30,
  },
  elements: Array.from({ length: 20 }, (_, i) => ({
    sample: 123_456,
    step: 1_234,
    token: 123_456,
    text: EVIL.repeat(9),
    index: [123_456, 1_048_575],
    reference: -1.234567e-30,
    candidate: i === 0 ? Number.NaN : -1.234567e-30,
    d: i === 0 ? Number.NaN : -1.2e-30,
    ulp: i === 0 ? Number.POSITIVE_INFINITY : 1.2e30,
  })),
  tokens: [
    {
      sample: 1,
      step: 2,
      token: 3,
      text: null,
      relL2: Number.NaN,
      cosine: Number.NaN,
      mismatched: 4,
    },
  ],
  channels: null,
  heads: [
    { head: 0, share: 0.1, relL2: 0, mismatched: 0 },
    { head: 1, share: 0.9, relL2: 1, mismatched: 0 },
  ],
  noHeads: null,
};

function report(...tensors: readonly TensorDepth[]): DepthReport {
  return {
    schemaVersion: 1,
    reference: { file: `${EVIL}.arrow` },
    candidate: { file: "npu.arrow" },
    tensors,
  };
}

const shown = { lang: "en", ascii: false, style: PLAIN, columns: 80 } as const;

test("the committed schema is the generated one, and accepts what is rendered", async () => {
  await expect(renderDepthSchema()).toMatchFileSnapshot("../../schema/inspect-tensor.schema.json");
  const validate = new Ajv2020({ allErrors: true }).compile(
    JSON.parse(renderDepthSchema()) as Record<string, unknown>,
  );
  const found = await cli(["inspect", REFERENCE, FAULTY, "--tensor", "layers.2.mlp", "--json"]);
  for (const json of [renderDepthJson(report(WIDEST)), renderDepthJson(report()), found.stdout]) {
    expect(validate(JSON.parse(json)), JSON.stringify(validate.errors)).toBe(true);
  }
});

describe.each(["en", "zh"] as const)("in %s", (lang) => {
  test.each([false, true])(
    "no line is wider than 80 columns, and no text does anything (ASCII: %s)",
    (ascii) => {
      const text = renderDepthText(report(WIDEST, { ...WIDEST, step: "prefill" }), {
        ...shown,
        lang,
        ascii,
      });
      for (const line of text.split("\n")) expect(width(line), line).toBeLessThanOrEqual(80);
      expect(text).not.toContain("\u001b");
      expect(text).not.toContain("\u202e");
      if (ascii) expect(text).not.toMatch(/[·…█≤½]/);
    },
  );
});

test("what differs in kind stands first, with its place and both values", async () => {
  const { stdout, code } = await cli(["inspect", REFERENCE, FAULTY, "--tensor", "layers.2.mlp"]);
  expect(code).toBe(0);
  const lines = stdout.split("\n");
  const table = lines.findIndex((line) => line.startsWith("Worst elements"));
  // fixtures/pairs/new-nan/expected.json: one NaN in layers.2.mlp.
  expect(lines[table + 2]).toMatch(/^ +3 +4 +17 +0\.0556685 +NaN +NaN +inf$/);
  expect(stdout).toMatch(/^ +NaN\/inf +1 /m);
});

test("equal tensors have nothing to list", async () => {
  const { stdout } = await cli(["inspect", FAULTY, FAULTY, "--tensor", "embed"]);
  expect(stdout).toContain("none: every element is the same");
  expect(stdout).not.toContain("Worst");
});

describe("refused with exit code 2:", () => {
  test.each([
    [
      "an unknown tensor, with the nearest",
      [REFERENCE, FAULTY, "--tensor", "layer.2.mlp"],
      "nearest that both hold: layers.2.mlp",
    ],
    ["a pair without a tensor", [REFERENCE, FAULTY], "--tensor NAME"],
    ["Markdown", [REFERENCE, FAULTY, "--tensor", "embed", "--format", "md"], "text or json"],
    ["a tensor without a pair", [REFERENCE, "--tensor", "embed"], "--tensor NAME"],
    [
      "token ids, which are compared elsewhere",
      [REFERENCE, FAULTY, "--tensor", "input_ids"],
      "and that is compared",
    ],
    [
      "a shape that differs",
      [REFERENCE, `${PAIRS}shape/candidate.arrow`, "--tensor", "layers.1.attn"],
      "shape",
    ],
  ])("%s", async (_name, args, help) => {
    const { code, stdout, stderr } = await cli(["inspect", ...args]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error\[usage\]: /);
    expect(stderr).toContain(help);
    expect(stderr).toMatch(/^ {2}help: /m);
  });
});
