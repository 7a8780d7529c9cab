/** The rule table in English. */

import type { RuleId } from "../rules.ts";
import { GATE_RULE_TEXTS_EN } from "./en-gate.ts";
import { HEAD_RULE_TEXTS_EN } from "./en-head.ts";
import { LAYER_RULE_TEXTS_EN } from "./en-layers.ts";
import type { RuleText } from "./rule-text.ts";

export const RULE_TEXTS_EN: Readonly<Record<RuleId, RuleText>> = {
  "structure/missing": {
    message: "missing in the {side}, in {value} {value?place|places}",
    why: "A tensor that its writer meant to store and did not is a module that did not run, or a capture that broke. Neither can be called a pass.",
    causes: [
      "the engine fused or skipped the module, so that its hook never fired",
      "the run ended early for this sample",
      "the two engines name the module differently",
      "this side stores it as integers, which are not compared with floating-point numbers",
    ],
    tune: "Capture both sides with the same selection, or leave the tensor out with --skip.",
  },
  "structure/shape": {
    message: "shape {reference} in the reference, {candidate} in the candidate",
    why: "Nothing is broadcast or transposed by guesswork: two tensors of different shapes have no error to measure.",
    causes: [
      "padding was not stripped on one side",
      "one side stores a shard of a tensor-parallel run",
      "one side stores heads as an axis of their own",
    ],
    tune: "Store the same tensor on both sides: no padding, all ranks, one layout.",
  },
  "structure/not-captured": {
    message: "not captured in the {side}, in {value} {value?place|places}",
    why: "The writer did not mean to store these tensors, so their absence proves nothing; the report says how much was compared.",
    causes: ["the two sides were captured with different selections"],
    tune: "Capture both sides with the same selection to compare more.",
  },

  "finite/mismatched": {
    message:
      "{value} {value?position differs|positions differ} in kind: NaN or infinite on one side only",
    why: "A value that is a number on one side and NaN or infinite on the other is an error of any size. One is enough.",
    causes: [
      "an overflow of float16 (largest finite value 65504)",
      "a mask of −Inf that met a row without any allowed position",
      "memory read before it was written",
    ],
    tune: "No limit loosens this rule. Look at the first position in the JSON result: nonFinite.firstAt.",
  },
  "finite/saturation": {
    message:
      "{value} {value?element sits|elements sit} at {maxFinite}, the largest finite value of the dtype",
    why: "Some devices clamp to the largest finite value instead of overflowing to infinity. The clamped value looks finite and is wrong.",
    causes: [
      "massive activations beyond the range of float16",
      "saturating arithmetic switched on in the device's run time",
    ],
    tune: "Run the module in bfloat16 or float32, or switch saturation off.",
  },

  ...LAYER_RULE_TEXTS_EN,

  "exact/bits": {
    message: "{value} {value?element differs in its|elements differ in their} bits",
    why: "--preset exact demands bit equality, as between two runs of one deterministic engine.",
    causes: [
      "another order of summation: threads, batch size, atomics",
      "another kernel chosen for the same shape",
    ],
    tune: "Use --preset auto to judge precision instead of equality.",
  },
  "exact/dtype": {
    message: "{reference} in the reference, {candidate} in the candidate",
    why: "--preset exact demands bit equality, and two dtypes have no bits in common.",
    causes: ["the two sides ran, or were stored, in different precisions"],
    tune: "Use --preset auto to compare precisions.",
  },

  "limit/rel-l2": {
    message: "relative L2 error {value}, limit {limit}",
    why: "A limit that you set, held by every compared tensor.",
    causes: ["see layer/floor-ratio for faults; one massive activation can own this figure"],
    tune: "--max-rel-l2",
  },
  "limit/cosine": {
    message: "cosine {value}, limit {limit}",
    why: "A limit that you set, held by every compared tensor.",
    causes: ["see layer/floor-ratio for faults"],
    tune: "--min-cosine",
  },
  "limit/max-abs": {
    message: "largest absolute error {value}, limit {limit}",
    why: "A limit that you set, held by every compared tensor.",
    causes: ["a massive activation: correct engines differ by hundreds there in bfloat16"],
    tune: "--max-abs",
  },
  "limit/mse": {
    message: "mean squared error {value}, limit {limit}",
    why: "A limit that you set, held by every compared tensor.",
    causes: ["a massive activation: a few elements can own this figure"],
    tune: "--max-mse",
  },
  "limit/ppl-increase": {
    message: "perplexity {value}, limit {limit}",
    why: "A limit that you set on what the model card will say: how much more surprised the candidate is by the same text.",
    causes: ["the fault that the layer rules name", "quantisation", "too few tokens to tell"],
    tune: "--max-ppl-increase moves the limit; more tokens narrow the interval; --decide point judges the point value.",
  },
  "limit/kl": {
    message: "mean KL divergence {value} nats, limit {limit}",
    why: "A limit that you set on how far the candidate's next-token distribution is from the reference's.",
    causes: ["one chaotic token can own the mean: compare median and gm in the JSON result"],
    tune: "--max-kl moves the limit; --decide point judges the point value. Of logits in a reduced form only a lower bound is known: it can break the limit, never keep it.",
  },
  "limit/top1": {
    message: "top-1 agreement {value}, limit {limit}",
    why: "A limit that you set on the share of positions where both sides put the same token first.",
    causes: ["near ties of the logits, which any change of kernel flips", "a real fault"],
    tune: "--min-top1 moves the limit; --decide point judges the point value.",
  },
  "limit/first-token": {
    message: "first-token agreement {value}, limit {limit}",
    why: "A limit that you set on the share of prompts whose greedy next token agrees.",
    causes: ["near ties of the logits", "a real fault in decode or sampling"],
    tune: "--min-first-token moves the limit; --decide point judges the point value.",
  },

  "quality/undefined": {
    message: "{metric} is not a finite number",
    why: "A figure that is NaN or infinite is never a pass.",
    causes: [
      "NaN or infinite logits",
      "a true token that the candidate gives no probability at all",
    ],
    tune: "No limit loosens this rule. Look at nonFinite of the logits in the JSON result.",
  },
  "quality/nll": {
    message:
      "the loss rises by {deltaNll} nats a token, {value} standard errors above zero, at most {limit} allowed",
    why: "A rise of the loss that is both beyond chance and large enough to matter.",
    causes: ["the fault that the layer rules name", "quantisation"],
    tune: "The limit is the method's. More text narrows the standard error.",
  },
  "quality/kl-ratio": {
    message: "KL divergence {value} times the floor's, limit {limit}",
    why: "The candidate's distributions are further from the reference's than the number format explains.",
    causes: ["the fault that the layer rules name", "quantisation"],
    tune: "A second --floor widens what counts as explained.",
  },
  "quality/flips": {
    message: "{value} {value?flip|flips} of the first-placed token, limit {limit}",
    why: "The margins of the reference's logits and the floor's error say how many flips chance alone makes; this many it does not.",
    causes: ["the fault that the layer rules name", "quantisation"],
    tune: "The limit is the method's: the expected number and three times its root, two at least. Behind a router it decides nothing: see layer/routed.",
  },
  "quality/real-flips": {
    message: "{value} {value?flip|flips} at margins that noise does not reach, limit {limit}",
    why: "A flip of a token that led by more than four times the noise of its logits is no near tie.",
    causes: ["the fault that the layer rules name", "a wrong row: cache, position, mask"],
    tune: "The limit is the method's. See flips in the JSON result.",
  },
  "quality/keywords": {
    message:
      "{value} of {keywords} {keywords?keyword|keywords} {value?is|are} in the reference's continuation and not in the candidate's, first in prompt {sample}",
    why: "Whoever captured the runs named keywords that a continuation must contain (expect). The reference shows that the model can; a keyword is looked for as it is written, case and all, in Unicode's composed form (NFC).",
    causes: [
      "the continuations parted at a near tie and went on differently: the margin where they part says so",
      "a real fault that shows in what the model says",
      "the candidate's continuation is shorter",
    ],
    tune: "Look at both texts. Where a legal near tie decides, expect a keyword that does not hang on it, or fewer tokens.",
  },
  "quality/determinism": {
    message: "{side}: {value} of the prompts continue alike in every repetition, limit {limit}",
    why: "A run that differs from itself, fed with the same prompts in the same batches and taking the likeliest token, cannot be compared with anything: what it does next is another run. Only repetitions fed alike count where the dump says how they were fed; without that, all do. The reference is not under test: there it is a warning.",
    causes: [
      "sums in an order that changes from run to run: atomic additions, communication between devices",
      "dropout, or other random numbers, in a model that is not in evaluation mode",
      "memory that is read before it is written, or a race between streams",
    ],
    tune: "Turn deterministic kernels on (torch.use_deterministic_algorithms, HCCL_DETERMINISTIC) and capture again. --min-determinism moves the limit.",
  },
  "quality/batch-variance": {
    message:
      "{side}: {value} of {samples} {samples?prompt|prompts} {value?continues|continue} differently in other batches",
    why: "Another batch, or another order in it, runs other kernels, which sum in another order. Correct engines differ by that wherever two tokens are nearly tied; it is no failure, and no run-to-run variance.",
    causes: [
      "kernels that are chosen by the size of the batch",
      "padding that reaches the result: a wrong mask, or wrong positions",
    ],
    tune: "Look at the margin of the first difference: beyond a near tie, look at padding and masks.",
  },
  "quality/undecided": {
    message: "the continuations leave it open: {reason}",
    why: "Continuations that agree prove no tensor, and continuations that differ may part at a near tie: without a figure that a rule reads, nothing has passed.",
    causes: [
      "a server that tells texts alone",
      "one side was captured without --generate, or without a tokenizer",
      "the tokens were drawn, not taken greedily",
      "a run that was to be repeated was cut short",
    ],
    tune: "Name keywords (expect), set --min-first-token where both sides store generated_ids, or capture logits on both sides.",
  },

  "input/config": {
    message: "{key} differs: {reference} in the reference, {candidate} in the candidate",
    why: "Two models that differ in a constant compute different things, however exact both are.",
    causes: [
      "a converter that dropped or renamed a key of config.json",
      "a default of the engine in the place of a key that it does not read",
      "a patched config.json",
    ],
    tune: "Run both sides with the same configuration, or fix what reads it; then compare again.",
  },
  "input/floor-config": {
    message: "{key} differs: {reference} in the reference, {floor} in the floor {file}",
    why: "A floor shows what the number format costs. One of another model shows more than that.",
    causes: ["a floor of an earlier checkpoint", "a patched config.json"],
    tune: "Make the floor from the files of the reference.",
  },
  "input/same-id": {
    message: "reference and candidate carry the same run id {id}",
    why: "Two dumps of one id are copies of one run: comparing them shows nothing about the candidate.",
    causes: ["one file was given twice, or copied"],
    tune: "Check the two paths.",
  },
  "input/isolated": {
    message: "{file} was fed with the reference's residual stream: every tensor stands for itself",
    why: "In an isolated replay nothing is inherited: each module that fails is at fault itself. What the whole model says is not measured, because its logits follow from the reference's stream.",
    causes: ["the candidate was made by npu-dump replay on the reference's dump"],
    tune: "Compare the candidate's own run as well for the quality of the whole model.",
  },
  "input/dtype": {
    message: "the reference ran in {reference}, the candidate in {candidate}",
    why: "Another dtype is no fault: the limits take it into account.",
    causes: ["the two sides ran in different precisions"],
    tune: "Nothing needs to be done.",
  },
  "input/coarse-reference": {
    message:
      "the reference ran in {reference}, coarser than {candidate} of the candidate: the limits are those of {reference}",
    why: "What separates the two sides is then the reference's own rounding. Limits of the candidate's format would blame the candidate for it; those of the reference's format leave open whether the candidate is any better.",
    causes: [
      "the two dumps were given in the wrong order",
      "the reference was stored in fewer bits than it was computed in",
    ],
    tune: "Give the more precise side first, or name the format that is meant with --preset.",
  },
  "input/model": {
    message: "{key} differs: {reference} in the reference, {candidate} in the candidate",
    why: "Different configurations or weights explain almost any error.",
    causes: ["another checkpoint", "a converted or quantised copy", "a patched config.json"],
    tune: "Run both sides from the same files.",
  },
  "input/floor-dropped": {
    message: "{file} is the candidate itself and was dropped as a noise floor",
    why: "A candidate measured against itself always stands at once the floor.",
    causes: ["the candidate was given as --floor"],
    tune: "Give a run of the reference engine in the candidate's precision.",
  },
  "input/floor-scaled": {
    message: "{file} ({floor}) was scaled by {value} to the candidate's {candidate}",
    why: "A floor of another precision holds only roughly after scaling by the ratio of the rounding units.",
    causes: ["the floor was run in another precision than the candidate"],
    tune: "Run the floor in the candidate's precision.",
  },
  "input/floor-fallback": {
    message: "{value} {value?tensor was|tensors were} not judged by every floor: {reason}",
    why: "Where a floor lacks rows of a tensor, or is itself far beyond the prior, the other floors decide, or the prior.",
    causes: ["the floor did not capture the tensor", "the floor run is broken there"],
    tune: "Capture the floor with the candidate's selection.",
  },
  "input/set-stranger": {
    message:
      "{file} lies in the reference set's folder without belonging to the set; it is not used",
    why: "A floor excuses errors. A dump that merely lies in the folder, such as another candidate, must not become one.",
    causes: ["a candidate was stored in the folder of the set"],
    tune: "Move it elsewhere; if it is a floor, give it with --floor.",
  },
  "input/forced-absent": {
    message: "{file} has no forced reference among those given; this makes it: {command}",
    why: "Own errors need the candidate's forced reference, and their ratio to the noise floor needs the floor's too.",
    causes: [
      "the reference set was made for another candidate",
      "the candidate's residual stream cannot be replayed: it was captured in part, or as statistics",
      "only some of the dumps were replayed on the reference engine",
    ],
    tune: "npu-dump reference adds it to the set; npu-dump replay makes one to give with --forced.",
  },
  "input/forced-dtype": {
    message: "{file} ran in {forced}, coarser than the reference's {reference}",
    why: "What a forced reference rounds away counts as the candidate's own error.",
    causes: ["the replay was run in the candidate's precision"],
    tune: "Run the replay in the reference's precision.",
  },
  "input/own-unknown": {
    message: "its own error is not known in full: {reason}",
    why: "An own error that could not be measured proves nothing, neither for the module nor against it. It is shown, and decides nothing.",
    causes: [
      "the replay was captured with another selection",
      "the candidate's stream holds NaN or infinite values",
    ],
    tune: "Capture the replay with the candidate's selection.",
  },
  "input/repaired": {
    message:
      "{side} {file} was put together by repair: tensors without all their chunks are missing",
    why: "A repaired dump holds what was complete when its writer was stopped, and no more.",
    causes: ["the capture was killed, or ran out of disk space"],
    tune: "Capture again for a complete comparison.",
  },
  "input/not-read": {
    message: "{side} {file}: {value} {value?entry was|entries were} not read: {names}",
    why: "What is no tensor that a dump can hold is not compared, and no verdict covers it.",
    causes: ["texts, Python objects, complex numbers or other files beside the tensors"],
    tune: "Store what is to be compared as float64, float32, float16, bfloat16, an integer or bool. npu-diff inspect lists what was left out, and why.",
  },
  "input/assumed": {
    message:
      "{side} {file} does not tell {value} {value?thing|things}, which {value?was|were} assumed: {names}",
    why: "Some formats do not say all that a comparison needs: NumPy stores float8_e4m3fn and other formats of eight bits alike, and bfloat16 as float32, msprobe's dump may lack a tensor's file, a base file of llama.cpp the token in place of which the model was fed its own beginning. What is assumed instead may be wrong.",
    causes: [
      "arrays of ml_dtypes in .npy or .npz",
      "an msprobe dump whose tensor files are gone: their statistics stand for them",
      "a base file of llama.cpp, or a debug tree of transformers",
    ],
    tune: "Store them as float16 or bfloat16, or in a format that names the dtype, such as safetensors.",
  },
  "input/integers": {
    message:
      "{value} {value?tensor|tensors} of integers on both sides {value?was|were} not compared: {names}",
    why: "Errors are measured of floating-point numbers. Integers beside them (positions, masks, the numbers of experts) have no rule, whether they are equal or not: token ids alone are held to each other.",
    causes: ["a file that holds the inputs of modules as well"],
    tune: "Compare them by themselves where they matter.",
  },
  "input/text-differs": {
    message:
      "{name} differs between the sides in {value} {value?sample|samples}; the token ids agree",
    why: "Only the token ids are compared; other text around them is for your information.",
    causes: ["another tokenizer version or chat template"],
    tune: "Nothing needs to be done.",
  },
  "input/renamed": {
    message: "{from} of the {side} is compared as {to}, {value} in all: {reason}",
    why: "Files of other tools, and other engines, have names of their own for the same tensors. Under which names they were compared belongs to what a verdict means.",
    causes: ["a file of another tool, or an engine that fuses projections"],
    tune: "--map FILE says what the names are, and stands before every proposal.",
  },
  "input/other-module": {
    message:
      "{module} of the {side} is not what the other side holds as {name}: not compared with it, {value} in all",
    why: "What a block adds to the residual stream is the block's own output in most models, and in some (Gemma, OLMo 2, GLM 4) that of a norm behind it. A file that holds the norm shows which; one that holds the block alone does not. The stream that enters the first layer is not what the embedding hands out where a factor, positions or a norm come between (MiniCPM, Granite, GPT-2, BLOOM). The two are other tensors, and are not compared as one.",
    causes: [
      "the hooks of one side were on the norms behind the blocks, those of the other on the blocks alone",
      "the model scales its embedding or adds positions to it, and one side's hook was on the embedding alone",
      "a file holds two tensors of which each could have the name",
    ],
    tune: "Capture the same modules on both sides, or say with --map FILE what the names stand for.",
  },
  "input/ambiguous-name": {
    message: "{candidate} of the candidate may be {reference} of the reference: not compared",
    why: "A tensor that is compared with the wrong one proves nothing, so that names which could be several are left alone.",
    causes: ["a file that holds several outputs of one module"],
    tune: "--map FILE says which is which.",
  },
  "input/similar-name": {
    message:
      "{from} of the candidate has no partner and looks like {to} (cosine {cosine}, {value} in all): if they are the same, put {line} under candidate of a --map",
    why: "What looks alike is never paired by itself: pairs that are chosen because they agree would hide an error.",
    causes: ["another tool's names for the same tensors"],
    tune: "Put the line into a file for --map where the two are the same tensor.",
  },
  "input/unverified": {
    message: "{reason}: nothing shows that the inputs agree",
    why: "A comparison of runs on different inputs means nothing.",
    causes: ["a file of another tool, or a writer of your own, that leaves out input_ids"],
    tune: "Store input_ids on both sides, or input.0 for a module without token ids.",
  },
  "input/prompts-only": {
    message: "a side stores no token ids: only the texts of the prompts show that the inputs agree",
    why: "Other ids for the same text, by another tokenizer or chat template, are another input. No tensor is compared on such a footing, continuations alone are.",
    causes: ["a chat endpoint, which tells no token ids"],
    tune: "Store input_ids on both sides: --tokens-from.",
  },
  "input/repeats": {
    message:
      "{side} {file} holds {value} {value?repetition|repetitions} of its run; the other side is compared with the first",
    why: "The repetitions are held to each other alone: quality.determinism says how far the run repeats itself.",
    causes: ["a dump of a determinism run: --repeats"],
    tune: "Nothing needs to be done.",
  },
  ...HEAD_RULE_TEXTS_EN,
  "input/performance-conditions": {
    message:
      "performance was not measured alike: {condition} is {reference} in the reference and {candidate} in the candidate",
    why: "Speed depends on the batch, on the numbers of tokens, and on who measures. A ratio between other conditions says something of them too.",
    causes: ["other options of npu-dump bench or vllm bench serve", "another engine"],
    tune: "Measure both sides with the same options. No verdict depends on it.",
  },
  "input/performance-failures": {
    message: "{file}: {value} {value?request|requests} failed while performance was measured",
    why: "What failed is in no latency and in no throughput, so that a server that refuses work may look fast.",
    causes: ["too many requests at a time for the memory", "a time limit of the server"],
    tune: "Look at the server's log, and measure with fewer requests at a time.",
  },

  ...GATE_RULE_TEXTS_EN,
  "task/drop": {
    message: "the accuracy fell by more than --max-drop allows",
    why: "A port may compute a little differently, and its users see what it answers. The whole 95 % interval of the paired difference lies beyond the limit, so that chance does not explain it.",
    causes: [
      "the candidate computes something wrong: compare dumps of both sides",
      "another chat template, number of examples or length of answers",
      "answers that are sampled on one side and greedy on the other",
    ],
    tune: "Look at the items that were lost. --max-drop sets the limit, --decide point holds the value alone to it.",
  },
  "task/undecided": {
    message: "the items do not decide whether the accuracy fell by more than --max-drop allows",
    why: "The limit lies inside the 95 % interval of the difference: a drop beyond it is as possible as none. That nothing was proved is no pass.",
    causes: ["few items", "many items that flip both ways, as with sampled answers"],
    tune: "Evaluate more items; the report says about how many. One of several tasks may stay undecided: they are judged together.",
  },
};
