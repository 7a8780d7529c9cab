/** What a shell makes of an unquoted `npu.rank*.arrow`: several words that are one dump. */

import { patternOfRanks } from "../dump/rank-paths.ts";

/** `words` with the files of several ranks of one run, where they follow each other, as their pattern. */
export function gatherRanks(words: readonly string[]): readonly string[] {
  const gathered: string[] = [];
  let before: string | null = null;
  for (const word of words) {
    const pattern = patternOfRanks(word);
    if (pattern === null || pattern !== before) gathered.push(word);
    else gathered.splice(-1, 1, pattern);
    before = pattern;
  }
  return gathered;
}
