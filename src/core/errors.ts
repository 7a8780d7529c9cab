/**
 * What can go wrong before a verdict exists. A precision failure is a value of
 * the result, never an error; an error means «could not compare» and ends the
 * process with status 2.
 */

/** Stable ids, shown as `error[id]`. Additions only. */
export type ErrorCode =
  | "usage"
  | "file-not-found"
  | "file-unreadable"
  | "file-empty"
  | "not-arrow"
  | "dump-truncated"
  | "dump-incomplete"
  | "dump-corrupt"
  | "dump-compressed"
  | "dump-schema"
  | "dump-version"
  | "dump-metadata"
  | "dump-too-large"
  | "duplicate-rows"
  | "tokens-differ"
  | "rank-missing"
  | "ranks-differ"
  | "replicas-differ"
  | "shards-invalid"
  | "replay"
  | "reference-set"
  | "nothing-aligned"
  | "floor-is-reference"
  | "floor-incompatible"
  | "forced-incompatible"
  | "results-invalid"
  | "results-truncated"
  | "results-ambiguous"
  | "duplicate-items"
  | "items-differ"
  | "tasks-differ"
  | "metric-missing"
  | "score-invalid"
  | "config-missing"
  | "config-invalid"
  | "map-missing"
  | "map-invalid"
  | "baseline-missing"
  | "baseline-invalid"
  | "baseline-differs"
  | "result-invalid"
  | "performance-invalid"
  | "lm-head"
  | "package-missing"
  | "output-unwritable"
  | "nothing-to-repair"
  | "nothing-to-convert"
  | "out-of-memory"
  | "worker-died"
  | "interrupted"
  | "internal";

/** One labelled fact of an error, shown on a line of its own. */
export interface ErrorFact {
  /** Whom the fact is about: `reference`, `candidate`, `file`, … */
  readonly label: string;
  readonly text: string;
}

/** The parts of an error, as the reader sees them. */
export interface ErrorParts {
  /** What happened, in one sentence without a full stop. */
  readonly what: string;
  /** Why: the facts that disagree. */
  readonly facts?: readonly ErrorFact[];
  /** What to do about it. */
  readonly help: string;
  readonly cause?: unknown;
}

/**
 * An error with a stable code and three parts: what, why, what to do.
 *
 * The texts may hold names that came out of a file; whoever shows them escapes
 * them (`core/escape`).
 */
export class NpuDiffError extends Error {
  override readonly name = "NpuDiffError";
  readonly code: ErrorCode;
  readonly facts: readonly ErrorFact[];
  readonly help: string;

  constructor(code: ErrorCode, parts: ErrorParts) {
    super(parts.what, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = code;
    this.facts = parts.facts ?? [];
    this.help = parts.help;
  }
}

/** The error of a file that is not written: `label` is what it is to the reader, `cause` what the system said. */
export function unwritable(
  what: string,
  {
    label,
    path,
    cause,
  }: { readonly label: string; readonly path: string; readonly cause: unknown },
): NpuDiffError {
  return new NpuDiffError("output-unwritable", {
    what,
    facts: [
      { label, text: path },
      { label: "cause", text: reasonOf(cause) },
    ],
    help: "give a path in a folder that exists and may be written to",
    cause,
  });
}

/** Narrows `error` to an {@link NpuDiffError}, of one of `codes` where any are given. */
export function isNpuDiffError<C extends ErrorCode = ErrorCode>(
  error: unknown,
  ...codes: readonly C[]
): error is NpuDiffError & { readonly code: C } {
  return (
    error instanceof NpuDiffError &&
    (codes.length === 0 || (codes as readonly ErrorCode[]).includes(error.code))
  );
}

/** What a thrown value says of itself: the message of an error, and anything else as text. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
