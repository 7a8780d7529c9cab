/** The rules about one tensor's error, its own and that of a plain pair, in English. */

import type { LAYER_RULE_FACTS } from "../layer-rule-facts.ts";
import type { RuleText } from "./rule-text.ts";

export const LAYER_RULE_TEXTS_EN: Readonly<Record<keyof typeof LAYER_RULE_FACTS, RuleText>> = {
  "own/finite": {
    message:
      "{value} {value?position differs|positions differ} in kind from what the module should have answered: NaN, infinite or a row of zeros on one side only",
    why: "The forced reference answers to the candidate's own input, so a NaN that the module was given is matched. What is left began in this module.",
    causes: [
      "an overflow inside the module",
      "a mask of −Inf that met a row without any allowed position",
      "memory read before it was written",
    ],
    tune: "No limit loosens this rule.",
  },
  "own/embed": {
    message: "token {token}: {value} u from the table's row, limit {limit} u",
    why: "An embedding is a look-up: one rounding, three at most where a factor follows and the floor shows them. More means another table, another row, or a factor that one side lacks.",
    causes: [
      "another embedding weight, or one that is quantised",
      "an embedding multiplier that one side lacks",
      "token ids shifted by an added vocabulary",
    ],
    tune: "No limit loosens this rule.",
  },
  "own/energy": {
    message: "own error {value} times the floor's, limit {limit}",
    why: "The module was given the candidate's own input and computed in the reference's precision. What the two answers differ by beyond the floor's own error was made here: nothing is inherited.",
    causes: [
      "another formula: eps, RoPE base, attention scale, activation, mask",
      "wrong, stale or quantised weights",
      "accumulation in a narrower format than the floor's",
    ],
    tune: "npu-dump probe tests named hypotheses about this module.",
  },
  "own/sample": {
    message:
      "sample {sample}: own error {value} times the floor's with its length allowed for, limit {limit}",
    why: "One wrong sample among many is averaged away; therefore the largest sample counts too, with a limit that allows for its number of rows.",
    causes: [
      "a fault of batching: padding, positions, or sequence lengths mixed up",
      "a length at which another kernel is chosen",
    ],
    tune: "Compare that sample alone to see what it has in common with no other.",
  },
  "own/token": {
    message: "own error of one token {value} times the floor's worst 1 %, limit {limit}",
    why: "A single wrong row (a duplicated token, a stale cache slot) moves no mean.",
    causes: [
      "a stale or duplicated slot of the key-value cache",
      "an unwritten tile",
      "a padding row taken for a token",
    ],
    tune: "See own.maxAt in the JSON result for the token.",
  },
  "own/element": {
    message: "one element is off by {value} times the floor's median row error, limit {limit}",
    why: "A few wrong elements hide in the norm of their row; the largest one, seen beside the floor's, does not.",
    causes: [
      "memory that another kernel wrote to",
      "an element clamped to a largest value",
      "a lane of a vector instruction that was not written",
    ],
    tune: "npu-diff explain cause/sparse says what such elements usually are.",
  },
  "own/slope": {
    message: "a constant gain of {value} times the floor's error, limit {limit}",
    why: "Rounding has no preferred direction: an error that is proportional to the output itself is a factor.",
    causes: [
      "another scale or residual multiplier",
      "a quantisation scale that is off",
      "a norm with another eps or weight",
    ],
    tune: "npu-dump probe estimates the factor.",
  },
  "own/channel": {
    message: "one channel holds {value} times the floor's share of the error, limit {limit}",
    why: "Rounding errors spread over channels as the floor's do. An error that sits in a few channels comes from their weights.",
    causes: [
      "a weight column that is wrong, permuted or not loaded",
      "a quantisation group with a wrong scale",
      "a tile of the output that another kernel computes",
    ],
    tune: "npu-diff explain cause/channel says where to look.",
  },
  "own/offset": {
    message:
      "one channel is off by a constant, {value} times the floor's error of it, limit {limit}",
    why: "Rounding averages out over tokens. A constant that stays is a bias.",
    causes: [
      "a bias that is missing or added twice",
      "a zero point of a quantised weight that was dropped",
    ],
    tune: "npu-diff explain cause/bias says where to look.",
  },
  "own/gain": {
    message: "one channel has another gain, {value} times the floor's error of it, limit {limit}",
    why: "An error that follows a channel's own values from token to token is a wrong factor of that channel.",
    causes: [
      "a norm weight that is stale, or read with another offset",
      "a per-channel quantisation scale that is off",
    ],
    tune: "npu-diff explain cause/channel-gain says where to look.",
  },
  "own/fixed": {
    message: "own error {value} u, limit {limit} u",
    why: "Without a floor's own error, the module's is held to what legal kernels of SmolLM2-135M and seven tiny models reach in 16-bit formats, in units of the format's rounding error.",
    causes: [
      "a real fault, as under own/energy",
      "a module that is noisier than those that the limits were measured on",
    ],
    tune: "Make a reference set with npu-dump reference, so that floors decide.",
  },
  "layer/floor-ratio": {
    message: "{value} times the noise floor, limit {limit}",
    why: "The noise floor is the error that the number format alone costs the reference engine on the same tokens. Correct engines usually stay between 0.95 and 1.2 times the floor, whatever the absolute size of the error, and below 1.7 with partial sums rounded to bf16.",
    causes: [
      "another formula: eps, RoPE base, attention scale, activation, mask",
      "wrong, stale or quantised weights",
      "accumulation in a narrower format than the floor's",
    ],
    tune: "--max-floor-ratio moves the limit. A second --floor, made with another attention implementation, widens the floor where legal kernels differ.",
  },
  "layer/floor-ratio-p99": {
    message: "the worst 1 % of the tokens stand at {value} times the floor's, limit {limit}",
    why: "An error in few tokens vanishes in a mean over all of them; the 99th percentile against the floor's keeps it visible.",
    causes: [
      "a mask, window or cache fault that touches some positions only",
      "a tile or block at the end of the sequence that is handled differently",
    ],
    tune: "See tokenRelL2.maxAt in the JSON result for the worst token.",
  },
  "layer/floor-token": {
    message: "one token stands at {value} times the floor, limit {limit}",
    why: "A single wrong row (a duplicated token, a stale cache slot) moves neither the mean nor the 99th percentile.",
    causes: [
      "a stale or duplicated slot of the key-value cache",
      "an unwritten tile",
      "a padding row taken for a token",
    ],
    tune: "See floor.floorTokenRatioAt in the JSON result for sample and token.",
  },
  "layer/floor-sample": {
    message:
      "sample {sample} stands at {value} times the floor with its length allowed for, limit {limit}",
    why: "One wrong sample among many is averaged away; therefore the largest sample counts too, with a limit that allows for its number of rows.",
    causes: [
      "a fault of batching: padding, positions, or sequence lengths mixed up",
      "a length at which another kernel is chosen",
    ],
    tune: "Compare that sample alone to see where it begins.",
  },
  "layer/prior": {
    message: "error {value}, prior limit {limit}",
    why: "Without a noise floor the error is held against a prior: the growth with depth that benign runs of one small model showed in the same format. It is coarser than a floor, and it was not measured on your model.",
    causes: [
      "a real fault, as under layer/floor-ratio",
      "an architecture whose benign error grows faster than the prior's",
    ],
    tune: "Give a noise floor: a run of the reference engine in the candidate's precision, with --floor.",
  },
  "layer/prior-token": {
    message: "one token has an error of {value}, prior limit {limit}",
    why: "A single wrong row does not move the mean. Without a floor its limit is a prior.",
    causes: [
      "a stale or duplicated slot of the key-value cache",
      "a massive activation that the prior does not know",
    ],
    tune: "Give a noise floor with --floor; see tokenRelL2.maxAt for the token.",
  },
  "layer/prior-sample": {
    message: "sample {sample} has an error of {value}, prior limit {limit}",
    why: "One wrong sample among many is averaged away; therefore the largest sample counts too. Without a floor its limit is a prior.",
    causes: [
      "a fault of batching: padding, positions, or sequence lengths mixed up",
      "a length at which another kernel is chosen",
    ],
    tune: "Give a noise floor with --floor; compare that sample alone.",
  },
  "layer/infinite": {
    message: "{value} {value?row is|rows are} zero in the reference and not in the candidate",
    why: "Against a row of zeros every error is infinitely large in relative terms; no limit can hold it.",
    causes: [
      "the reference masks a position that the candidate computes",
      "memory read before it was written",
    ],
    tune: "No limit loosens this rule. Check masks and padding of the row named.",
  },
  "layer/propagated": {
    message:
      "beyond {rule}, with {value} {value?tensor|tensors} in all, though every module is right on its own input",
    why: "A near tie between experts or a chaotic token turns legal rounding into an error of any size. Every module was given its own input and answered within the floors' own errors, so nothing is at fault: what the model says decides whether it matters.",
    causes: [
      "a router whose choice flips at a near tie",
      "a token with massive activations, or one that attends to nothing in particular",
    ],
    tune: "Nothing to loosen: it is a warning. The quality figures show whether the model says something else.",
  },
  "layer/routed": {
    message:
      "{value} times the limit of {rule} in single tokens, which a choice of experts may explain",
    why: "A router sends a token at a near tie to other experts after any legal rounding, and the token's error may then be as large as itself. In what experts answered, and in all that is computed from it, no limit parts a single such token from a fault in a plain pair: correct engines reach 45 times the limit. It is no pass.",
    causes: [
      "a legal choice of another expert at a near tie",
      "a fault in single tokens: a stale row, a lost token, a wrong position",
    ],
    tune: "Give forced references (npu-dump reference), which hold each module to its own input; or more floors. No flag loosens it.",
  },
  "layer/undecided": {
    message: "could not be judged: {reason}",
    why: "A tensor that no rule could decide is not a pass. Statistics bound an error from below: they prove that a tensor is wrong, never that it is right. The finding's detail «open» names the rules that they leave open.",
    causes: [
      "no row holds a pair of finite values",
      "the tensor was stored in a reduced form, and what is known of it breaks no rule",
      "the logits were stored in a reduced form that no rule reads: of decode steps, of an isolated replay, of fewer than 6 prompts, under --preset exact",
    ],
    tune: "Store the tensor densely on both sides: --mode full, or --mode 'layers.7.*=full' for some.",
  },
};
