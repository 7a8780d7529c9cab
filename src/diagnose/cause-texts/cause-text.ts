/** The words of one cause in one language. */
export interface CauseText {
  /** The kind of error, in a few words. */
  readonly title: string;
  /** What was found, as a clause. Names of `CauseResult.detail` in braces are filled in; `%` behind one makes it a share, `{name?one|many}` is the form that its number asks for. */
  readonly message: string;
  /** What it usually is on an NPU port, the likeliest first. */
  readonly usual: readonly string[];
  /** What to try. */
  readonly advice: readonly string[];
}
