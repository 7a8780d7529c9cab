import type { StreamFacts } from "./protocol.ts";

/** A stream of the outer world. */
export interface Output extends StreamFacts {
  /**
   * Resolves once the system has taken the text, or the reader has gone.
   *
   * @throws NpuDiffError `output-unwritable` where the text could not be written.
   */
  write(text: string): Promise<void>;
}

/** Everything that a command may touch outside of itself. */
export interface Host {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Shows one line that the next one replaces; null takes it away. Only on a terminal. */
  status(text: string | null): void;
  /** Announces a file before it is created: it is removed if the run fails. */
  temporary(path: string): void;
}
