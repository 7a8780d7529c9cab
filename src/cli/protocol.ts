/**
 * What the two threads of a run tell each other. The worker does the work; the
 * main thread owns the terminal, the exit status and the cleaning up, so that
 * they survive whatever happens to the worker.
 */

import type { ExitCode } from "./exit-code.ts";

export type StreamName = "stdout" | "stderr";

/** What the main thread knows about one of its streams. */
export interface StreamFacts {
  readonly isTTY: boolean;
  /** Width in columns; undefined where it is no terminal. */
  readonly columns: number | undefined;
}

export interface WorkerInput {
  readonly argv: readonly string[];
  readonly stdout: StreamFacts;
  readonly stderr: StreamFacts;
}

export type ToMain =
  /** Text for a stream; the main thread answers with {@link Written} once the system has it. */
  | {
      readonly kind: "write";
      readonly id: number;
      readonly stream: StreamName;
      readonly text: string;
    }
  /** Replaces the one status line on a terminal; null takes it away. */
  | { readonly kind: "status"; readonly text: string | null }
  /** A file that is about to be created, and must be gone if this run fails. */
  | { readonly kind: "temporary"; readonly path: string }
  /** The run is over, with this status. */
  | { readonly kind: "end"; readonly code: ExitCode };

/** Answer to a `write`. A reader that closed its pipe is no error. */
export interface Written {
  readonly id: number;
  readonly error: string | null;
}
