/** Reads the bytes of one side of a job, which may lie in several places and several files. */

import { readSync } from "node:fs";
import type { FileRange } from "../../dump/dump.ts";
import { type ByteStream, joined } from "../../dump/join.ts";
import type { JobSide } from "./job.ts";

/** A file gave fewer bytes than it promised, or none. Whoever opened it can say more. */
export class UnreadableJob extends Error {}

/**
 * The bytes of `side`, in order.
 *
 * @throws UnreadableJob while it is read.
 */
export function jobBytes({ join, strands }: JobSide): ByteStream {
  return joined(
    join,
    strands.map((ranges) => new RangeStream(ranges)),
  );
}

class RangeStream implements ByteStream {
  readonly #ranges: readonly FileRange[];
  #range = 0;
  /** Bytes of the range that have been read. */
  #done = 0;

  constructor(ranges: readonly FileRange[]) {
    this.#ranges = ranges;
  }

  read(target: Uint8Array, offset: number, length: number): void {
    this.#pass(length, ({ descriptor, position }, wanted, passed) => {
      const read = readSync(descriptor, target, offset + passed, wanted, position + this.#done);
      if (read === 0) throw new UnreadableJob("a file that ends early");
      return read;
    });
  }

  skip(length: number): void {
    this.#pass(length, (_range, wanted) => wanted);
  }

  /** Lets `take` have the next bytes of one range after another; it says how many it took. */
  #pass(length: number, take: (range: FileRange, wanted: number, passed: number) => number): void {
    for (let passed = 0; passed < length; ) {
      const range = this.#ranges[this.#range];
      if (range === undefined) throw new UnreadableJob("a job without its bytes");
      const wanted = Math.min(length - passed, range.bytes - this.#done);
      if (wanted > 0) {
        const taken = take(range, wanted, passed);
        passed += taken;
        this.#done += taken;
      }
      if (this.#done < range.bytes) continue;
      this.#range += 1;
      this.#done = 0;
    }
  }
}
