/** Many files of tensors, of which few stay open. */

import type { ByteSource } from "../byte-source.ts";
import { Spool } from "../spool.ts";
import type { ForeignContents, ForeignTensor, Piece } from "./foreign-tensor.ts";

/** Files that stay open: a process may have so many at least, and a comparison has several dumps. */
const MAX_OPEN = 192;

/** Bytes that are copied at a time. */
const BLOCK_BYTES = 2 ** 22;

/** Keeps what tensors lie in for as long as it is not closed. */
export class KeptFiles {
  readonly #open: ByteSource[] = [];
  #spool: Spool | null = null;
  #bytes = 0;

  get sources(): readonly ByteSource[] {
    return this.#spool === null ? this.#open : [...this.#open, this.#spool];
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  close(): void {
    for (const source of this.sources) source.close();
  }

  /** The tensors of a file that was read, which is taken over: left open, or closed when its data has been copied. */
  keep({ tensors, sources, bytes }: ForeignContents): readonly ForeignTensor[] {
    this.#bytes += bytes;
    if (sources.length === 1 && this.#open.length < MAX_OPEN) {
      this.#open.push(...sources);
      return tensors;
    }
    try {
      return tensors.map((tensor) => ({
        ...tensor,
        pieces: tensor.pieces?.map((piece) => this.#copied(piece)) ?? null,
      }));
    } finally {
      for (const source of sources) source.close();
    }
  }

  #copied({ source, position, bytes }: Piece): Piece {
    const spool = (this.#spool ??= Spool.create());
    const start = spool.size;
    for (let done = 0; done < bytes; done += BLOCK_BYTES) {
      const block = new Uint8Array(Math.min(BLOCK_BYTES, bytes - done));
      source.readInto(position + done, block);
      spool.append(block);
    }
    return { source: spool, position: start, bytes };
  }
}
