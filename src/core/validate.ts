/** Holds a value that came out of a file to a schema. */

import type { Schema } from "./schema.ts";

/** The first place where a value is not what its schema says. */
export interface Mismatch {
  /** Keys and indexes from the outside in. */
  readonly path: readonly (string | number)[];
  /** A key that is unknown, one that is missing, or a value that is another. */
  readonly kind: "unknown" | "missing" | "value";
  /** What would be right: the known keys, the missing key, or the values. */
  readonly expected: readonly string[];
  readonly found: string;
}

/** Characters of a value that a message quotes. */
const QUOTED = 60;

/**
 * Where `value` first differs from what `schema` says; null where it does nowhere.
 *
 * Parts that the schema leaves free are not looked into: the depth of the
 * recursion is the schema's own.
 */
export function mismatchOf(value: unknown, schema: Schema): Mismatch | null {
  return mismatchAt(value, schema, []);
}

function mismatchAt(value: unknown, schema: Schema, path: Mismatch["path"]): Mismatch | null {
  const wrong = (): Mismatch => ({
    path,
    kind: "value",
    expected: wordsFor(schema),
    found: shown(value),
  });
  if (schema.anyOf !== undefined) return mismatchOfAny(value, schema.anyOf, wrong, path);
  if (schema.const !== undefined && value !== schema.const) return wrong();
  if (schema.enum !== undefined && !schema.enum.some((one) => one === value)) return wrong();
  switch (schema.type) {
    case undefined:
      return null;
    case "object":
      return isObject(value) ? mismatchOfObject(value, schema, path) : wrong();
    case "array":
      return Array.isArray(value) ? mismatchOfArray(value, schema, path, wrong) : wrong();
    default:
      return isScalarOf(value, schema) ? null : wrong();
  }
}

function mismatchOfAny(
  value: unknown,
  branches: readonly Schema[],
  wrong: () => Mismatch,
  path: Mismatch["path"],
): Mismatch | null {
  const meant = branches.filter((branch) => isOfType(value, branch));
  const found = meant.map((branch) => mismatchAt(value, branch, path));
  if (found.includes(null)) return null;
  // Of one branch that was meant, what is wrong inside says more than that none fits.
  return found.length === 1 ? (found[0] ?? wrong()) : wrong();
}

/** Whether `value` has the type that `schema` asks for, whatever is inside. */
function isOfType(value: unknown, schema: Schema): boolean {
  switch (schema.type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case undefined:
    default:
      return mismatchAt(value, schema, []) === null;
  }
}

function mismatchOfObject(
  value: Readonly<Record<string, unknown>>,
  schema: Schema,
  path: Mismatch["path"],
): Mismatch | null {
  const { properties = {}, additionalProperties = true, required = [], propertyNames } = schema;
  for (const [key, inner] of Object.entries(value)) {
    const at = [...path, key];
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (known === undefined && additionalProperties === false) {
      return { path: at, kind: "unknown", expected: Object.keys(properties), found: shown(key) };
    }
    const named = propertyNames === undefined ? null : mismatchAt(key, propertyNames, at);
    if (named !== null) return named;
    const rule = known ?? (typeof additionalProperties === "object" ? additionalProperties : {});
    const mismatch = mismatchAt(inner, rule, at);
    if (mismatch !== null) return mismatch;
  }
  const missing = required.find((key) => !Object.hasOwn(value, key));
  return missing === undefined
    ? null
    : { path, kind: "missing", expected: [missing], found: "nothing" };
}

function mismatchOfArray(
  value: readonly unknown[],
  { items, minItems = 0, maxItems = Number.POSITIVE_INFINITY }: Schema,
  path: Mismatch["path"],
  wrong: () => Mismatch,
): Mismatch | null {
  if (value.length < minItems || value.length > maxItems) {
    return { ...wrong(), found: `a list of ${value.length}` };
  }
  if (items === undefined) return null;
  for (const [index, inner] of value.entries()) {
    const mismatch = mismatchAt(inner, items, [...path, index]);
    if (mismatch !== null) return mismatch;
  }
  return null;
}

function isScalarOf(value: unknown, schema: Schema): boolean {
  const { type, minimum = -Infinity, maximum = Infinity, pattern } = schema;
  switch (type) {
    case "string":
      return (
        typeof value === "string" && (pattern === undefined || new RegExp(pattern, "u").test(value))
      );
    case "boolean":
      return typeof value === "boolean";
    case "null":
      return value === null;
    case "integer":
      return Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum;
    case "number":
      return Number.isFinite(value) && Number(value) >= minimum && Number(value) <= maximum;
    case undefined:
    default:
      return false;
  }
}

/** What a value of `schema` may be, in words. */
function wordsFor(schema: Schema): readonly string[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap(wordsFor);
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one));
  const { minimum, maximum } = schema;
  switch (schema.type) {
    case "integer":
    case "number": {
      const noun = schema.type === "integer" ? "a whole number" : "a number";
      if (minimum === undefined) return [noun];
      return [
        maximum === undefined
          ? `${noun}, at least ${minimum}`
          : `${noun} from ${minimum} to ${maximum}`,
      ];
    }
    case "array": {
      const inner = schema.items === undefined ? [] : wordsFor(schema.items);
      const noun = inner.length === 1 ? `a list, each ${inner[0] ?? ""}` : "a list";
      const { minItems = 0, maxItems } = schema;
      if (maxItems !== undefined) return [`${noun}, ${minItems} to ${maxItems} of them`];
      return [minItems > 0 ? `${noun}, at least ${minItems}` : noun];
    }
    case "string":
      return [schema.pattern === undefined ? "a text" : `a text that matches ${schema.pattern}`];
    case "boolean":
      return ["true or false"];
    case "object":
      return ["an object"];
    case "null":
      return ["null"];
    case undefined:
    default:
      return ["anything"];
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in a message, shortened; of a list or an object only its kind. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isObject(value)) return "an object";
  // A number of a YAML file may be infinite.
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, QUOTED)) : String(value);
  return typeof value === "string" && value.length > QUOTED ? `${text}…` : text;
}
