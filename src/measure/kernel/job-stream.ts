/** Runs the jobs of a plan on several threads, and gives their results in the order of the plan. */

import { Worker } from "node:worker_threads";
import { NpuDiffError } from "../../core/errors.ts";
import type { PlannedJob } from "../plan.ts";
import type { HelperData } from "./helper.ts";
import { makeRing, Ring } from "./ring.ts";
import { JobRunner } from "./run-job.ts";
import { compileKernel, helperProgram } from "./wasm.ts";

/** Slots for each thread: one that it runs, and the next ones. */
const SLOTS_PER_THREAD = 3;

/** Work that a thread of its own is worth: it takes about as long to begin as to compare this many bytes. */
const BYTES_PER_HELPER = 2 ** 27;

/** A job and what came of it. */
export interface JobResult extends PlannedJob {
  /** Good until the next result is asked for. */
  readonly numbers: Float64Array;
}

/** A job that could not be run: its files do not give what they promised. */
export class FailedJob extends Error {
  readonly planned: PlannedJob;

  constructor(planned: PlannedJob, cause: unknown) {
    super("a job could not be run", { cause });
    this.planned = planned;
  }
}

export interface StreamOptions {
  /** Threads at most, this one included. */
  readonly jobs: number;
  /** Bytes of all jobs together. */
  readonly bytes: number;
  /** Numbers that a job and a result have at most. */
  readonly jobNumbers: number;
  readonly resultNumbers: number;
}

export class JobStream {
  readonly #plan: Iterator<PlannedJob, void, undefined>;
  readonly #ring: Ring;
  readonly #runner: JobRunner;
  readonly #helpers: Worker[] = [];
  /** Jobs in the ring, the oldest first. */
  readonly #pending: { readonly planned: PlannedJob; readonly slot: number }[] = [];
  #next = 0;
  /** The slot of the result that was given last. */
  #given: number | null = null;
  #failure: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(plan: Iterator<PlannedJob, void, undefined>, options: StreamOptions) {
    const helpers = Math.max(
      0,
      Math.min(options.jobs - 1, Math.floor(options.bytes / BYTES_PER_HELPER)),
    );
    const slots = helpers === 0 ? 1 : SLOTS_PER_THREAD * (helpers + 1);
    const memory = makeRing(slots, options.jobNumbers, options.resultNumbers);
    const kernel = compileKernel();
    this.#plan = plan;
    this.#ring = new Ring(memory);
    this.#runner = new JobRunner(kernel);
    for (let i = 0; i < helpers; i += 1) this.#start({ ring: memory, kernel });
  }

  /**
   * The next job of the plan, done.
   *
   * @throws FailedJob
   * @throws NpuDiffError `worker-died` where a helper did; whatever else ended it, such as a heap that was full.
   */
  async next(): Promise<JobResult> {
    if (this.#given !== null) {
      this.#ring.free(this.#given);
      this.#given = null;
    }
    this.#fill();
    const first = this.#pending.shift();
    if (first === undefined) throw new RangeError("no more jobs in the plan");
    const { planned, slot } = first;
    while (!this.#ring.isDone(slot)) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#ring.hasFailed(slot)) this.#runAgain(planned, slot);
      else if (!this.#runAny(slot)) await this.#sleep(slot);
    }
    this.#given = slot;
    return { ...planned, numbers: this.#ring.result(slot) };
  }

  /** Ends the helpers; whatever was not asked for is dropped. */
  async close(): Promise<void> {
    this.#ring.close();
    await Promise.all(this.#helpers.map((helper) => helper.terminate()));
  }

  #fill(): void {
    while (this.#pending.length < this.#ring.slots) {
      const { done, value } = this.#plan.next();
      if (done === true) return;
      const slot = this.#next % this.#ring.slots;
      this.#next += 1;
      this.#ring.publish(slot, value.job);
      this.#pending.push({ planned: value, slot });
    }
  }

  /** Runs the job that is waited for, or else any; false where all are under way. */
  #runAny(slot: number): boolean {
    return [slot, ...this.#pending.map((other) => other.slot)].some((any) =>
      this.#ring.tryRun(any, this.#runner),
    );
  }

  /** A job that failed fails again, here, where its reason can be looked for. */
  #runAgain(planned: PlannedJob, slot: number): void {
    try {
      this.#runner.run(planned.job, this.#ring.result(slot));
    } catch (error) {
      throw new FailedJob(planned, error);
    }
    this.#ring.setDone(slot);
  }

  #start(workerData: HelperData): void {
    const helper = new Worker(helperProgram(), { workerData });
    const end = (error: Error): void => {
      this.#failure ??= error;
      this.#wake?.();
    };
    helper.on("message", () => this.#wake?.());
    helper.on("error", end);
    helper.on("exit", () => {
      if (!this.#ring.isClosed) end(helperDied());
    });
    this.#helpers.push(helper);
  }

  /** Waits until a helper has finished something. */
  async #sleep(slot: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#ring.setWaiting(true);
    // It may have finished before it could know that someone waits.
    if (!this.#ring.isDone(slot) && !this.#ring.hasFailed(slot)) await woken;
    this.#wake = null;
    this.#ring.setWaiting(false);
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
