import { availableParallelism } from "node:os";
import type { Arguments } from "./arguments.ts";

/** More threads than this wait for the memory that they share. */
const DEFAULT_JOBS = 8;
const MAX_JOBS = 64;

/** How many threads measure: `--jobs`, or as many as there are processors. */
export function readJobs(args: Arguments): number {
  return args.integer("jobs", 1, MAX_JOBS) ?? Math.min(DEFAULT_JOBS, availableParallelism());
}
