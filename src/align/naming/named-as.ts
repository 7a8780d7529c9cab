/** Under which names tensors are compared, for the report. */

import type { MapSource } from "../../core/name-map.ts";
import type { MapUse } from "./apply-map.ts";

/** Some names of one side that are compared as others. Names may be templates. */
export interface NamedAs {
  readonly side: "reference" | "candidate";
  readonly from: string;
  readonly to: string;
  /** A stable word: `by-map`, `by-module`, `by-pattern`, `by-fusion`. */
  readonly reason: string;
  readonly names: number;
}

/** What a map did. */
export function namedByMap(uses: readonly MapUse[]): readonly NamedAs[] {
  return uses.map(({ rule, side, names }) => ({
    side,
    from: shownSource(rule.from),
    to: rule.name,
    reason: "by-map",
    names,
  }));
}

/** `q.{i} + k.{i}`, `qkv.{i}[0:576]`. */
function shownSource(from: MapSource): string {
  if (typeof from === "string") return from;
  if ("concat" in from) return from.concat.join(" + ");
  return `${from.slice}[${from.start}:${from.start + from.length}]`;
}
