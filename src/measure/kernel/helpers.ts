/** Threads that run jobs beside the one that takes their results. */

import { Worker } from "node:worker_threads";
import { NpuDiffError } from "../../core/errors.ts";
import type { HelperData } from "./helper.ts";
import type { RingMemory } from "./ring.ts";
import { compileKernel, helperProgram } from "./wasm.ts";

/** Work that a thread of its own is worth: it takes about as long to begin as to compare this many bytes. */
const BYTES_PER_HELPER = 2 ** 27;

/** What is told of helpers at work. */
export interface HelperEvents {
  /** A job is done that someone waits for. */
  progress(): void;
  /** A helper is gone, or cannot work. */
  end(error: Error): void;
}

/**
 * Starts threads that load what they need and wait: they can do so while the dumps
 * are opened. Must be ended, whatever happens.
 */
export class Helpers {
  readonly kernel: WebAssembly.Module = compileKernel();
  readonly #workers: readonly Worker[];
  #events: HelperEvents | null = null;
  #failure: Error | null = null;

  /**
   * @param jobs threads at most, the one that takes results included.
   * @param bytes of the files that are compared.
   */
  constructor(jobs: number, bytes: number) {
    const count = Math.max(0, Math.min(jobs - 1, Math.floor(bytes / BYTES_PER_HELPER)));
    this.#workers = Array.from({ length: count }, () => {
      const worker = new Worker(helperProgram());
      worker.on("message", () => this.#events?.progress());
      worker.on("error", (error) => {
        this.#end(error);
      });
      worker.on("exit", () => {
        this.#end(helperDied());
      });
      return worker;
    });
  }

  get count(): number {
    return this.#workers.length;
  }

  /** Sets them to work on a ring. */
  begin(ring: RingMemory, events: HelperEvents): void {
    this.#events = events;
    const data: HelperData = { ring, kernel: this.kernel };
    for (const worker of this.#workers) worker.postMessage(data);
    if (this.#failure !== null) events.end(this.#failure);
  }

  /** Ends them; after it they read no file any more. */
  async end(): Promise<void> {
    this.#events = null;
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #end(error: Error): void {
    this.#failure ??= error;
    this.#events?.end(error);
  }
}

function helperDied(): NpuDiffError {
  return new NpuDiffError("worker-died", {
    what: "a thread that measures ended before the comparison did",
    facts: [
      { label: "expected", text: "a thread that runs until it is told to end" },
      { label: "found", text: "something ended it" },
    ],
    help: "run it again with --jobs 1, or look for a --require or --import hook in NODE_OPTIONS that ends the process",
  });
}
