/** What is known of the logits of one sample on one side, position by position. */

/**
 * The best tokens of one position, by falling logit, of equal ones the lowest
 * id first. A NaN among the log-probabilities is a row of logits that held one.
 */
export interface TopList {
  readonly ids: Float64Array;
  /** Natural logarithms, as many as `ids`. */
  readonly logprobs: Float64Array;
  /** A log-probability l may be off by `precision`·max(`scale`, |l|). */
  readonly precision: number;
  /** Size of the numbers that it is a difference of. */
  readonly scale: number;
}

/** One position. Null is what the form does not hold. The arrays are overwritten by the next position. */
export interface LogitsRow {
  readonly lse: number | null;
  readonly top: TopList | null;
  /** Log-probability of the next token of the sample; NaN behind its last one. */
  readonly nextLogprob: number | null;
}

/** The logits of one sample, whole or reduced. */
export interface LogitsForm {
  readonly holdsLse: boolean;
  readonly holdsNext: boolean;
  /** Tokens that each `top` lists; 0 where there is none. */
  readonly k: number;
  /** The position `row`; asked for in rising order. */
  at(row: number): LogitsRow;
}
