/** What the two sides went on with after each prompt. Field names are frozen, additions only. */

/** A piece of a text. */
export interface Excerpt {
  readonly text: string;
  /** Characters (code points) of the whole that are left out. */
  readonly omitted: number;
}

/** A token that a side generated. */
export interface GeneratedToken {
  readonly id: number;
  /** Null where the dump does not say how the token is written. */
  readonly text: string | null;
}

/** One side's continuation of one prompt. */
export interface Continuation {
  /** Null without `generated_ids`. */
  readonly tokens: number | null;
  /** Code points; null without `generated_text`. */
  readonly characters: number | null;
  /** The beginning of the text; null without `generated_text`. */
  readonly text: Excerpt | null;
  /** Null without `generated_ids`, or where there is no token. */
  readonly firstToken: GeneratedToken | null;
}

/** Difference of the log-probabilities of the two sides' choices, in nats: positive where a side prefers its own. */
export interface ChoiceGap {
  readonly nats: number;
  /** Whether the other choice is so unlikely that its list does not hold it: the gap is at least `nats`. */
  readonly atLeast: boolean;
}

/** How close the decision was at which two continuations part. */
export interface DivergenceMargin {
  /** As the reference sees it, and the candidate; null where that side stores nothing of the position. */
  readonly reference: ChoiceGap | null;
  readonly candidate: ChoiceGap | null;
  /** The reference's gap / (√2 σ); null where σ is not known. */
  readonly z: number | null;
  /**
   * What gave σ, the size of the error of a logit at this position: whole logits
   * of the floors, those of the candidate, or the tokens that both lists of the
   * likeliest hold.
   */
  readonly sigmaFrom: "floor" | "candidate" | "lists" | null;
  /** z < 4; null where z is not known, or not closely enough. */
  readonly nearTie: boolean | null;
  /** Why `nearTie` is not known, by a stable word: `by-text`, `ended`, `no-step-logits`, `not-listed`, `short-lists`; null where it is. */
  readonly reason: string | null;
}

/** What one side says where the two part. */
export interface DivergenceSide {
  /** Null without ids, or where the continuation has ended. */
  readonly token: GeneratedToken | null;
  readonly ended: boolean;
  /** The text from the first character on that differs; null without both texts, or where the texts agree. */
  readonly text: Excerpt | null;
}

/** The first place at which two continuations differ. */
export interface TextDivergence {
  /** Index of the first token that differs, or that one side lacks; null where the texts alone were compared. */
  readonly token: number | null;
  /** Code points before the first that differs; null without both texts, or where the texts agree. */
  readonly character: number | null;
  /** The end of what both say before it; null where `character` is. */
  readonly shared: Excerpt | null;
  readonly reference: DivergenceSide;
  readonly candidate: DivergenceSide;
  readonly margin: DivergenceMargin;
}

/** Whether a continuation holds a keyword; null where its text is not stored. */
export interface KeywordResult {
  readonly keyword: Excerpt;
  readonly reference: boolean | null;
  readonly candidate: boolean | null;
}

/** Both continuations of one prompt. */
export interface SampleTexts {
  readonly sample: number;
  /** Null where neither side stores the prompt's text. */
  readonly prompt: Excerpt | null;
  /** Null where a side has no continuation. */
  readonly reference: Continuation | null;
  readonly candidate: Continuation | null;
  /** By ids; null where they are not stored on both sides, or a side was sampled. */
  readonly firstTokenAgrees: boolean | null;
  /** By ids where both sides have them, else by text; null where they were not compared. */
  readonly identical: boolean | null;
  /** Null where they are identical, or were not compared. */
  readonly divergence: TextDivergence | null;
  readonly keywords: readonly KeywordResult[];
  /** Keywords beyond those listed. */
  readonly keywordsOmitted: number;
}

/** Pairs of a prompt and a keyword that its continuation must contain. */
export interface KeywordTotals {
  readonly keywords: number;
  /** Found in the reference's text, and in the candidate's. */
  readonly reference: number;
  readonly candidate: number;
  /** Found in the reference's text and not in the candidate's. */
  readonly lost: number;
  /** A text is not stored that decides whether the candidate lost it. */
  readonly open: number;
  /** The first sample of a lost one, and of an open one; null where there is none. */
  readonly firstLost: number | null;
  readonly firstOpen: number | null;
}

/** What the two sides generated, prompt by prompt. */
export interface GenerationResult {
  /** Samples whose continuations were compared; none where a side was sampled. */
  readonly samples: number;
  /** Samples whose continuations are the same. */
  readonly exact: number;
  /** First token at which the continuations part, over the samples that part and were compared by ids; null where none does. */
  readonly firstDivergence: {
    readonly mean: number;
    readonly p50: number;
    readonly min: number;
  } | null;
  /** Of `samples`, those compared by text, because a side lacks the ids. */
  readonly byText: number;
  /** The sides whose tokens were drawn: their continuations are not expected to agree. */
  readonly sampled: readonly ("reference" | "candidate")[];
  /** Samples that one side alone continued. */
  readonly only: { readonly reference: number; readonly candidate: number };
  /** The samples that part, by how close the decision was. */
  readonly divergences: {
    readonly nearTies: number;
    readonly real: number;
    readonly unknown: number;
  };
  /** Null where no keyword is expected. */
  readonly keywords: KeywordTotals | null;
  /** The samples that a reader asks for first: lost keywords, then those that part; ordered by sample. */
  readonly listed: readonly SampleTexts[];
  /** Samples beyond those listed. */
  readonly omitted: number;
}
