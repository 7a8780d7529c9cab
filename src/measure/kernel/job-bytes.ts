/** Reads the bytes of one side of a job: a run of bytes that lies in several places. */

import { readSync } from "node:fs";
import type { JobSide } from "./job.ts";

/** A file gave fewer bytes than it promised, or none. Whoever opened it can say more. */
export class UnreadableJob extends Error {}

export class JobBytes {
  readonly #ranges: JobSide["ranges"];
  #range = 0;
  /** Bytes of the range that have been read. */
  #done = 0;

  constructor({ ranges }: JobSide) {
    this.#ranges = ranges;
  }

  /**
   * Puts the next `length` bytes at `offset` of `target`.
   *
   * @throws UnreadableJob
   */
  read(target: Uint8Array, offset: number, length: number): void {
    let at = offset;
    const end = offset + length;
    while (at < end) {
      const range = this.#ranges[this.#range];
      if (range === undefined) throw new UnreadableJob("a job without its bytes");
      const wanted = Math.min(end - at, range.bytes - this.#done);
      if (wanted > 0) {
        const read = readSync(range.descriptor, target, at, wanted, range.position + this.#done);
        if (read === 0) throw new UnreadableJob("a file that ends early");
        at += read;
        this.#done += read;
      }
      if (this.#done < range.bytes) continue;
      this.#range += 1;
      this.#done = 0;
    }
  }
}
