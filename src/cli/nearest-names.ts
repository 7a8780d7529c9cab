/** Names that someone may have meant. */

import { nearest } from "../core/nearest.ts";

/** Names that are offered. */
const OFFERED = 3;

/** The nearest of `known`, the nearest first; then those that hold `name` or end in it. */
export function nearestNames(name: string, known: readonly string[]): readonly string[] {
  const found: string[] = [];
  let rest = known;
  while (found.length < OFFERED) {
    const next =
      nearest(name, rest) ?? rest.find((one) => one.includes(name) || name.includes(one));
    if (next === undefined) break;
    found.push(next);
    rest = rest.filter((one) => one !== next);
  }
  return found;
}
