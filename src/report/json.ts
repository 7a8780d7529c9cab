/** The result of a comparison as JSON, for machines. */

import { escapeJson } from "../core/escape.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { Schema } from "../core/schema.ts";
import { RESULT_SCHEMA, RESULT_SCHEMA_ID } from "./result-schema.ts";

/**
 * The result as JSON, ending with a newline. The same result gives the same
 * bytes: keys are in the order of the schema, whatever order they were made in,
 * and nothing depends on the time. NaN and infinities are the strings `"NaN"`,
 * `"Infinity"` and `"-Infinity"`, because JSON has no numbers for them.
 */
export function renderJson(result: ComparisonResult): string {
  return orderedJson({ $schema: RESULT_SCHEMA_ID, ...result }, RESULT_SCHEMA);
}

/** {@link machineJson} with keys in the order of `schema`. */
export function orderedJson(document: object, schema: Schema): string {
  return machineJson(ordered(document, schema));
}

/**
 * `value` as indented JSON with a final newline; what is no finite number becomes a
 * string, and what cannot be seen in a string an escape of the same character.
 */
export function machineJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_key, part: unknown) =>
      typeof part === "number" && !Number.isFinite(part) ? String(part) : part,
    2,
  );
  return `${escapeJson(text)}\n`;
}

/** The published JSON Schema of {@link renderJson}, ending with a newline. */
export function renderResultSchema(): string {
  return publishedSchema(RESULT_SCHEMA, {
    id: RESULT_SCHEMA_ID,
    source: "src/report/result-schema.ts",
    title: "Result of npu-diff compare",
  });
}

/** What a published schema says of itself. */
interface Publication {
  readonly id: string;
  /** The file that it is generated from. */
  readonly source: string;
  readonly title: string;
}

/** `schema` as a document of its own, ending with a newline. */
export function publishedSchema(schema: Schema, { id, source, title }: Publication): string {
  return machineJson({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: id,
    $comment: `Generated from ${source} by the tests: npx vitest run test/report --update`,
    title,
    ...schema,
  });
}

function ordered(value: unknown, schema: Schema | undefined): unknown {
  if (Array.isArray(value)) {
    const items = concrete(schema, "array")?.items;
    return value.map((item) => ordered(item, items));
  }
  if (typeof value !== "object" || value === null) return value;
  const properties = concrete(schema, "object")?.properties;
  const source = value as Readonly<Record<string, unknown>>;
  // What the schema does not describe (run metadata) stays in its own order.
  const keys = properties === undefined ? Object.keys(source) : Object.keys(properties);
  return Object.fromEntries(keys.map((key) => [key, ordered(source[key], properties?.[key])]));
}

/** The branch of a nullable schema that describes a value. */
function concrete(schema: Schema | undefined, type: string): Schema | undefined {
  if (schema?.type === type) return schema;
  return schema?.anyOf?.find((branch) => branch.type === type);
}
