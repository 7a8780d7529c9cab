/** What a run says of logits that are stored of some positions alone, in few bits. */

import { MAX_INT32 } from "./bounds.ts";
import type { RunMetadata } from "./dump.ts";
import { isJsonObject, type JsonObject } from "./json.ts";

/** Of every sample alike: row r of its logits is of token `firstToken` + r, and the one behind the last row is its last token. */
export interface ScoredLogits {
  readonly firstToken: number;
  readonly rows: number;
}

/** The value of `run.capture.logits`. `quantum` is the largest step between two log-probabilities, in nats. */
export function scoredLogitsJson(scored: ScoredLogits, quantum: number): JsonObject {
  return { first_token: scored.firstToken, rows: scored.rows, quantum };
}

/** Reads `run.capture.logits`, whoever wrote it; null where all rows are stored, as numbers of their dtype. */
export function scoredLogits({ capture }: RunMetadata): ScoredLogits | null {
  const logits = isJsonObject(capture) ? capture["logits"] : undefined;
  if (!isJsonObject(logits)) return null;
  const { first_token: firstToken, rows } = logits;
  return isCount(firstToken) && isCount(rows) ? { firstToken, rows } : null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= MAX_INT32;
}
