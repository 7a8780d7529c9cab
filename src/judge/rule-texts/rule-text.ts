/** The words of one rule in one language. */
export interface RuleText {
  /**
   * What was found, as a phrase that follows the name of the tensor or of the
   * figure. `{value}`, `{limit}`, `{sample}` and names of `Finding.detail` in
   * braces are filled in, and of `{value?one|many}` the form that the number asks for.
   */
  readonly message: string;
  /** Why the rule exists. */
  readonly why: string;
  /** What usually breaks it, the likeliest first. */
  readonly causes: readonly string[];
  /** What to do about it. */
  readonly tune: string;
}
