/** JSON out of a file: bounded in size and depth, and an object. */

import type { ErrorCode } from "../core/errors.ts";
import { reasonOf } from "../core/errors.ts";
import { depthOf } from "../core/json-depth.ts";
import { MAX_JSON_BYTES, MAX_JSON_DEPTH } from "./bounds.ts";
import type { DumpFile } from "./dump-file.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Parses `text` as one JSON object. Keys named `__proto__` are left out, at any
 * depth: assigning them elsewhere would change an object's prototype.
 *
 * @param what what the text is, for messages
 * @throws NpuDiffError with `code` where it is no object, too long or nested too deep
 */
export function parseJsonObject(
  file: DumpFile,
  text: string,
  what: string,
  code: ErrorCode,
): JsonObject {
  const fail = (found: string, expected: string, cause?: unknown) =>
    file.fail(
      code,
      `${file.name}: ${what} is not a JSON object`,
      { found, expected },
      undefined,
      cause,
    );
  if (text.length > MAX_JSON_BYTES) {
    throw fail(`${text.length} characters`, `at most ${MAX_JSON_BYTES}`);
  }
  const depth = depthOf(text);
  if (depth > MAX_JSON_DEPTH) {
    throw fail(`nesting ${depth} deep`, `at most ${MAX_JSON_DEPTH}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text, (key, member: unknown) => (key === "__proto__" ? undefined : member));
  } catch (cause) {
    throw fail(reasonOf(cause), "a JSON object", cause);
  }
  if (!isJsonObject(value)) {
    throw fail(Array.isArray(value) ? "an array" : String(value), "a JSON object");
  }
  return value;
}

/** Whether a JSON value is an object, neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
