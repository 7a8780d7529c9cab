/** The errors that nobody meant to throw. */

import { NpuDiffError, reasonOf } from "./errors.ts";

/** What the engine says where a buffer, a string or WebAssembly memory cannot grow. */
const CANNOT_GROW =
  /allocation failed|could not allocate|memory size exceeded|unable to grow|Invalid (?:string|typed array|array buffer) length/i;

/** Anything thrown, as an error that can be shown: out of memory, or a fault of our own. */
export function asNpuDiffError(thrown: unknown): NpuDiffError {
  if (thrown instanceof NpuDiffError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : null;
  const text = reasonOf(thrown);
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
