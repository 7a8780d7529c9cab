/** Holds the options of a call to what they may be: whoever calls from JavaScript has no compiler that does. */

import { NpuDiffError } from "./errors.ts";
import type { JoinedSource, MapRule, MapSource, SlicedSource } from "./name-map.ts";
import { nearest } from "./nearest.ts";
import {
  type CompareOptions,
  DECISIONS,
  type LevelSetting,
  LIMIT_RANGES,
  type LimitName,
  type LimitOverride,
  type Limits,
  PRESETS,
  TENSOR_LIMITS,
} from "./options.ts";
import {
  count,
  fields,
  flag,
  list,
  nullable,
  oneOf,
  options,
  path,
  type SchemaOf,
  text,
} from "./schema.ts";
import { mismatchOf } from "./validate.ts";

function limitsSchema<N extends LimitName>(
  names: readonly N[],
): SchemaOf<Readonly<Partial<Record<N, number>>>> {
  const ranges = names.map((name) => {
    const { min, max } = LIMIT_RANGES[name];
    const maximum = Number.isFinite(max) ? { maximum: max } : {};
    return [name, { type: "number", minimum: min, ...maximum }] as const;
  });
  return { type: "object", properties: Object.fromEntries(ranges), additionalProperties: false };
}

export const LIMITS_SCHEMA: SchemaOf<Limits> = limitsSchema(
  Object.keys(LIMIT_RANGES) as readonly LimitName[],
);

const axis = nullable<number>({ type: "integer" });

const mapSource: SchemaOf<MapSource> = {
  anyOf: [
    text,
    fields<JoinedSource>({ concat: { ...list(text), minItems: 1 }, axis }),
    fields<SlicedSource>({ slice: text, axis, start: count, length: count }),
  ],
};

/** All options, those of {@link DEFAULT_OPTIONS} filled in. */
export const COMPARE_OPTIONS_SCHEMA: SchemaOf<CompareOptions> = fields<CompareOptions>({
  reference: path,
  candidate: path,
  floors: list(path),
  forced: list(path),
  referencePerformance: nullable(path),
  candidatePerformance: nullable(path),
  lmHead: nullable(path),
  lensTokens: nullable(count),
  preset: oneOf(...PRESETS),
  decide: oneOf(...DECISIONS),
  limits: LIMITS_SCHEMA,
  limitsOfConfig: list(oneOf(...(Object.keys(LIMIT_RANGES) as readonly LimitName[]))),
  overrides: list(
    fields<LimitOverride>({ tensors: list(text), limits: limitsSchema(TENSOR_LIMITS) }),
  ),
  levels: list(
    fields<LevelSetting>({
      rule: text,
      level: oneOf("off", "warning", "error"),
      tensors: nullable(list(text)),
      at: text,
    }),
  ),
  map: list(
    fields<MapRule>({
      side: oneOf("reference", "candidate", "both"),
      name: text,
      from: mapSource,
      at: text,
    }),
  ),
  only: list(text),
  skip: list(text),
  failFast: flag,
  details: flag,
  jobs: { type: "integer", minimum: 1 },
});

/** What a stored result is judged again by. */
export const JUDGE_OPTIONS_SCHEMA: SchemaOf<{
  readonly limits?: Limits;
  readonly decide?: CompareOptions["decide"];
}> = options({ limits: LIMITS_SCHEMA, decide: oneOf(...DECISIONS) });

/**
 * @throws NpuDiffError `usage` where `given` is not what `schema` says: an option that is unknown, of another
 *   type, or out of its range
 */
export function checkOptions(given: object, schema: SchemaOf<unknown>): void {
  const mismatch = mismatchOf(given, schema);
  if (mismatch === null) return;
  const { kind, expected, found } = mismatch;
  const name = [...mismatch.path, ...(kind === "missing" ? expected : [])].join(".");
  const meant = kind === "unknown" ? nearest(name.split(".").at(-1) ?? "", expected) : null;
  throw new NpuDiffError("usage", {
    what:
      kind === "unknown" ? `there is no option ${name}` : `the option ${name} has a wrong value`,
    facts: [
      { label: "found", text: found },
      { label: "expected", text: kind === "missing" ? "a value" : expected.join(", ") },
    ],
    help: meant === null ? `correct ${name}, or leave it out` : `did you mean ${meant}?`,
  });
}
