/** The errors of a run that nobody meant to throw. */

import { NpuDiffError } from "../core/errors.ts";

/** What the engine says where a buffer, a string or WebAssembly memory cannot grow. */
const CANNOT_GROW =
  /allocation failed|could not allocate|memory size exceeded|unable to grow|Invalid (?:string|typed array|array buffer) length/i;

/** Anything thrown, as an error that can be shown: out of memory, or a fault of our own. */
export function asNpuDiffError(thrown: unknown): NpuDiffError {
  if (thrown instanceof NpuDiffError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : null;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const facts = [{ label: "cause", text }];
  if (
    code === "ERR_WORKER_OUT_OF_MEMORY" ||
    (thrown instanceof RangeError && CANNOT_GROW.test(text))
  ) {
    return new NpuDiffError("out-of-memory", {
      what: "the comparison needs more memory than it was given",
      facts,
      help: "raise the heap with NODE_OPTIONS=--max-old-space-size=4096, or compare fewer tensors with --only",
      cause: thrown,
    });
  }
  return new NpuDiffError("internal", {
    what: "npu-diff failed by a fault of its own",
    facts,
    help: "run it again with --debug and report what it prints",
    cause: thrown,
  });
}

/** The event loop ran dry before the run had ended. */
export function neverSettled(): NpuDiffError {
  return new NpuDiffError("internal", {
    what: "npu-diff stopped without a result",
    facts: [{ label: "cause", text: "a promise never settled" }],
    help: "report this with the command that was run",
  });
}

/** The thread of the run ended, and neither an error nor a status came out of it. */
export function workerDied(): NpuDiffError {
  return new NpuDiffError("worker-died", {
    what: "the thread that compares ended without a result",
    facts: [
      { label: "expected", text: "an exit status" },
      { label: "found", text: "none: something ended the thread" },
    ],
    help: "look for a --require or --import hook in NODE_OPTIONS that ends the process",
  });
}

export function interrupted(signal: string): NpuDiffError {
  return new NpuDiffError("interrupted", {
    what: "interrupted before a verdict",
    facts: [{ label: "signal", text: signal }],
    help: "run the command again",
  });
}
