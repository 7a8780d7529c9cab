/** The rules of computed logits in English. */

import type { HEAD_RULE_FACTS } from "../head-rule-facts.ts";
import type { RuleText } from "./rule-text.ts";

export const HEAD_RULE_TEXTS_EN: Readonly<Record<keyof typeof HEAD_RULE_FACTS, RuleText>> = {
  "input/lm-head": {
    message:
      "logits of both sides computed from norm through {weight} ({dtype}) of {file}: {value} {value?token|tokens}, {padding} {padding?row|rows} of padding left out",
    why: "A dump without logits is many times smaller, and the head is one known product. Both sides go through the same weights in float32, so that the rounding of each engine's own head, and of the logits that it stores, is not part of the figures: what differs came before the head. Rows of the weight behind model.vocab_size are padding and left out.",
    causes: ["both sides were captured without logits, and --lm-head is given"],
    tune: "Nothing needs to be done. Capture logits on both sides to compare the engines' own.",
  },
  "input/lm-head-side": {
    message:
      "logits of the {side} alone computed through {weight} of {file}: the other side's are its own",
    why: "Logits that a side stores are what its engine answered, and alone show whether its head is right: they are compared, not computed anew. They carry the rounding of that head, computed ones do not, and perplexity and KL include that difference.",
    causes: ["the two sides were captured with different selections"],
    tune: "Capture logits on both sides, or on neither.",
  },
  "input/lm-head-floor": {
    message: "{file} holds no norm: it is no floor for the computed logits",
    why: "Logits that the floor's own head made would bring its rounding into a limit that computed logits do not need.",
    causes: ["the floor was captured with another selection"],
    tune: "Capture norm with the floor too.",
  },
  "input/lm-head-weights": {
    message: "weights_sha256 of {file} is {found}, the dump says {expected}",
    why: "Logits through the head of another model mean nothing. Files that were converted, or parted in other shards, differ in their SHA-256 without differing in their weights.",
    causes: [
      "the weights of another revision of the model",
      "the same weights in other files, or the head alone",
    ],
    tune: "Give the very files that the reference ran with.",
  },
  "input/lm-head-unchecked": {
    message: "nothing shows that {weight} of {file} is the head of this model",
    why: "A head of the right shape gives logits whichever model it is of. Logits that the reference stores beside its norm are held to it, and so is the SHA-256 of the weights that a dump tells: here is neither. Perplexity and KL hold for the head that was given.",
    causes: ["the reference was captured without logits, by a tool that keeps no weights_sha256"],
    tune: "Capture the logits of one prompt in the reference, or check that the file is the model's.",
  },
};
