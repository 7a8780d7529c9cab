/** Where in a run an element or a row lies. Field names are frozen, additions only. */

/** Position of one element: the sample, and the index inside its tensor. */
export interface ElementAt {
  readonly sample: number;
  readonly step: number;
  readonly index: readonly number[];
  readonly reference: number;
  readonly candidate: number;
}

/** Position of one row (token). */
export interface TokenAt {
  readonly sample: number;
  readonly step: number;
  readonly token: number;
}
