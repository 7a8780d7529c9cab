/**
 * The options of the command line: one table for parsing, the environment and
 * the help.
 */

import type { LimitName } from "../core/options.ts";

export type OptionKind =
  /** No value. */
  | "flag"
  /** One value, given at most once. */
  | "value"
  /** Of a check one of a few values, where the bare option stands for the first; elsewhere one value. */
  | "update"
  /** One value, repeatable. */
  | "list";

export interface OptionSpec {
  readonly kind: OptionKind;
  /** Heading under which the help lists it. */
  readonly group: "Input" | "Limits" | "Selection" | "Output";
  readonly describe: string;
  readonly alias?: string;
}

export const OPTIONS = {
  config: {
    kind: "value",
    group: "Input",
    describe: "Config (default: npu-diff.json, .jsonc or .yaml, here or above, to the git root)",
  },
  floor: {
    kind: "list",
    group: "Input",
    describe: "Noise floor: the reference engine in the candidate's precision (repeatable)",
  },
  forced: {
    kind: "list",
    group: "Input",
    describe: "Forced reference: a replay of the candidate or of a floor (repeatable)",
  },
  "lm-head": {
    kind: "value",
    group: "Input",
    describe:
      "Safetensors weights: logits from norm, of both sides alike, where one stores none; logit lens",
  },
  "lens-tokens": {
    kind: "value",
    group: "Selection",
    describe: "Positions of the logit lens in each layer: a number (default 128), all, or 0",
  },
  "reference-performance": {
    kind: "value",
    group: "Input",
    describe: "Speed of the reference: npu-dump bench, or vllm bench serve --save-result",
  },
  "candidate-performance": {
    kind: "value",
    group: "Input",
    describe: "Speed of the candidate, likewise; none of it decides anything",
  },
  baseline: {
    kind: "value",
    group: "Input",
    describe: "Accuracy of the reference where only that number is known, such as 22%",
  },
  "reference-run": {
    kind: "list",
    group: "Input",
    describe: "One more run of the reference on the same items (repeatable)",
  },
  "candidate-run": {
    kind: "list",
    group: "Input",
    describe: "One more run of the candidate on the same items (repeatable)",
  },

  map: {
    kind: "value",
    group: "Input",
    describe: "Names where the files' own differ: rename, join or part tensors (JSON or YAML)",
  },

  preset: {
    kind: "value",
    group: "Limits",
    describe:
      "auto (the coarser dtype of the two sides), f64, f32, f16, bf16, fp8; exact: bit equality",
  },
  "max-rel-l2": {
    kind: "value",
    group: "Limits",
    describe: "Largest relative L2 error of any tensor",
  },
  "min-cosine": {
    kind: "value",
    group: "Limits",
    describe: "Smallest cosine of any tensor",
  },
  "max-abs": {
    kind: "value",
    group: "Limits",
    describe: "Largest absolute error of any element",
  },
  "max-mse": {
    kind: "value",
    group: "Limits",
    describe: "Largest mean squared error of any tensor",
  },
  "max-floor-ratio": {
    kind: "value",
    group: "Limits",
    describe: "Largest ratio of any tensor's error to the noise floor",
  },
  "max-ppl-increase": {
    kind: "value",
    group: "Limits",
    describe: "Largest relative increase of the perplexity, such as 0.5%",
  },
  "max-kl": {
    kind: "value",
    group: "Limits",
    describe: "Largest mean KL divergence in nats",
  },
  "min-top1": {
    kind: "value",
    group: "Limits",
    describe: "Smallest share of positions with the same first token",
  },
  "min-first-token": {
    kind: "value",
    group: "Limits",
    describe: "Smallest share of prompts whose next token agrees",
  },
  "min-determinism": {
    kind: "value",
    group: "Limits",
    describe: "Smallest share of prompts that repeat alike (default 99%)",
  },
  "max-drop": {
    kind: "value",
    group: "Limits",
    describe: "Largest drop of the accuracy, such as 1% for one point (the default)",
  },
  decide: {
    kind: "value",
    group: "Limits",
    describe: "interval (the 95 % bound must hold) or point (the point value)",
  },

  only: {
    kind: "list",
    group: "Selection",
    describe: "Judge only tensors that match this glob (repeatable)",
  },
  skip: {
    kind: "list",
    group: "Selection",
    describe: "Do not judge tensors that match this glob (repeatable)",
  },
  update: {
    kind: "update",
    alias: "u",
    group: "Selection",
    describe:
      "Accept the new figures into the baseline: all (where nothing is given), or new, which only adds what it lacks",
  },
  force: { kind: "flag", group: "Output", describe: "Overwrite the config that is there" },
  show: {
    kind: "flag",
    group: "Output",
    describe: "Print every value that holds, and where it is from",
  },
  tensor: {
    kind: "value",
    group: "Selection",
    describe: "One tensor in depth, of two dumps: ULP histogram, worst elements, tokens, channels",
  },
  "fail-fast": {
    kind: "flag",
    group: "Selection",
    describe: "Stop measuring at the first tensor that fails",
  },
  metric: {
    kind: "value",
    group: "Selection",
    describe: "Metric that counts (default: the first that a task lists)",
  },
  filter: {
    kind: "value",
    group: "Selection",
    describe: "Filter of the answers that counts (default: the first in the file)",
  },
  "pass-at": {
    kind: "value",
    group: "Selection",
    describe: "An item counts by pass@K over its runs (default: 1, the mean over runs)",
  },

  jobs: {
    kind: "value",
    group: "Selection",
    describe: "Threads that measure (default: one for each processor, at most 8)",
  },

  format: {
    kind: "value",
    group: "Output",
    describe: "Report on standard output: text, json, md, html, junit, sarif, github, csv",
  },
  json: { kind: "flag", group: "Output", describe: "The same as --format json" },
  output: {
    kind: "list",
    alias: "o",
    group: "Output",
    describe:
      "Also write a report here: PATH.html, .json, .md, .txt, .xml (JUnit), .sarif, .csv, or FORMAT=PATH (repeatable)",
  },
  open: {
    kind: "flag",
    group: "Output",
    describe: "Show the html report of -o when it is written",
  },
  "exit-zero": {
    kind: "flag",
    group: "Output",
    describe: "Exit with 0 instead of 1 and 3, never instead of 2",
  },
  details: {
    kind: "flag",
    group: "Output",
    describe: "Put what the html report draws of single tokens into json, too",
  },
  layers: {
    kind: "value",
    group: "Output",
    describe: "Layers of the model, for the noise floor of a number format (default 32)",
  },
  lang: {
    kind: "value",
    group: "Output",
    describe: "Language of the text, md and html reports: en, zh",
  },
  color: { kind: "value", group: "Output", describe: "auto, always, never" },
  ascii: { kind: "flag", group: "Output", describe: "Plain ASCII glyphs in the text report" },
  "no-progress": {
    kind: "flag",
    group: "Output",
    describe: "No progress line on standard error",
  },
  "no-github": {
    kind: "flag",
    group: "Output",
    describe: "In GitHub Actions no annotations on standard error and no job summary",
  },
  debug: { kind: "flag", group: "Output", describe: "A stack trace with every error" },
} as const satisfies Record<string, OptionSpec>;

export type OptionName = keyof typeof OPTIONS;

/** A limit and its option. */
export interface LimitSpec {
  readonly option: OptionName;
  readonly limit: LimitName;
}

/** The limits that a user may set, by option. */
export const LIMITS: readonly LimitSpec[] = [
  { option: "max-rel-l2", limit: "maxRelL2" },
  { option: "min-cosine", limit: "minCosine" },
  { option: "max-abs", limit: "maxAbs" },
  { option: "max-mse", limit: "maxMse" },
  { option: "max-floor-ratio", limit: "maxFloorRatio" },
  { option: "max-ppl-increase", limit: "maxPplIncrease" },
  { option: "max-kl", limit: "maxKl" },
  { option: "min-top1", limit: "minTop1" },
  { option: "min-first-token", limit: "minFirstToken" },
  { option: "min-determinism", limit: "minDeterminism" },
];

/** The options that say what a comparison is held to. */
export const JUDGING_OPTIONS = [
  "preset",
  "max-rel-l2",
  "min-cosine",
  "max-abs",
  "max-mse",
  "max-floor-ratio",
  "max-ppl-increase",
  "max-kl",
  "min-top1",
  "min-first-token",
  "min-determinism",
  "decide",
] as const satisfies readonly OptionName[];

/** The options that stand before what a config says. */
export const CONFIG_OPTIONS = ["config", "map", ...JUDGING_OPTIONS] as const;

/** The variable that stands for an option: `max-kl` is `NPU_DIFF_MAX_KL`. */
export function environmentName(option: OptionName): string {
  return `NPU_DIFF_${option.toUpperCase().replaceAll("-", "_")}`;
}
