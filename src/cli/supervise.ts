/**
 * The main thread: starts the run in one worker, writes its text, and decides
 * the exit status. It holds nothing that grows, so that a heap too small for
 * the work kills the worker and leaves someone to say so.
 */

import { rmSync } from "node:fs";
import { isatty } from "node:tty";
import { Worker } from "node:worker_threads";
import { NpuDiffError } from "../core/errors.ts";
import { renderError } from "../report/error.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import type { StreamFacts, ToMain, WorkerInput, Written } from "./protocol.ts";

/** A worker inside a blocking system call does not stop when told to; then the process ends without it. */
const TERMINATION_PATIENCE_MS = 500;

const CLEAR_LINE = "\r\x1b[2K";

/** Runs `npu-diff` with `argv`; sets `process.exitCode` when the worker has ended. */
export function supervise(argv: readonly string[]): void {
  let earned: ExitCode | null = null;
  let failure: NpuDiffError | null = null;
  let statusShown = false;
  let finished = false;
  const temporaries: string[] = [];

  const showStatus = (text: string | null): void => {
    if (!process.stderr.isTTY || process.stderr.writableNeedDrain) return;
    if (text === null && !statusShown) return;
    process.stderr.write(CLEAR_LINE + (text ?? ""));
    statusShown = text !== null;
  };

  const finish = (): void => {
    finished = true;
    showStatus(null);
    if (failure !== null) {
      process.stderr.write(renderError(failure, { debug: argv.includes("--debug") }));
      earned = failure.code === "interrupted" ? EXIT.interrupted : EXIT.error;
    }
    if (earned === null || earned === EXIT.error || earned === EXIT.interrupted) {
      for (const path of temporaries) rmSync(path, { force: true });
    }
    process.exitCode = earned ?? EXIT.error;
  };

  // Without a listener a closed pipe would be an uncaught exception; each
  // write learns of it through its own callback.
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);

  const input: WorkerInput = {
    argv,
    stdout: streamFacts(process.stdout),
    stderr: streamFacts(process.stderr),
  };
  const worker = new Worker(new URL("./run-worker.js", import.meta.url), {
    workerData: input,
    stdout: true,
  });
  // Whatever a library prints there is no report.
  worker.stdout.pipe(process.stderr, { end: false });

  worker.on("message", (message: ToMain) => {
    switch (message.kind) {
      case "write":
        showStatus(null);
        process[message.stream].write(message.text, (error) => {
          const answer: Written = { id: message.id, error: describeWriteError(error) };
          worker.postMessage(answer);
        });
        break;
      case "status":
        showStatus(message.text);
        break;
      case "temporary":
        temporaries.push(message.path);
        break;
      case "end":
        earned = message.code;
        void worker.terminate();
        break;
    }
  });
  worker.on("error", (error) => {
    failure ??= workerFailure(error);
  });
  worker.on("exit", () => {
    if (earned === null) failure ??= workerDied();
    finish();
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (earned !== null) return;
      failure ??= interrupted(signal);
      void worker.terminate();
      setTimeout(() => {
        if (!finished) finish();
        process.exit();
      }, TERMINATION_PATIENCE_MS).unref();
    });
  }
}

function streamFacts(stream: { readonly fd: number; readonly columns: number }): StreamFacts {
  const terminal = isatty(stream.fd);
  return { isTTY: terminal, columns: terminal ? stream.columns : undefined };
}

function describeWriteError(error: Error | null | undefined): string | null {
  if (error === null || error === undefined) return null;
  return "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED")
    ? null
    : error.message;
}

function workerFailure(error: unknown): NpuDiffError {
  const code = error instanceof Error && "code" in error ? error.code : null;
  if (code === "ERR_WORKER_OUT_OF_MEMORY") return outOfMemory(error);
  return new NpuDiffError("internal", {
    what: "npu-diff failed by a fault of its own",
    facts: [{ label: "cause", text: error instanceof Error ? error.message : String(error) }],
    help: "run it again with --debug and report what it prints",
    cause: error,
  });
}

/** The error of a run that needed more memory than it was given. */
export function outOfMemory(cause: unknown): NpuDiffError {
  return new NpuDiffError("out-of-memory", {
    what: "the comparison needs more memory than it was given",
    facts: [{ label: "cause", text: cause instanceof Error ? cause.message : String(cause) }],
    help: "raise the heap with NODE_OPTIONS=--max-old-space-size=4096, or compare fewer tensors with --only",
    cause,
  });
}

function workerDied(): NpuDiffError {
  return new NpuDiffError("worker-died", {
    what: "the thread that compares ended without a result",
    facts: [
      { label: "expected", text: "an exit status" },
      { label: "found", text: "none: something ended the thread" },
    ],
    help: "look for a --require or --import hook in NODE_OPTIONS that ends the process, and for the system's memory limit",
  });
}

function interrupted(signal: string): NpuDiffError {
  return new NpuDiffError("interrupted", {
    what: "interrupted before a verdict",
    facts: [{ label: "signal", text: signal }],
    help: "nothing was written; run the command again",
  });
}
