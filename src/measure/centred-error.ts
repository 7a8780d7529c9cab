/** The size of a logit error that a softmax can see. */

/** The centred size of a logit error: RMS over the vocabulary after its mean is taken off. */
export class CentredError {
  private first = Number.NaN;
  private count = 0;
  private sum = 0;
  private squares = 0;

  reset(): void {
    this.count = 0;
    this.sum = 0;
    this.squares = 0;
  }

  add(x: Float64Array, y: Float64Array, start: number, length: number): void {
    for (let i = start; i < start + length; i += 1) {
      const error = (y[i] as number) - (x[i] as number);
      if (!Number.isFinite(error)) continue;
      // Taken off the first error, a common offset costs no digits.
      if (this.count === 0) this.first = error;
      const shifted = error - this.first;
      this.count += 1;
      this.sum += shifted;
      this.squares += shifted * shifted;
    }
  }

  get sigma(): number {
    const mean = this.sum / this.count;
    return Math.sqrt(Math.max(0, this.squares / this.count - mean * mean));
  }
}
