/** Where bytes of a tensor come from: an open file of somebody's, or a temporary one of ours. */

export interface ByteSource {
  /** What to call it in messages. */
  readonly name: string;
  /** The file descriptor, which is the same in all threads of the process. */
  readonly descriptor: number;
  /** Fills `target` with the bytes from `position` on. */
  readInto(position: number, target: Uint8Array): void;
  /** Closing twice is harmless. */
  close(): void;
}
