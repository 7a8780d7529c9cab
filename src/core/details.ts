/** What a report draws of single tokens. Field names are frozen, additions only. */

/** Neighbouring tokens of one sample. */
export interface TokenBin {
  /** First token, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  /** Both ends as the reference writes them; null where it does not store that. */
  readonly text: string | null;
}

export interface TokenErrorRow {
  readonly tensor: string;
  /** The largest ρ_t = ‖d_t‖ / ‖x_t‖ of each bin; null where the tensor has no such row. */
  readonly relL2: readonly (number | null)[];
}

/** The errors of one sample's prompt, token by token. */
export interface TokenErrors {
  readonly sample: number;
  readonly tokens: number;
  /** At most 128. */
  readonly bins: readonly TokenBin[];
  /** In execution order; tensors that have a row for each token. */
  readonly rows: readonly TokenErrorRow[];
}

/** What is measured only for a report that draws it. */
export interface ResultDetails {
  /** Null where no sample has such a tensor. */
  readonly tokenErrors: TokenErrors | null;
}
