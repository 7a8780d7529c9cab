/** The worker thread of a run: gives `run` a host that speaks to the main thread. */

import { parentPort, workerData } from "node:worker_threads";
import { NpuDiffError } from "../core/errors.ts";
import { renderError } from "../report/error.ts";
import { EXIT } from "./exit-code.ts";
import { neverSettled } from "./failures.ts";
import type { Host, Output } from "./host.ts";
import type { StreamFacts, StreamName, ToMain, WorkerInput, Written } from "./protocol.ts";

/** Text goes over in pieces, so that a slow reader never makes the main thread hold a whole report. */
const PIECE = 64 * 1024;

if (parentPort === null) throw new Error("run-worker is started by the main thread only");
const port = parentPort;
const input = workerData as WorkerInput;

const post = (message: ToMain): void => {
  port.postMessage(message);
};

let lastId = 0;
const waiting = new Map<number, (error: string | null) => void>();

port.on("message", ({ id, error }: Written) => {
  const resolve = waiting.get(id);
  waiting.delete(id);
  // The port holds the thread only while an answer is due: a promise that
  // never settles then lets the event loop run dry, and `beforeExit` sees it.
  if (waiting.size === 0) port.unref();
  resolve?.(error);
});
port.unref();

function output(stream: StreamName, facts: StreamFacts): Output {
  const writePiece = async (text: string): Promise<void> => {
    const error = await new Promise<string | null>((resolve) => {
      lastId += 1;
      waiting.set(lastId, resolve);
      port.ref();
      post({ kind: "write", id: lastId, stream, text });
    });
    if (error !== null && stream === "stdout") {
      throw new NpuDiffError("output-unwritable", {
        what: "the report could not be written to standard output",
        facts: [{ label: "cause", text: error }],
        help: "check where standard output goes, and whether that disk is full",
      });
    }
  };
  return {
    ...facts,
    async write(text) {
      for (let start = 0; start < text.length; ) {
        let end = Math.min(start + PIECE, text.length);
        // Half a surrogate pair would become U+FFFD.
        if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
        await writePiece(text.slice(start, end));
        start = end;
      }
    },
  };
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

const host: Host = {
  stdout: output("stdout", input.stdout),
  stderr: output("stderr", input.stderr),
  env: process.env,
  cwd: process.cwd(),
  now: () => performance.now(),
  status: (text) => {
    post({ kind: "status", text });
  },
  temporary: (path) => {
    post({ kind: "temporary", path });
  },
};

let ended = false;

process.on("beforeExit", () => {
  if (ended) return;
  post({
    kind: "write",
    id: 0,
    stream: "stderr",
    text: renderError(neverSettled(), { debug: false }),
  });
  post({ kind: "end", code: EXIT.error });
});

// The host stands before anything can fail to load.
const { run } = await import("./run.ts");
const code = await run(input.argv, host);
ended = true;
post({ kind: "end", code });
