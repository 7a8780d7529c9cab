/** Where things are in the kernel's memory. */

import type { Kernel } from "./wasm.ts";

const WASM_PAGE = 2 ** 16;

/** Places things one behind the other in the kernel's memory. */
export class MemoryLayout {
  readonly #kernel: Kernel;
  #next: number;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#next = kernel.freeMemory();
  }

  place(bytes: number): number {
    // A whole line of the cache.
    const at = Math.ceil(this.#next / 64) * 64;
    this.#next = at + bytes;
    return at;
  }

  grow(): void {
    const { memory } = this.#kernel;
    const missing = Math.ceil(this.#next / WASM_PAGE) - memory.buffer.byteLength / WASM_PAGE;
    if (missing > 0) memory.grow(missing);
  }
}
