/**
 * The main thread: starts the run in one worker, writes its text, and decides
 * the exit status. It holds nothing that grows, so that a heap too small for
 * the work kills the worker and leaves someone to say so.
 */

import { rmSync } from "node:fs";
import { isatty } from "node:tty";
import { Worker } from "node:worker_threads";
import { asNpuDiffError } from "../core/as-error.ts";
import type { NpuDiffError } from "../core/errors.ts";
import { renderError } from "../report/error.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { interrupted, workerDied } from "./failures.ts";
import type { StreamFacts, ToMain, WorkerInput, Written } from "./protocol.ts";

/** A worker inside a blocking system call does not stop when told to; then the process ends without it. */
const TERMINATION_PATIENCE_MS = 500;

const CLEAR_LINE = "\r\x1b[2K";

/** Runs `npu-diff` with `argv`; sets `process.exitCode` when the worker has ended. */
export function supervise(argv: readonly string[]): void {
  // onnxruntime keeps records of its use, and asks the machine for its name: nobody asked for that. It looks into
  // the environment of the process, of which a worker has a copy alone.
  process.env["ORT_DISABLE_TELEMETRY"] = "1";
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
    if (earned === null) failure ??= asNpuDiffError(error);
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
        // process.exit() would wait for the worker. The signal's own end does
        // not, and a shell calls it 130 as well.
        for (const name of ["SIGINT", "SIGTERM"]) process.removeAllListeners(name);
        process.kill(process.pid, "SIGINT");
      }, TERMINATION_PATIENCE_MS).unref();
    });
  }
}

function streamFacts(stream: { readonly fd: number; readonly columns: number }): StreamFacts {
  const terminal = isatty(stream.fd);
  // A terminal that does not know its width says 0.
  return { isTTY: terminal, columns: terminal && stream.columns > 0 ? stream.columns : undefined };
}

function describeWriteError(error: Error | null | undefined): string | null {
  if (error === null || error === undefined) return null;
  return "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED")
    ? null
    : error.message;
}
