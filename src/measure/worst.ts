/** The worst few of many, in memory that does not grow with their number. */

/** Keeps the `most` with the largest size; of equal ones the first that came. */
export class Worst<T> {
  private readonly kept: { readonly size: number; readonly item: T }[] = [];
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  /** What a size must pass to be kept. */
  get threshold(): number {
    return this.kept.length < this.most ? 0 : (this.kept.at(-1)?.size ?? 0);
  }

  /** Call it only with a size above {@link threshold}; `size` is no NaN. */
  add(size: number, item: T): void {
    const at = this.kept.findIndex((one) => one.size < size);
    this.kept.splice(at === -1 ? this.kept.length : at, 0, { size, item });
    if (this.kept.length > this.most) this.kept.pop();
  }

  /** The largest first. */
  get items(): readonly T[] {
    return this.kept.map(({ item }) => item);
  }
}
