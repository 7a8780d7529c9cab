/** Whether a dump is a run that can be compared by itself. */

import { NpuDiffError } from "../core/errors.ts";
import type { Dump } from "../dump/dump.ts";

/**
 * Refuses a dump that is only a part of its run, or no run of its own: ranks
 * that are not there cannot be judged, and a replay, which inherits no error,
 * must not be judged as if it did.
 *
 * @throws NpuDiffError `rank-missing` or `replay`.
 */
export function refusePartOfARun(dump: Dump): void {
  const size = member(dump.run["parallel"], "world_size");
  const ranks = new Set(dump.tensors.map(({ rank }) => rank)).size;
  if (typeof size === "number" && size > 1 && ranks < size) {
    throw new NpuDiffError("rank-missing", {
      what: `${dump.file} holds a part of its run only`,
      facts: [
        { label: "run", text: `${String(size)} ranks` },
        { label: "file", text: `${String(ranks)} of them` },
      ],
      help: "capture the model on one rank, or gather the ranks' tensors into one dump",
    });
  }
  const replay = member(dump.run["capture"], "replay_of") ?? null;
  if (replay !== null) {
    throw new NpuDiffError("replay", {
      what: `${dump.file} is a replay of another dump, not a run of its own`,
      facts: [
        { label: "found", text: `capture.replay_of ${JSON.stringify(replay).slice(0, 200)}` },
        { label: "expected", text: "a run that computed its own residual stream" },
      ],
      help: "compare the dump that was captured without a replay",
    });
  }
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
