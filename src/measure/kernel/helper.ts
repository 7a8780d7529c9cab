/** A helper thread: told of a ring, it runs whatever job there is free, until the ring is closed. */

import { parentPort } from "node:worker_threads";
import { Ring, type RingMemory } from "./ring.ts";
import { JobRunner } from "./run-job.ts";

export interface HelperData {
  readonly ring: RingMemory;
  readonly kernel: WebAssembly.Module;
}

parentPort?.once("message", ({ ring: memory, kernel }: HelperData) => {
  const ring = new Ring(memory);
  const runner = new JobRunner(kernel);
  for (let seen = ring.published; !ring.isClosed; seen = ring.published) {
    let ran = false;
    for (let slot = 0; slot < ring.slots; slot += 1) {
      ran = ring.tryRun(slot, runner) || ran;
      if (ran && ring.takeWaiting()) parentPort?.postMessage(null);
    }
    if (!ran) ring.waitForMore(seen);
  }
});
