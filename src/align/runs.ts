/** Which dumps can be compared with each other, by what their runs say of themselves. */

import { type ErrorCode, NpuDiffError } from "../core/errors.ts";
import type { Dump } from "../dump/dump.ts";
import { replayOf, shownReplay } from "./replay.ts";

/**
 * How two runs relate: `plain` where each computed its own residual stream, so
 * that errors propagate; `isolated` where both read one stream, so that every
 * tensor stands for itself.
 */
export type RunRelation = "plain" | "isolated";

/**
 * How `reference` and `candidate` relate. A replay, which inherits no error,
 * must not be judged as if it did: it can be compared only with a run whose
 * stream it was fed with, or with another replay of that stream.
 *
 * @throws NpuDiffError `replay`.
 */
export function relationOfRuns(reference: Dump, candidate: Dump): RunRelation {
  const [mine, theirs] = [replayOf(reference), replayOf(candidate)];
  if (mine === null && theirs === null) return "plain";
  if (theirs === null) {
    const isForced = mine?.id === candidate.run.id;
    throw replayError("replay", reference, candidate, {
      what: `${reference.file} is a replay of another dump, not a run of its own`,
      help: isForced
        ? `give it with --forced ${reference.file}, and the reference itself as the reference`
        : "give the dump that was captured without a replay as the reference",
    });
  }
  if (theirs.id !== null && theirs.id === streamOf(reference)) return "isolated";
  throw replayError("replay", candidate, reference, {
    what: `${candidate.file} is a replay, but not of the reference's residual stream`,
    help: "compare the dump that was captured without a replay, or replay the reference",
  });
}

/**
 * Refuses a floor that was not made as the candidate was: a plain run beside
 * plain runs, a replay of the same stream beside an isolated replay.
 *
 * @throws NpuDiffError `replay`, or `floor-incompatible` where it is no replay but must be one.
 */
export function refuseUnrelatedFloor(floor: Dump, reference: Dump, relation: RunRelation): void {
  const replay = replayOf(floor);
  if (relation === "plain") {
    if (replay === null) return;
    throw replayError("replay", floor, reference, {
      what: `the floor ${floor.file} is a replay, not a run of its own`,
      help: "make the floor without a replay; a forced reference is given with --forced",
    });
  }
  if (replay !== null && replay.id !== null && replay.id === streamOf(reference)) return;
  throw replayError("floor-incompatible", floor, reference, {
    what: `the candidate is an isolated replay, and the floor ${floor.file} is not one of the same stream`,
    help: `make the floor with npu-dump replay ${reference.file}, in the candidate's precision`,
  });
}

/** Id of the dump whose residual stream the modules of `dump` were given: its own where it is no replay. */
function streamOf(dump: Dump): string | null {
  const replay = replayOf(dump);
  return replay === null ? dump.run.id : replay.id;
}

function replayError(
  code: ErrorCode,
  at: Dump,
  other: Dump,
  texts: { readonly what: string; readonly help: string },
): NpuDiffError {
  const describe = (dump: Dump): string => `${dump.file}   id ${dump.run.id}, ${shownReplay(dump)}`;
  return new NpuDiffError(code, {
    what: texts.what,
    facts: [
      { label: "found", text: describe(at) },
      { label: "beside", text: describe(other) },
    ],
    help: texts.help,
  });
}
