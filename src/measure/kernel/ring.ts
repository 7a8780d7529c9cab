/**
 * A ring of slots in shared memory: jobs are published in order, run by whichever
 * thread is free, and taken in order. What comes out therefore does not depend on
 * how many threads there are.
 */

import { decodeJob, encodeJob, type Job, numbersOf } from "./job.ts";
import type { JobRunner } from "./run-job.ts";

/** What a slot is. */
const STATE = { free: 0, ready: 1, running: 2, done: 3, failed: 4 } as const;

// Words of the control block; the slots' states follow.
const CLOSED = 0;
/** Jobs published so far: helpers sleep on it. */
const PUBLISHED = 1;
/** Whether the thread that takes results sleeps, and wants to be told. */
const WAITING = 2;
const CONTROL_WORDS = 3;

/** The memory that all threads share. */
export interface RingMemory {
  readonly control: SharedArrayBuffer;
  readonly numbers: SharedArrayBuffer;
  readonly slots: number;
  /** Numbers of a slot's job, and of its result. */
  readonly jobNumbers: number;
  readonly resultNumbers: number;
}

export function makeRing(slots: number, jobNumbers: number, resultNumbers: number): RingMemory {
  return {
    control: new SharedArrayBuffer((CONTROL_WORDS + slots) * 4),
    numbers: new SharedArrayBuffer(slots * (jobNumbers + resultNumbers) * 8),
    slots,
    jobNumbers,
    resultNumbers,
  };
}

export class Ring {
  readonly #memory: RingMemory;
  readonly #control: Int32Array;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.#control = new Int32Array(memory.control);
  }

  get slots(): number {
    return this.#memory.slots;
  }

  /** Puts a job into a free slot. */
  publish(slot: number, job: Job): void {
    const { jobNumbers } = this.#memory;
    if (numbersOf(job) > jobNumbers) throw new RangeError(`a job of ${numbersOf(job)} numbers`);
    encodeJob(job, this.#job(slot));
    Atomics.store(this.#control, CONTROL_WORDS + slot, STATE.ready);
    Atomics.add(this.#control, PUBLISHED, 1);
    Atomics.notify(this.#control, PUBLISHED, 1);
  }

  /** Runs the job of a slot, if no other thread has begun it. An error is for whoever takes the result: {@link hasFailed}. */
  tryRun(slot: number, runner: JobRunner): boolean {
    const at = CONTROL_WORDS + slot;
    const before = Atomics.compareExchange(this.#control, at, STATE.ready, STATE.running);
    if (before !== STATE.ready) return false;
    let state: number = STATE.failed;
    try {
      runner.run(decodeJob(this.#job(slot)), this.result(slot));
      state = STATE.done;
    } catch {
      // Run again by whoever takes the result, it fails again and says why.
    }
    Atomics.store(this.#control, at, state);
    return true;
  }

  isDone(slot: number): boolean {
    return Atomics.load(this.#control, CONTROL_WORDS + slot) === STATE.done;
  }

  hasFailed(slot: number): boolean {
    return Atomics.load(this.#control, CONTROL_WORDS + slot) === STATE.failed;
  }

  setDone(slot: number): void {
    Atomics.store(this.#control, CONTROL_WORDS + slot, STATE.done);
  }

  free(slot: number): void {
    Atomics.store(this.#control, CONTROL_WORDS + slot, STATE.free);
  }

  result(slot: number): Float64Array {
    const { jobNumbers, resultNumbers, numbers } = this.#memory;
    const at = slot * (jobNumbers + resultNumbers) + jobNumbers;
    return new Float64Array(numbers, at * 8, resultNumbers);
  }

  get published(): number {
    return Atomics.load(this.#control, PUBLISHED);
  }

  get isClosed(): boolean {
    return Atomics.load(this.#control, CLOSED) === 1;
  }

  /** Ends all helpers. */
  close(): void {
    Atomics.store(this.#control, CLOSED, 1);
    Atomics.add(this.#control, PUBLISHED, 1);
    Atomics.notify(this.#control, PUBLISHED);
  }

  /** Sleeps until more was published than `seen`. */
  waitForMore(seen: number): void {
    Atomics.wait(this.#control, PUBLISHED, seen);
  }

  /** Says whether whoever takes results wants to be told of the next one. */
  setWaiting(waiting: boolean): void {
    Atomics.store(this.#control, WAITING, waiting ? 1 : 0);
  }

  /** Whether to tell; true once. */
  takeWaiting(): boolean {
    return Atomics.exchange(this.#control, WAITING, 0) === 1;
  }

  #job(slot: number): Float64Array {
    const { jobNumbers, resultNumbers, numbers } = this.#memory;
    return new Float64Array(numbers, slot * (jobNumbers + resultNumbers) * 8, jobNumbers);
  }
}
