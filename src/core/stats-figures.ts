/** What follows of tensors that are stored as statistics. Field names are frozen, additions only. */

/** Statistics of one side of a tensor; `min max mean rms` over its finite values, NaN where there is none. */
export interface SideStatistics {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly rms: number;
  readonly nan: number;
  readonly posInf: number;
  readonly negInf: number;
}

/** What holds of the difference of two tensors whatever their elements are: no less than, for a cosine no more than. */
export interface StatsBounds {
  readonly relL2: number;
  /** Of the largest ρ_t of a row. */
  readonly tokenRelL2Max: number;
  readonly maxAbs: number;
  readonly mse: number;
  /** The cosine is at most this. */
  readonly cosine: number;
}

/** What is known of a tensor of which one side or both are stored as statistics. */
export interface StatsFigures {
  readonly reference: SideStatistics;
  readonly candidate: SideStatistics;
  /** Candidate minus reference; of nothing else than the statistics. */
  readonly difference: {
    readonly min: number;
    readonly max: number;
    readonly mean: number;
    readonly rms: number;
  };
  /** ‖y‖/‖x‖, each side over its own finite values. */
  readonly normRatio: number;
  /** Positions that differ in kind (finite, NaN, +Inf, −Inf): at least so many. */
  readonly mismatched: number;
  /** Positions where the candidate sits at its dtype's largest value and the reference does not: at least so many. */
  readonly saturated: number;
  /** Null where the two sides have other numbers of finite values, or none: nothing follows then. */
  readonly bounds: StatsBounds | null;
}
