/** Compares the pairs of a check one after another; what cannot be compared stops none of the others. */

import { compareDumps } from "../compare.ts";
import type { ResolvedPair } from "../config/resolve.ts";
import type { PairOutcome } from "../core/check-result.ts";
import type { NpuDiffError } from "../core/errors.ts";
import type { CompareObserver, CompareOptions } from "../core/options.ts";
import type { ComparisonResult } from "../core/result.ts";
import { filesAt } from "../dump/dump-folder.ts";
import { asNpuDiffError } from "./failures.ts";

/** Whom a check tells how far it is. */
export interface CheckObserver {
  readonly compare: CompareObserver;
  compared(name: string, result: ComparisonResult): Promise<void>;
  failed(name: string, error: NpuDiffError): Promise<void>;
}

/** The files that the pairs read, as far as they can be found. */
export function filesOf(pairs: readonly ResolvedPair[]): readonly string[] {
  return pairs.flatMap(({ options: { reference, candidate, floors, forced, lmHead } }) =>
    [...[reference, candidate, ...floors, ...forced], ...(lmHead === null ? [] : [lmHead])].flatMap(
      (path) => {
        try {
          return filesAt(path);
        } catch {
          // Whoever opens it says what is wrong.
          return [path];
        }
      },
    ),
  );
}

/**
 * @param how `details`: whether single tokens and elements are kept, which the page shows
 * @param finish what is added to the result of a pair, such as what the baseline says; may throw.
 */
export async function checkPairs(
  pairs: readonly ResolvedPair[],
  how: Pick<CompareOptions, "jobs" | "details">,
  observer: CheckObserver,
  finish: (pair: ResolvedPair, result: ComparisonResult) => ComparisonResult,
): Promise<readonly PairOutcome[]> {
  const outcomes: PairOutcome[] = [];
  for (const pair of pairs) {
    outcomes.push(await checkPair(pair, how, observer, finish));
  }
  return outcomes;
}

async function checkPair(
  pair: ResolvedPair,
  how: Pick<CompareOptions, "jobs" | "details">,
  observer: CheckObserver,
  finish: (pair: ResolvedPair, result: ComparisonResult) => ComparisonResult,
): Promise<PairOutcome> {
  const { name, options } = pair;
  try {
    const compared = await compareDumps({ ...options, ...how }, observer.compare);
    const result = finish(pair, compared);
    await observer.compared(name, result);
    return { name, verdict: result.verdict, result, error: null };
  } catch (thrown) {
    const error = asNpuDiffError(thrown);
    await observer.failed(name, error);
    const { code, message, facts, help } = error;
    return { name, verdict: "error", result: null, error: { code, what: message, facts, help } };
  }
}
