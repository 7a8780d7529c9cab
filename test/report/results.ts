/** Comparison results made by hand, for renderers to show. */

import type { TensorDepth } from "../../src/core/depth.ts";
import type { LikelyToken } from "../../src/core/details.ts";
import type { Finding } from "../../src/core/findings.ts";
import type { Continuation, DivergenceSide, KeywordResult } from "../../src/core/generation.ts";
import type { Origin } from "../../src/core/groups.ts";
import type { InputSummary } from "../../src/core/inputs.ts";
import type { OwnFigures } from "../../src/core/own-figures.ts";
import type { Quality, Top1Result } from "../../src/core/quality.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { TensorResult } from "../../src/core/tensor-result.ts";

import { LENS, NO_LENS } from "./lens-results.ts";
import { hostilePerformance, PERFORMANCE, PERFORMANCE_OF_ONE } from "./performance-results.ts";

export const LAYERS = 30;

export function finding(rule: string, parts: Partial<Finding> = {}): Finding {
  return {
    rule,
    level: "error",
    tensor: null,
    step: null,
    sample: null,
    role: null,
    value: null,
    limit: null,
    limitFrom: null,
    detail: {},
    ...parts,
  };
}

/** A tensor that stands at `ratio` times a floor of `floorGm`. */
export function tensor(
  name: string,
  layer: number | null,
  ratio: number,
  parts: Partial<TensorResult> = {},
): TensorResult {
  const floorGm = 0.001 * ((layer ?? LAYERS) + 1) ** 0.37;
  const gm = floorGm * ratio;
  const at = { sample: 3, step: 0, token: 17 };
  return {
    name,
    layer,
    step: "prefill",
    verdict: "pass",
    role: null,
    dtype: { reference: "F32", candidate: "F16" },
    samples: 30,
    rows: 2170,
    elements: 2170 * 576,
    relL2: gm * 0.9,
    snrDb: -20 * Math.log10(gm * 0.9),
    tokenRelL2: { gm, p50: gm, p99: 3 * gm, max: 5 * gm, maxAt: at, worstSampleGm: 1.2 * gm },
    cosine: 1 - gm ** 2 / 2,
    cosineDistance: gm ** 2 / 2,
    tokenCosine: {
      mean: 1 - gm ** 2 / 2,
      min: 1 - 10 * gm ** 2,
      minAt: at,
      p1: 1 - 8 * gm ** 2,
      p5: 1 - 5 * gm ** 2,
      p50: 1 - gm ** 2 / 2,
    },
    mse: gm ** 2,
    rmse: gm,
    meanAbs: 0.7 * gm,
    bias: 0.001 * gm,
    maxAbs: 30 * gm,
    maxAbsAt: { sample: 3, step: 0, index: [17, 402], reference: 1.2, candidate: 1.2 + 30 * gm },
    normRatio: 1 + gm / 10,
    slope: 1 - gm / 10,
    floorRatio: ratio,
    floorRatioP99: 1.1 * ratio,
    floor: {
      floorRatio: ratio,
      floorRatioP99: 1.1 * ratio,
      floorTokenRatio: 3 * ratio,
      floorTokenRatioAt: at,
      worstSampleFloorRatio: 1.2 * ratio,
      worstSample: 3,
      floorGm,
    },
    priorLimit: null,
    own: null,
    nonFinite: {
      reference: { nan: 0, posInf: 0, negInf: 0 },
      candidate: { nan: 0, posInf: 0, negInf: 0 },
      mismatched: 0,
      firstAt: null,
      saturated: 0,
    },
    bitsDiffering: null,
    statsFigures: null,
    ...parts,
  };
}

/** The tensors of a whole model; from `fault` on, every one stands at 50 times the floor. */
export function modelTensors(fault: string | null, layers: number = LAYERS): TensorResult[] {
  const names: (readonly [string, number | null])[] = [
    ["embed", null],
    ...Array.from({ length: layers }, (_, layer) =>
      ["attn", "mlp", ""].map(
        (block) => [block === "" ? `layers.${layer}` : `layers.${layer}.${block}`, layer] as const,
      ),
    ).flat(),
    ["norm", null],
    ["logits", null],
  ];
  let broken = false;
  return names.map(([name, layer], index) => {
    if (name === fault) {
      broken = true;
      return tensor(name, layer, 67.2, { verdict: "fail", role: "origin" });
    }
    return broken
      ? tensor(name, layer, 50 * 0.995 ** index, { verdict: "fail", role: "inherited" })
      : tensor(name, layer, 0.98 + 0.02 * (index % 7));
  });
}

export const QUALITY: Quality = {
  perplexity: {
    reference: 12.41,
    candidate: 12.42,
    relativeIncrease: 12.42 / 12.41 - 1,
    ci95: [-0.001, 0.0026],
    tokens: 2140,
    samples: 30,
    deltaNll: { mean: 0.0008, se: 0.0009, ci95: [-0.001, 0.0026], clusters: 30 },
  },
  perplexitySeed: { reference: 12.4, candidate: 12.41, relativeIncrease: 0.0008 },
  kl: {
    mean: 0.0021,
    clusters: 30,
    se: 0.0003,
    ci95: [0.0015, 0.0027],
    gm: 0.0004,
    median: 0.0005,
    p95: 0.008,
    p99: 0.02,
    p999: 0.05,
    max: 0.061,
    maxAt: { sample: 4, step: 0, token: 12 },
    positions: 2170,
    floorRatio: 1.04,
  },
  top1Agreement: {
    share: 2150 / 2170,
    agreed: 2150,
    positions: 2170,
    strict: 2140 / 2170,
    ci95: [0.986, 0.994],
    nearTies: 20,
  },
  topKOverlap: { k5: 0.99, k10: 0.985 },
  flips: { count: 20, expected: 25.5, real: 0, sigmaFrom: "floor" },
  deltaP: { rms: 0.01, p1: -0.03, p5: -0.01, p50: 0, p95: 0.01, p99: 0.03, min: -0.2, max: 0.15 },
  firstToken: { agreed: 30, samples: 30, share: 1, ci95: [0.886, 1], from: "logits" },
  generation: null,
  determinism: null,
  klLowerBound: null,
  lse: null,
  notAvailable: [],
  decode: null,
};

export const NO_QUALITY: Quality = {
  perplexity: null,
  perplexitySeed: null,
  kl: null,
  top1Agreement: null,
  topKOverlap: null,
  flips: null,
  deltaP: null,
  firstToken: null,
  generation: null,
  determinism: null,
  klLowerBound: null,
  lse: null,
  notAvailable: [],
  decode: null,
};

export function input(
  file: string,
  type: string,
  name: string | null,
  dtype: string,
): InputSummary {
  return {
    file,
    bytes: 123456789,
    tokensSha256: "3f9a".repeat(16),
    run: {
      tool: { name: "npu-dump", version: "0.1.0" },
      id: file,
      dtype,
      device: name === null ? { type } : { type, name },
      model: { id: "SmolLM2-135M-Instruct", layers: LAYERS },
    },
    repaired: false,
  };
}

const FLOOR_RULES: ComparisonResult["rules"] = [
  rule("structure/missing", 0, "structure"),
  rule("structure/shape", 0, "structure"),
  rule("finite/mismatched", 0, "structure"),
  rule("finite/saturation", 0, "structure"),
  rule("layer/floor-ratio", 1.5, "method"),
  rule("layer/floor-ratio-p99", 3.5, "method"),
  rule("layer/floor-token", 25, "method"),
  rule("layer/floor-sample", 1.5, "method"),
  rule("quality/nll", 3, "method"),
  rule("quality/kl-ratio", 4, "method"),
  rule("quality/flips", 40.6, "method"),
  rule("quality/real-flips", 2, "method"),
];

export function rule(
  id: string,
  limit: number | null,
  limitFrom: ComparisonResult["rules"][number]["limitFrom"],
): ComparisonResult["rules"][number] {
  const decide = /^limit\/(ppl|kl|top1|first)/.test(id) ? "interval" : null;
  return { rule: id, step: null, applied: true, limit, limitFrom, decide, reason: null };
}

export function notApplied(id: string, reason: string): ComparisonResult["rules"][number] {
  return {
    rule: id,
    step: null,
    applied: false,
    limit: null,
    limitFrom: null,
    decide: null,
    reason,
  };
}

/** A pass against a floor, with whatever differs from it. */
export function comparison(parts: Partial<ComparisonResult> = {}): ComparisonResult {
  const { verdict = "pass", origin = null } = parts;
  return {
    schemaVersion: 1,
    verdict,
    origin,
    groups: [
      { step: "prefill", verdict, origin, throughCache: false, independent: [], systematic: null },
    ],
    isolated: false,
    findings: [],
    quality: QUALITY,
    tensors: modelTensors(null),
    notCaptured: { reference: [], candidate: [] },
    missing: { reference: [], candidate: [] },
    inputs: {
      reference: input("cpu.arrow", "cpu", null, "F32"),
      candidate: input("npu.arrow", "npu", "Ascend910B2", "F16"),
      floors: [input("floor.arrow", "cpu", null, "F16")],
      forced: [],
    },
    tokens: { samples: 30, tokens: 2170 },
    environment: { differences: [] },
    lens: null,
    performance: null,
    evidence: "floor",
    preset: "f16",
    rules: FLOOR_RULES,
    stopped: false,
    details: null,
    ...parts,
  };
}

const FAILING_QUALITY: Quality = {
  ...QUALITY,
  perplexity: {
    reference: 12.41,
    candidate: 13.07,
    relativeIncrease: 13.07 / 12.41 - 1,
    ci95: [0.041, 0.066],
    tokens: 2140,
    samples: 30,
    deltaNll: { mean: 0.0518, se: 0.006, ci95: [0.04, 0.064], clusters: 30 },
  },
  kl: { ...(QUALITY.kl as NonNullable<Quality["kl"]>), mean: 0.031, max: 0.44, floorRatio: 15.3 },
  top1Agreement: {
    share: 2064 / 2170,
    agreed: 2064,
    positions: 2170,
    strict: 0.944,
    ci95: [0.941, 0.959],
    nearTies: 61,
  },
  flips: { count: 106, expected: 25.5, real: 45, sigmaFrom: "floor" },
  firstToken: { agreed: 29, samples: 30, share: 29 / 30, ci95: [0.83, 0.99], from: "logits" },
};

/** A module in the middle saturates, and everything after it inherits the error. */
export const FAIL_BY_LAYER: ComparisonResult = comparison({
  verdict: "fail",
  origin: {
    tensor: "layers.7.mlp",
    layer: 7,
    step: "prefill",
    causes: [
      {
        id: "cause/saturation",
        confidence: 0.97,
        evidence:
          "412 elements in 11 channels stop at a size of 65504, where the reference is larger",
        detail: { elements: 412, largest: 65504, columns: 11 },
      },
    ],
  },
  findings: [
    finding("layer/floor-ratio", {
      tensor: "layers.7.mlp",
      step: "prefill",
      role: "origin",
      value: 67.2,
      limit: 1.5,
      limitFrom: "method",
    }),
    finding("finite/saturation", {
      tensor: "layers.7.mlp",
      step: "prefill",
      role: "origin",
      value: 11,
      limit: 0,
      limitFrom: "structure",
      detail: { maxFinite: 65504 },
    }),
    ...modelTensors("layers.7.mlp")
      .filter(({ role }) => role === "inherited")
      .map(({ name, floorRatio }) =>
        finding("layer/floor-ratio", {
          tensor: name,
          step: "prefill",
          role: "inherited",
          value: floorRatio,
          limit: 1.5,
          limitFrom: "method",
        }),
      ),
    finding("limit/ppl-increase", {
      value: 13.07 / 12.41 - 1,
      limit: 0.005,
      limitFrom: "flag",
      detail: { decide: "interval", low: 0.041, high: 0.066 },
    }),
    finding("quality/nll", {
      value: 8.6,
      limit: 3,
      limitFrom: "method",
      detail: { deltaNll: 0.0518 },
    }),
    finding("quality/kl-ratio", { value: 15.3, limit: 4, limitFrom: "method" }),
    finding("quality/flips", {
      value: 106,
      limit: 40.6,
      limitFrom: "method",
      detail: { expected: 25.5 },
    }),
  ],
  tensors: modelTensors("layers.7.mlp"),
  quality: FAILING_QUALITY,
  rules: [...FLOOR_RULES, rule("limit/ppl-increase", 0.005, "flag")],
});

/** Every layer holds; the perplexity does not. */
export const FAIL_BY_QUALITY: ComparisonResult = comparison({
  verdict: "fail",
  quality: FAILING_QUALITY,
  findings: [
    finding("quality/nll", {
      value: 8.6,
      limit: 3,
      limitFrom: "method",
      detail: { deltaNll: 0.0518 },
    }),
    finding("quality/real-flips", { value: 45, limit: 5.3, limitFrom: "method" }),
  ],
});

/** Tensors are missing on one side, one has another shape, and some were not captured. */
export const FAIL_BY_STRUCTURE: ComparisonResult = comparison({
  verdict: "fail",
  origin: { tensor: "layers.2.attn", layer: 2, step: "prefill", causes: [] },
  missing: {
    reference: [],
    candidate: Array.from({ length: 12 }, (_, i) => `layers.3.mlp@${i}.0`),
  },
  notCaptured: { reference: ["layers.0.router@0.0"], candidate: [] },
  findings: [
    finding("structure/missing", {
      tensor: "layers.3.mlp",
      step: "prefill",
      value: 12,
      limit: 0,
      limitFrom: "structure",
      detail: { side: "candidate" },
    }),
    finding("structure/shape", {
      tensor: "layers.2.attn",
      step: "prefill",
      role: "origin",
      sample: 0,
      limitFrom: "structure",
      detail: { reference: "[61, 576]", candidate: "[61, 288]" },
    }),
  ],
  tensors: modelTensors(null).map((one) =>
    one.name === "layers.2.attn" ? unmeasured(one, { verdict: "fail", role: "origin" }) : one,
  ),
});

/** A limit of the user lies inside the interval. */
export const INCONCLUSIVE: ComparisonResult = comparison({
  verdict: "inconclusive",
  findings: [
    finding("limit/ppl-increase", {
      level: "warning",
      value: 12.42 / 12.41 - 1,
      limit: 0.001,
      limitFrom: "flag",
      detail: { decide: "interval", low: -0.001, high: 0.0026, tokensNeeded: 184320 },
    }),
  ],
  rules: [...FLOOR_RULES, rule("limit/ppl-increase", 0.001, "flag")],
});

/** One side overflows: figures are infinite or missing. */
export const NON_FINITE: ComparisonResult = comparison({
  verdict: "fail",
  origin: { tensor: "layers.12.attn", layer: 12, step: "prefill", causes: [] },
  findings: [
    finding("finite/mismatched", {
      tensor: "layers.12.attn",
      step: "prefill",
      role: "origin",
      sample: 2,
      value: 61,
      limit: 0,
      limitFrom: "structure",
      detail: { index: "[4, 17]", reference: 1.5, candidate: "NaN" },
    }),
    finding("quality/undefined", { value: Number.NaN, detail: { metric: "perplexity.candidate" } }),
  ],
  tensors: modelTensors("layers.12.attn").map((one) => {
    if (one.role === "origin") {
      return {
        ...one,
        relL2: Number.POSITIVE_INFINITY,
        maxAbs: Number.POSITIVE_INFINITY,
        cosine: Number.NaN,
      };
    }
    return one.role === "inherited" ? unmeasured(one, {}) : one;
  }),
  quality: {
    ...NO_QUALITY,
    perplexity: {
      reference: 12.41,
      candidate: Number.NaN,
      relativeIncrease: Number.NaN,
      ci95: null,
      tokens: 2140,
      samples: 30,
      deltaNll: { mean: Number.NaN, se: null, ci95: null, clusters: 1 },
    },
  },
});

/** No floor was given: a prior decides. */
export const NO_FLOOR: ComparisonResult = withoutFloor({
  verdict: "fail",
  origin: { tensor: "layers.7.mlp", layer: 7, step: "prefill", causes: [] },
  findings: [
    finding("layer/prior", {
      tensor: "layers.7.mlp",
      step: "prefill",
      role: "origin",
      value: 0.145,
      limit: 0.0121,
      limitFrom: "prior",
    }),
    finding("input/dtype", { level: "info", detail: { reference: "F32", candidate: "F16" } }),
  ],
  tensors: modelTensors("layers.7.mlp").map((one) => ({
    ...one,
    floorRatio: null,
    floorRatioP99: null,
    floor: null,
    priorLimit: 0.012,
  })),
});

/** The same without a failure. */
export const PASS_BY_PRIOR: ComparisonResult = withoutFloor({
  tensors: modelTensors(null).map((one) => ({
    ...one,
    floor: null,
    floorRatio: null,
    priorLimit: 0.012,
  })),
});

/** Hidden states only. */
export const PASS_WITHOUT_LOGITS: ComparisonResult = comparison({
  quality: NO_QUALITY,
  tensors: modelTensors(null).slice(0, -1),
  rules: [...FLOOR_RULES.slice(0, 8), notApplied("quality/nll", "no-logits")],
});

/** A quality of reduced logits. */
const REDUCED_QUALITY: Quality = {
  ...QUALITY,
  kl: null,
  top1Agreement: { ...(QUALITY.top1Agreement as Top1Result), nearTies: null },
  flips: null,
  klLowerBound: {
    mean: 0.0014,
    clusters: 30,
    se: 0.0002,
    ci95: [0.001, 0.0018],
    max: 0.052,
    maxAt: { sample: 4, step: 0, token: 12 },
    positions: 2170,
  },
  lse: { meanAbs: 0.012, maxAbs: 0.2, maxAt: { sample: 4, step: 0, token: 12 }, positions: 2170 },
  notAvailable: ["kl", "top1Agreement.nearTies", "flips"].map((figure) => ({
    figure,
    reason: "reduced-logits",
  })),
};

const REDUCED_RULES: ComparisonResult["rules"] = [
  ...FLOOR_RULES.slice(0, 9),
  ...["quality/kl-ratio", "quality/flips", "quality/real-flips"].map((id) =>
    notApplied(id, "reduced-logits"),
  ),
];

/** Logits that hold only the best tokens. */
export const PASS_WITH_REDUCED_LOGITS: ComparisonResult = comparison({
  quality: REDUCED_QUALITY,
  tensors: modelTensors(null).slice(0, -1),
  rules: REDUCED_RULES,
});

/** A tensor of which only statistics are known. */
function reducedTensor(name: string, layer: number, parts: Partial<TensorResult>): TensorResult {
  const figures = tensor(name, layer, 1, parts);
  const side = { min: -4.2, max: 3.9, mean: 0.01, rms: 1.1, nan: 0, posInf: 0, negInf: 0 };
  const empty = Object.fromEntries(
    ["relL2", "snrDb", "tokenRelL2", "cosine", "cosineDistance", "tokenCosine", "mse", "rmse"]
      .concat(["meanAbs", "bias", "maxAbs", "maxAbsAt", "slope", "floorRatio", "floorRatioP99"])
      .concat(["floor", "nonFinite"])
      .map((key) => [key, null]),
  );
  return {
    ...figures,
    ...empty,
    statsFigures: {
      reference: side,
      candidate: { ...side, max: 4.1, rms: 1.12 },
      difference: { min: 0, max: 0.2, mean: 0, rms: 0.02 },
      normRatio: 1.12 / 1.1,
      mismatched: 0,
      saturated: 0,
      bounds: { relL2: 0.018, tokenRelL2Max: 0.021, maxAbs: 0.2, mse: 0.0004, cosine: 0.99984 },
    },
  };
}

/** Layer 3 and later are stored as statistics: nothing fails, and not everything can be judged. */
export const STATISTICS: ComparisonResult = comparison({
  verdict: "inconclusive",
  findings: [
    ...["layers.3.attn", "layers.3.mlp"].map((name) =>
      finding("layer/undecided", {
        level: "warning",
        tensor: name,
        step: "prefill",
        detail: {
          reason: "statistics",
          open: "layer/floor-ratio, layer/floor-token, limit/max-abs",
        },
      }),
    ),
    finding("limit/kl", {
      level: "warning",
      value: 0.0014,
      limit: 0.01,
      limitFrom: "flag",
      detail: { reason: "reduced-logits", bound: "lower" },
    }),
  ],
  quality: REDUCED_QUALITY,
  tensors: modelTensors(null)
    .slice(0, -1)
    .map((one) =>
      one.layer === 3 && one.name !== "layers.3"
        ? reducedTensor(one.name, 3, { verdict: "inconclusive" })
        : one,
    ),
  rules: [...REDUCED_RULES, rule("limit/kl", 0.01, "flag")],
});

/** What statistics prove. */
export const FAIL_BY_STATISTICS: ComparisonResult = comparison({
  verdict: "fail",
  evidence: "prior",
  origin: { tensor: "layers.3.mlp", layer: 3, step: "prefill", causes: [] },
  inputs: { ...comparison().inputs, floors: [] },
  findings: [
    finding("layer/prior-token", {
      tensor: "layers.3.mlp",
      step: "prefill",
      role: "origin",
      value: 0.92,
      limit: 0.9,
      limitFrom: "prior",
      detail: { bound: "lower" },
    }),
    finding("limit/cosine", {
      tensor: "layers.3.mlp",
      step: "prefill",
      role: "origin",
      value: 0.31,
      limit: 0.99,
      limitFrom: "flag",
      detail: { bound: "upper" },
    }),
    finding("limit/kl", {
      value: 0.0014,
      limit: 0.001,
      limitFrom: "flag",
      detail: { reason: "reduced-logits", bound: "lower" },
    }),
  ],
  quality: REDUCED_QUALITY,
  tensors: modelTensors(null)
    .slice(0, -1)
    .map((one) =>
      one.name === "layers.3.mlp"
        ? reducedTensor(one.name, 3, { verdict: "fail", role: "origin" })
        : one,
    ),
  rules: [...REDUCED_RULES, rule("limit/kl", 0.001, "flag"), rule("limit/cosine", 0.99, "flag")],
});

/** A model of 399 layers. */
export const LARGE: ComparisonResult = {
  ...FAIL_BY_LAYER,
  origin: { tensor: "layers.123.mlp", layer: 123, step: "prefill", causes: [] },
  findings: [
    ...FAIL_BY_LAYER.findings
      .filter(({ role }) => role !== "inherited")
      .map((one) => (one.role === "origin" ? { ...one, tensor: "layers.123.mlp" } : one)),
    ...modelTensors("layers.123.mlp", 399)
      .filter(({ role }) => role === "inherited")
      .map(({ name, floorRatio }) =>
        finding("layer/floor-ratio", {
          ...{ tensor: name, step: "prefill", role: "inherited" },
          ...{ value: floorRatio, limit: 1.5, limitFrom: "method" },
        }),
      ),
  ],
  tensors: modelTensors("layers.123.mlp", 399),
};

/** Errors of single tokens of one sample: a wave that grows with the token, and the worst where the origin is. */
export function withTokens(
  result: ComparisonResult,
  { tokens, bins = Math.min(128, tokens), text }: { tokens: number; bins?: number; text?: string },
): ComparisonResult {
  const size = tokens / bins;
  return {
    ...result,
    details: {
      tokenErrors: {
        sample: 3,
        tokens,
        bins: Array.from({ length: bins }, (_, bin) => ({
          from: bin * size,
          to: (bin + 1) * size,
          text: text ?? ` word${bin}`,
        })),
        rows: result.tensors
          .filter(({ step }) => step === "prefill")
          .map(({ name, tokenRelL2 }) => ({
            tensor: name,
            relL2: Array.from({ length: bins }, (_, bin) =>
              tokenRelL2 === null ? null : tokenRelL2.gm * (0.5 + bin / bins),
            ),
          })),
      },
      tensors: [
        depthOf("layers.7.mlp", 7, text ?? " word"),
        depthOf("logits", null, text ?? " word"),
      ],
      positions: [
        {
          ...{ sample: 1, step: 0, token: 4, kl: 0.31, agrees: false, margin: 0.8, nearTie: true },
          context: ["The", text ?? " word"],
          reference: likely(text ?? " Paris"),
          candidate: likely(null),
        },
      ],
    },
  };
}

function likely(text: string | null): readonly LikelyToken[] {
  return [0.5, 0.2, 0.1, 0.05, 0.04].map((probability, i) => ({
    id: 12_345 + i,
    text: i === 0 ? text : null,
    probability,
  }));
}

/** A tensor in depth in which everything that can be shown is there. */
function depthOf(tensor: string, layer: number | null, text: string): TensorDepth {
  const at = { sample: 3, step: 0, token: 5, text };
  return {
    ...{
      tensor,
      layer,
      step: "prefill",
      samples: 6,
      rows: 41,
      width: 64,
      relL2: 0.02,
      maxAbs: 0.5,
    },
    dtypes: { reference: ["F32"], candidate: ["BF16"] },
    ulp: {
      buckets: [0, 0.5, 1, 2, 4, 8].map((upTo, i) => ({ upTo, elements: i * 100 })),
      ...{ beyond: 3, nonFinite: 1, max: 70_000 },
    },
    elements: Array.from({ length: 20 }, (_, i) => ({
      ...at,
      ...{ index: [5, i], reference: 1, candidate: 1 + i / 32, d: i / 32, ulp: 4 * i },
    })),
    tokens: [{ ...at, relL2: 0.5, cosine: 0.9, mismatched: 1 }],
    channels: [{ channel: 7, share: 0.4, relL2: 0.3, mismatched: 0 }],
    ...{ heads: null, noHeads: "name" },
  };
}

/** What a stranger may have written into a dump. */
export const EVIL =
  "layers.7.\u001b[31mred\u001b[0m\n\u202eevil| <script>alert(1)</script> `x` **b** @all";

/** Names, devices and evidence that try to leave their place. */
export const HOSTILE: ComparisonResult = comparison({
  verdict: "fail",
  origin: {
    tensor: EVIL,
    layer: 7,
    step: "prefill",
    causes: [{ id: "cause/x", confidence: 1, evidence: `\u001b]0;title\u0007${EVIL}`, detail: {} }],
  },
  findings: [
    finding("layer/floor-ratio", {
      tensor: EVIL,
      step: "prefill",
      role: "origin",
      value: 1.5004,
      limit: 1.5,
      limitFrom: "method",
    }),
    finding("input/model", {
      level: "warning",
      detail: { key: `model.${EVIL}`, reference: EVIL, candidate: "2" },
    }),
  ],
  tensors: [
    tensor("embed", null, 1),
    tensor(`${"model.decoder.blocks.".repeat(5)}attention.query`, null, 1.01),
    tensor(EVIL, 7, 1.5004, { verdict: "fail", role: "origin" }),
    tensor(`${"model.decoder.blocks.".repeat(5)}attention.key`, null, 9, {
      verdict: "fail",
      role: "inherited",
    }),
    tensor("中文张量名称.第七层.前馈网络输出", 7, 9),
  ],
  inputs: {
    reference: input("\u001b[2Jcpu|x.arrow", "cpu", EVIL, "F32"),
    candidate: input("npu.arrow", "npu", "a|b", "F16"),
    floors: [input("floor.arrow", "cpu", null, "F16")],
    forced: [],
  },
  missing: { reference: [EVIL], candidate: [] },
  performance: hostilePerformance(EVIL),
});

/** Own errors under forced references: `ratio` times the floor's where it is a number. */
function own(ratio: number | null, parts: Partial<OwnFigures> = {}): OwnFigures {
  const gm = 0.003 * (ratio ?? 1);
  return {
    gm,
    p50: gm,
    p99: 2 * gm,
    max: 3 * gm,
    maxAt: { sample: 3, step: 0, token: 17 },
    u: gm * 2 ** 12,
    slope: 0.99,
    gmOverFloor: ratio,
    floorGm: ratio === null ? null : 0.003,
    mismatched: 0,
    statistics: null,
    ...parts,
  };
}

const FORCED_INPUTS: ComparisonResult["inputs"] = {
  ...comparison().inputs,
  forced: [
    input("forced.arrow", "cpu", null, "F32"),
    input("forced-floor.arrow", "cpu", null, "F32"),
  ],
};

/** A failure with forced references: what follows the origin is clean in itself. */
export const FAIL_WITH_OWN: ComparisonResult = {
  ...FAIL_BY_LAYER,
  evidence: "forced",
  groups: FAIL_BY_LAYER.groups.map((group) => ({
    ...group,
    independent: [{ tensor: "layers.12.mlp", layer: 12, step: "prefill", causes: [] }],
    systematic: { role: "mlp", faulty: 17, places: 30 },
  })),
  findings: [
    {
      rule: "own/energy",
      level: "error",
      tensor: "layers.7.mlp",
      step: "prefill",
      sample: null,
      role: "origin",
      value: 58,
      limit: 1.5,
      limitFrom: "method",
      detail: {},
    },
    ...FAIL_BY_LAYER.findings,
  ],
  inputs: FORCED_INPUTS,
  tensors: FAIL_BY_LAYER.tensors.map((one, index) => {
    if (one.role === "origin") return { ...one, own: own(58) };
    if (one.name === "layers.9.mlp") return { ...one, own: null };
    if (one.name === "layers.12.attn") {
      const none = { gm: null, p50: null, p99: null, max: null, maxAt: null, u: null, slope: null };
      return { ...one, own: own(null, { ...none, mismatched: 3 }) };
    }
    return { ...one, own: own(0.9 + 0.01 * (index % 20)) };
  }),
};

/** A pass whose floor has no forced reference. */
export const PASS_WITH_OWN: ComparisonResult = comparison({
  inputs: { ...FORCED_INPUTS, forced: FORCED_INPUTS.forced.slice(0, 1) },
  tensors: modelTensors(null).map((one) => ({ ...one, own: own(null) })),
});

const DECODE_ORIGIN: Origin = { tensor: "layers.7.mlp", layer: 7, step: "decode", causes: [] };

function decodeTensors(fault: string | null): TensorResult[] {
  return modelTensors(fault).map((one) => ({ ...one, step: "decode", rows: 240 }));
}

const DECODE_QUALITY: Quality["decode"] = {
  perplexity: QUALITY.perplexity,
  kl: { ...(QUALITY.kl as NonNullable<Quality["kl"]>), positions: 240, floorRatio: null },
  top1Agreement: {
    share: 238 / 240,
    agreed: 238,
    positions: 240,
    strict: 238 / 240,
    ci95: [0.97, 0.998],
    nearTies: 2,
  },
  topKOverlap: null,
  flips: null,
  deltaP: null,
};

/** Both ways of running, judged apart: the prefill holds. */
export const WITH_DECODE: ComparisonResult = {
  ...FAIL_BY_LAYER,
  origin: DECODE_ORIGIN,
  groups: [
    {
      step: "prefill",
      verdict: "pass",
      origin: null,
      throughCache: false,
      independent: [],
      systematic: null,
    },
    {
      step: "decode",
      verdict: "fail",
      origin: DECODE_ORIGIN,
      throughCache: false,
      independent: [],
      systematic: null,
    },
  ],
  findings: [
    finding("layer/floor-ratio-p99", {
      tensor: "layers.7.mlp",
      step: "decode",
      role: "origin",
      value: 9,
      limit: 3.5,
      limitFrom: "method",
    }),
  ],
  quality: { ...QUALITY, decode: DECODE_QUALITY },
  tensors: [...modelTensors(null), ...decodeTensors("layers.7.mlp")],
};

/** The prefill's error reaches a later layer of decode through the cache. */
export const THROUGH_CACHE: ComparisonResult = {
  ...FAIL_BY_LAYER,
  groups: [
    {
      step: "prefill",
      verdict: "fail",
      origin: FAIL_BY_LAYER.origin,
      throughCache: false,
      independent: [],
      systematic: null,
    },
    {
      step: "decode",
      verdict: "fail",
      origin: { ...DECODE_ORIGIN, tensor: "layers.8.attn", layer: 8 },
      throughCache: true,
      independent: [],
      systematic: null,
    },
  ],
  tensors: [
    ...FAIL_BY_LAYER.tensors,
    ...decodeTensors("layers.8.attn").map(
      (one): TensorResult => (one.role === "origin" ? { ...one, role: "inherited" } : one),
    ),
  ],
};

/** Prefill and decode hold. */
export const PASS_WITH_DECODE: ComparisonResult = comparison({
  groups: [
    {
      step: "prefill",
      verdict: "pass",
      origin: null,
      throughCache: false,
      independent: [],
      systematic: null,
    },
    {
      step: "decode",
      verdict: "pass",
      origin: null,
      throughCache: false,
      independent: [],
      systematic: null,
    },
  ],
  quality: { ...QUALITY, decode: DECODE_QUALITY },
  tensors: [...modelTensors(null), ...decodeTensors(null)],
});

/** An isolated replay: two modules fail, each by itself. */
export const ISOLATED: ComparisonResult = {
  ...FAIL_BY_LAYER,
  isolated: true,
  groups: FAIL_BY_LAYER.groups.map((group) => ({
    ...group,
    independent: [{ tensor: "norm", layer: null, step: "prefill", causes: [] }],
  })),
  findings: FAIL_BY_LAYER.findings.filter(({ role }) => role === "origin"),
  quality: NO_QUALITY,
  tensors: modelTensors(null).map((one) => {
    if (one.name === "layers.7.mlp")
      return tensor(one.name, 7, 67.2, { verdict: "fail", role: "origin" });
    if (one.name === "norm")
      return tensor(one.name, null, 9, { verdict: "fail", role: "independent" });
    return one;
  }),
  rules: [...FLOOR_RULES.slice(0, 8), notApplied("quality/nll", "isolated")],
};

function unmeasured(one: TensorResult, parts: Partial<TensorResult>): TensorResult {
  return {
    ...one,
    relL2: null,
    snrDb: null,
    tokenRelL2: null,
    cosine: null,
    cosineDistance: null,
    tokenCosine: null,
    mse: null,
    rmse: null,
    meanAbs: null,
    bias: null,
    maxAbs: null,
    maxAbsAt: null,
    normRatio: null,
    slope: null,
    floorRatio: null,
    floorRatioP99: null,
    floor: null,
    nonFinite: null,
    ...parts,
  };
}

function withoutFloor(parts: Partial<ComparisonResult>): ComparisonResult {
  return comparison({
    quality: {
      ...QUALITY,
      kl: { ...(QUALITY.kl as NonNullable<Quality["kl"]>), floorRatio: null },
      flips: { count: 20, expected: 25.5, real: 0, sigmaFrom: "candidate" },
    },
    inputs: { ...comparison().inputs, floors: [] },
    evidence: "prior",
    rules: [
      rule("structure/missing", 0, "structure"),
      rule("layer/prior", null, "prior"),
      rule("quality/nll", 3, "method"),
      notApplied("quality/kl-ratio", "no-floor"),
      notApplied("quality/flips", "no-floor"),
      notApplied("quality/real-flips", "no-floor"),
    ],
    ...parts,
  });
}

/** Continuations: one the same, one that parts at a near tie, one beyond it with a keyword lost, and one that one side lacks. */
export const FAIL_BY_KEYWORDS: ComparisonResult = comparison({
  verdict: "fail",
  findings: [
    finding("quality/keywords", {
      value: 1,
      limit: 0,
      limitFrom: "flag",
      sample: 2,
      detail: { keywords: 4 },
    }),
    finding("quality/undecided", {
      level: "warning",
      sample: 3,
      detail: { reason: "no-generated-text" },
    }),
  ],
  rules: [...FLOOR_RULES, rule("quality/keywords", 0, "flag")],
  quality: {
    ...QUALITY,
    firstToken: null,
    notAvailable: [{ figure: "firstToken", reason: "some-continuations" }],
    generation: {
      samples: 3,
      exact: 1,
      firstDivergence: { mean: 4.5, p50: 4.5, min: 1 },
      byText: 0,
      sampled: [],
      only: { reference: 1, candidate: 0 },
      divergences: { nearTies: 1, real: 1, unknown: 0 },
      keywords: {
        keywords: 4,
        reference: 3,
        candidate: 1,
        lost: 1,
        open: 1,
        firstLost: 2,
        firstOpen: 3,
      },
      listed: [
        {
          sample: 0,
          prompt: { text: "The capital of France is", omitted: 0 },
          reference: continuation(" Paris. It is located in the north.", 9, 7042, " Paris"),
          candidate: continuation(" Paris. It is located in the north.", 9, 7042, " Paris"),
          firstTokenAgrees: true,
          identical: true,
          divergence: null,
          keywords: [keyword("Paris", true, true)],
          keywordsOmitted: 0,
        },
        {
          sample: 1,
          prompt: { text: "人工智能是", omitted: 0 },
          reference: continuation(
            "计算机科学的一个分支，研究如何让机器表现出智能。",
            14,
            31,
            "计算机",
          ),
          candidate: continuation(
            "计算机科学的一个分支，旨在创造像人类一样工作和反应的智能机器。",
            16,
            31,
            "计算机",
          ),
          firstTokenAgrees: true,
          identical: false,
          divergence: {
            token: 8,
            character: 11,
            shared: { text: "计算机科学的一个分支，", omitted: 0 },
            reference: wentOn(211, "研究", "研究如何让机器表现出智能。"),
            candidate: wentOn(97, null, "旨在创造像人类一样工作和反应的智能机器。"),
            margin: {
              reference: { nats: 0.031, atLeast: false },
              candidate: { nats: 0.0625, atLeast: false },
              z: 0.42,
              sigmaFrom: "lists",
              nearTie: true,
              reason: null,
            },
          },
          keywords: [],
          keywordsOmitted: 0,
        },
        {
          sample: 2,
          prompt: {
            text: "2, 3, 5, 7, 11, and the next prime number after these five is",
            omitted: 40,
          },
          reference: continuation(
            " 13. The prime numbers below twenty are 2, 3, 5, 7, 11, 13, 17 and 19.",
            40,
            1,
            " 1",
          ),
          candidate: continuation(" twelve", 1, 2, " twelve"),
          firstTokenAgrees: false,
          identical: false,
          divergence: {
            token: 1,
            character: 1,
            shared: { text: " ", omitted: 0 },
            reference: wentOn(
              1,
              "3",
              "13. The prime numbers below twenty are 2, 3, 5, 7, 11, 13, 17 and 19.",
              120,
            ),
            candidate: wentOn(2, " twelve", "twelve"),
            margin: {
              reference: { nats: 7.5, atLeast: true },
              candidate: null,
              z: 31.2,
              sigmaFrom: "floor",
              nearTie: false,
              reason: null,
            },
          },
          keywords: [keyword("13", true, false), keyword("prime", true, null)],
          keywordsOmitted: 3,
        },
        {
          sample: 3,
          prompt: null,
          reference: { ...continuation("", 12, 3, null), text: null, characters: null },
          candidate: null,
          firstTokenAgrees: null,
          identical: null,
          divergence: null,
          keywords: [keyword("Rome", null, null)],
          keywordsOmitted: 0,
        },
      ],
      omitted: 0,
    },
  },
});

/** The same without what fails. */
const PASS_WITH_TEXTS: ComparisonResult = comparison({
  quality: {
    ...QUALITY,
    generation: {
      samples: 0,
      exact: 0,
      firstDivergence: null,
      byText: 0,
      sampled: ["reference", "candidate"],
      only: { reference: 0, candidate: 0 },
      divergences: { nearTies: 0, real: 0, unknown: 0 },
      keywords: null,
      listed: [
        {
          sample: 0,
          prompt: { text: "Once upon a time", omitted: 0 },
          reference: continuation(" there was a fox.", 6, 7, " there"),
          candidate: continuation(
            ", in a village far away, there lived a young woman who knew every tree",
            20,
            8,
            ",",
          ),
          firstTokenAgrees: null,
          identical: null,
          divergence: null,
          keywords: [],
          keywordsOmitted: 0,
        },
      ],
      omitted: 12,
    },
  },
});

function continuation(
  text: string,
  tokens: number,
  id: number,
  first: string | null,
): Continuation {
  return {
    tokens,
    characters: Array.from(text).length,
    text: { text, omitted: 0 },
    firstToken: { id, text: first },
  };
}

/** One side of a divergence: its token there, and what it went on with. */
function wentOn(id: number, token: string | null, text: string, omitted = 0): DivergenceSide {
  return { token: { id, text: token }, ended: false, text: { text, omitted } };
}

function keyword(
  text: string,
  reference: boolean | null,
  candidate: boolean | null,
): KeywordResult {
  return { keyword: { text, omitted: 0 }, reference, candidate };
}

/** With performance of both sides, and what is to be said of it. */
const PASS_WITH_PERFORMANCE: ComparisonResult = comparison({
  findings: [
    finding("input/performance-conditions", {
      level: "info",
      detail: { condition: "engine", reference: "transformers", candidate: "openai" },
    }),
    finding("input/performance-failures", {
      level: "warning",
      value: 2,
      detail: { file: "npu-bench.json" },
    }),
  ],
  performance: PERFORMANCE,
});

/** With performance of the candidate alone. */
const FAIL_WITH_PERFORMANCE: ComparisonResult = {
  ...FAIL_BY_QUALITY,
  performance: PERFORMANCE_OF_ONE,
};

export const RESULTS = {
  pass: comparison(),
  "fail by layer": FAIL_BY_LAYER,
  "fail by quality": FAIL_BY_QUALITY,
  "fail by structure": FAIL_BY_STRUCTURE,
  inconclusive: INCONCLUSIVE,
  "not finite": NON_FINITE,
  "no floor": NO_FLOOR,
  "pass by prior": PASS_BY_PRIOR,
  "pass without logits": PASS_WITHOUT_LOGITS,
  "pass with reduced logits": PASS_WITH_REDUCED_LOGITS,
  statistics: STATISTICS,
  "fail by statistics": FAIL_BY_STATISTICS,
  large: LARGE,
  hostile: HOSTILE,
  "with decode": WITH_DECODE,
  "through the cache": THROUGH_CACHE,
  "pass with decode": PASS_WITH_DECODE,
  isolated: ISOLATED,
  "fail with own errors": FAIL_WITH_OWN,
  "pass with own errors": PASS_WITH_OWN,
  "fail by keywords": FAIL_BY_KEYWORDS,
  "pass with texts": PASS_WITH_TEXTS,
  "fail with lens": { ...FAIL_BY_LAYER, lens: LENS },
  "pass without a lens": comparison({ lens: NO_LENS }),
  "pass with performance": PASS_WITH_PERFORMANCE,
  "fail with performance": FAIL_WITH_PERFORMANCE,
} as const satisfies Record<string, ComparisonResult>;
