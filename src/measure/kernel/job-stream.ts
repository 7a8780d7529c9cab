/** Runs the jobs of a plan on several threads, and gives their results in the order of the plan. */

import type { PlannedJob } from "../plan.ts";
import type { Helpers } from "./helpers.ts";
import { makeRing, Ring } from "./ring.ts";
import { JobRunner } from "./run-job.ts";

/** Slots for each thread: one that it runs, and the next ones. */
const SLOTS_PER_THREAD = 6;

/** Bytes of all slots, unless there are too many threads for it: channels of wide rows take megabytes each. */
const SLOT_BYTES = 2 ** 26;

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
  /** Numbers that a job and a result have at most. */
  readonly jobNumbers: number;
  readonly resultNumbers: number;
}

export class JobStream {
  readonly #plan: Iterator<PlannedJob, void, undefined>;
  readonly #ring: Ring;
  readonly #runner: JobRunner;
  readonly #helpers: Helpers;
  /** Jobs in the ring, the oldest first. */
  readonly #pending: { readonly planned: PlannedJob; readonly slot: number }[] = [];
  #next = 0;
  /** The slot of the result that was given last. */
  #given: number | null = null;
  #failure: Error | null = null;
  #planError: { readonly error: unknown } | null = null;
  #wake: (() => void) | null = null;

  constructor(
    plan: Iterator<PlannedJob, void, undefined>,
    helpers: Helpers,
    options: StreamOptions,
  ) {
    const threads = helpers.count + 1;
    const slotBytes = 8 * (options.jobNumbers + options.resultNumbers);
    const wanted = Math.min(SLOTS_PER_THREAD * threads, Math.floor(SLOT_BYTES / slotBytes));
    const slots = threads === 1 ? 1 : Math.max(threads, wanted);
    const memory = makeRing(slots, options.jobNumbers, options.resultNumbers);
    this.#plan = plan;
    this.#ring = new Ring(memory);
    this.#runner = new JobRunner(helpers.kernel);
    this.#helpers = helpers;
    helpers.begin(memory, {
      progress: () => this.#wake?.(),
      end: (error) => {
        if (this.#ring.isClosed) return;
        this.#failure ??= error;
        this.#wake?.();
      },
    });
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

  /** Lets the helpers end; whatever was not asked for is dropped. */
  async close(): Promise<void> {
    this.#ring.close();
    await this.#helpers.end();
  }

  #fill(): void {
    while (this.#pending.length < this.#ring.slots) {
      const planned = this.#planNext();
      if (planned === null) break;
      const slot = this.#next % this.#ring.slots;
      this.#next += 1;
      this.#ring.publish(slot, planned.job);
      this.#pending.push({ planned, slot });
    }
    if (this.#planError !== null && this.#pending.length === 0) throw this.#planError.error;
  }

  /** Null at the end of the plan. What stops it is told after the jobs before it. */
  #planNext(): PlannedJob | null {
    if (this.#planError !== null) return null;
    try {
      return this.#plan.next().value ?? null;
    } catch (error) {
      this.#planError = { error };
      return null;
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
