/** Whose residual stream a dump's modules were given (`capture.replay_of`). */

import type { Dump } from "../dump/dump.ts";

/** Metadata is a file's own word, of any length. */
const LONGEST_SHOWN = 200;

/** A dump that is a replay; `id` is null where it does not say of which one. */
export interface Replay {
  readonly id: string | null;
}

/** Null where `dump` computed its own residual stream. */
export function replayOf(dump: Pick<Dump, "run">): Replay | null {
  const stated = stateOf(dump);
  if (stated === null) return null;
  const id = typeof stated === "object" && "id" in stated ? stated.id : null;
  return { id: typeof id === "string" && id !== "" ? id : null };
}

/** What a dump says of its replay, for an error message. */
export function shownReplay(dump: Dump): string {
  const stated = stateOf(dump);
  return stated === null
    ? "no replay"
    : `capture.replay_of ${JSON.stringify(stated).slice(0, LONGEST_SHOWN)}`;
}

/** What stands in the metadata, null where nothing does. */
function stateOf(dump: Pick<Dump, "run">): unknown {
  const capture = dump.run["capture"];
  return typeof capture === "object" && capture !== null && "replay_of" in capture
    ? (capture.replay_of ?? null)
    : null;
}
