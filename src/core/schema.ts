/** The parts that a JSON Schema is made of, each tied to the type that it describes. */

/** A JSON Schema, as far as it is used here. */
export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly (string | number)[];
  readonly const?: string | number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  /** The schema of every key. */
  readonly propertyNames?: Schema;
  /** Another published schema, beside this one. */
  readonly $ref?: string;
  readonly anyOf?: readonly Schema[];
}

/** The schema of the JSON form of a `T`; the type parameter exists for the compiler only. */
export interface SchemaOf<T> extends Schema {
  readonly "~type"?: T;
}

export const text: SchemaOf<string> = { type: "string" };
/** Of a file or a folder. */
export const path: SchemaOf<string> = { type: "string", pattern: "^[^\\u0000]+$" };
export const flag: SchemaOf<boolean> = { type: "boolean" };
export const nothing: SchemaOf<null> = { type: "null" };
export const anything: SchemaOf<unknown> = {};
export const count: SchemaOf<number> = { type: "integer", minimum: 0 };
/** JSON has no NaN and no infinities: they are strings. */
export const number: SchemaOf<number> = {
  anyOf: [{ type: "number" }, { enum: ["NaN", "Infinity", "-Infinity"] }],
};

export function oneOf<T extends string>(...values: readonly T[]): SchemaOf<T> {
  return { enum: values };
}

export function list<T>(items: SchemaOf<T>): SchemaOf<readonly T[]> {
  return { type: "array", items };
}

export function pair<T>(items: SchemaOf<T>): SchemaOf<readonly [T, T]> {
  return { type: "array", items, minItems: 2, maxItems: 2 };
}

export function nullable<T>(schema: SchemaOf<T>): SchemaOf<T | null> {
  return { anyOf: [schema, nothing] };
}

/** Exactly the fields of `T`, all of them required. */
export function fields<T>(properties: { readonly [K in keyof T]-?: SchemaOf<T[K]> }): SchemaOf<T> {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

/** Some of the fields of `T`, each with a description for editors. */
export function options<T>(
  properties: {
    readonly [K in keyof T]-?: SchemaOf<NonNullable<T[K]>>;
  },
): SchemaOf<T> {
  return { type: "object", properties, additionalProperties: false };
}

/** `schema` with what an editor shows of it. */
export function described<T>(description: string, schema: SchemaOf<T>): SchemaOf<T> {
  return { description, ...schema };
}
