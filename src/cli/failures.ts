/** The errors of a run that ended without a result. */

import { NpuDiffError } from "../core/errors.ts";

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
