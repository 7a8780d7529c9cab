/** What was compared. Field names are frozen, additions only. */

/** One input of the comparison, as far as a report shows it. */
export interface InputSummary {
  /** File name without its folder. */
  readonly file: string;
  readonly bytes: number;
  /** SHA-256 over T and ids of each sample in turn, int64 little-endian; null without `input_ids`. */
  readonly tokensSha256: string | null;
  /** The run metadata as the file has it. */
  readonly run: Readonly<Record<string, unknown>>;
  /** Whether the file was put together again by `repair`. */
  readonly repaired: boolean;
}

/** A key of the run metadata in which the two sides differ. */
export interface EnvironmentDifference {
  /** Dotted path in the run metadata, e.g. `model.rope_theta`. */
  readonly key: string;
  readonly reference: unknown;
  readonly candidate: unknown;
}
