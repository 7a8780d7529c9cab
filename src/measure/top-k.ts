/** The largest logits of a row. */

/** Next tokens compared by {@link TopK.overlap}. */
export const TOP_K = 10;

/**
 * The largest values of a row with their indices, best first; of equal values
 * the lowest index comes first.
 */
export class TopK {
  readonly values: Float64Array;
  readonly indices: Int32Array;
  count = 0;
  /** Values above this one enter. */
  threshold = Number.NEGATIVE_INFINITY;
  private readonly capacity: number;

  constructor(capacity: number = TOP_K) {
    this.capacity = capacity;
    this.values = new Float64Array(capacity).fill(Number.NEGATIVE_INFINITY);
    this.indices = new Int32Array(capacity).fill(-1);
  }

  reset(): void {
    this.values.fill(Number.NEGATIVE_INFINITY);
    this.indices.fill(-1);
    this.count = 0;
    this.threshold = Number.NEGATIVE_INFINITY;
  }

  add(value: number, index: number): void {
    if (this.count === this.capacity && !(value > this.threshold)) return;
    let at = Math.min(this.count, this.capacity - 1);
    while (at > 0 && value > (this.values[at - 1] as number)) {
      this.values[at] = this.values[at - 1] as number;
      this.indices[at] = this.indices[at - 1] as number;
      at -= 1;
    }
    this.values[at] = value;
    this.indices[at] = index;
    if (this.count < this.capacity) this.count += 1;
    if (this.count === this.capacity) this.threshold = this.values[this.capacity - 1] as number;
  }

  /** Share of the `k` best that `other` has among its `k` best too. */
  overlap(other: TopK, k: number): number {
    let shared = 0;
    for (let i = 0; i < Math.min(k, this.count); i += 1) {
      for (let j = 0; j < Math.min(k, other.count); j += 1) {
        if (this.indices[i] === other.indices[j]) shared += 1;
      }
    }
    return shared / k;
  }
}

/** Running maxima of one row on one side. */
export class Best {
  value = Number.NEGATIVE_INFINITY;
  index = -1;
  /** The second largest value; equal to `value` in a tie. */
  second = Number.NEGATIVE_INFINITY;
  /** What the other side has at `index`. */
  other = Number.NaN;

  reset(): void {
    this.value = Number.NEGATIVE_INFINITY;
    this.index = -1;
    this.second = Number.NEGATIVE_INFINITY;
    this.other = Number.NaN;
  }

  add(value: number, index: number, other: number): void {
    if (value > this.value) {
      this.second = this.value;
      this.value = value;
      this.index = index;
      this.other = other;
    } else if (value > this.second) {
      this.second = value;
    }
  }
}
