/** Facts of a benchmark out of JSON that anybody may have written: what is not as it should be is not known. */

import type { PerformancePoint } from "../../core/performance.ts";
import type { JsonObject } from "../json.ts";

/** Characters of a text that is kept. */
const MAX_TEXT = 200;

/** A finite number that is not negative. */
export function amount(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}

/** A text of one to 200 characters; a longer one is cut. */
export function words(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value.slice(0, MAX_TEXT) : null;
}

export function truth(value: unknown): boolean | null {
  return typeof value === "boolean" ? value : null;
}

/** A point as `run.performance` writes it. */
export function pointOf(value: JsonObject): PerformancePoint {
  return {
    batch: amount(value["batch"]),
    inputTokens: amount(value["input_tokens"]),
    outputTokens: amount(value["output_tokens"]),
    requests: amount(value["requests"]),
    concurrency: amount(value["concurrency"]),
  };
}
