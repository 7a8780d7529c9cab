/** A map of names as a file (`--map`): what it may say, and its rules. */

import { NpuDiffError } from "../core/errors.ts";
import type { MapRule, MapSide, MapSource } from "../core/name-map.ts";
import { count, described, options, type SchemaOf, text } from "../core/schema.ts";
import { type DocumentKind, readDocument } from "./read-document.ts";

/** Longest name in a map, and the most rules: each is tried on every name. */
const MAX_NAME = 1024;
const MAX_RULES = 256;
const MAX_JOINED = 16;

const name: SchemaOf<string> = { type: "string", pattern: `^[^\\u0000]{1,${MAX_NAME}}$` };

/** What a tensor is made of where it is not one of the file as it is. */
interface MadeOf {
  readonly concat?: readonly string[];
  readonly slice?: string;
  readonly axis?: number;
  readonly start?: number;
  readonly length?: number;
}

type SideMap = Readonly<Record<string, string | MadeOf>>;

/** A map as it is written. */
interface NameMapFile extends Readonly<Partial<Record<MapSide, SideMap>>> {
  readonly $schema?: string;
}

const madeOf: SchemaOf<MadeOf> = options<MadeOf>({
  concat: described("Tensors that are put one beside the other", {
    type: "array",
    items: name,
    minItems: 2,
    maxItems: MAX_JOINED,
  }),
  slice: described("The tensor that this is a range of", name),
  axis: described("Axis along which they are joined or parted, from 0 (default: the last)", count),
  start: described("First index of the range", count),
  length: described("Length of the range", { type: "integer", minimum: 1 }),
});

const side = (whose: string): SchemaOf<SideMap> =>
  described(
    `${whose}: names under which tensors are compared, and what each is in the file. {i} is a number, * any characters`,
    {
      type: "object",
      propertyNames: name,
      additionalProperties: { anyOf: [name, madeOf] },
    },
  );

/** Where a map finds its schema: a path inside the npm package. */
export const MAP_SCHEMA_ID = "npu-diff/schema/map.schema.json";

export const MAP_SCHEMA: SchemaOf<NameMapFile> = options<NameMapFile>({
  $schema: described("For editors", text),
  reference: side("Of the reference, and of floors and forced references with it"),
  candidate: side("Of the candidate"),
  both: side("Of all of them"),
});

const MAP: DocumentKind = {
  noun: "map of names",
  invalid: "map-invalid",
  missing: "map-missing",
  makeNew: 'write one such as {"candidate": {"layers.{i}.attn": "decoder.{i}.attention"}}',
  makeOne: "check the path that --map gives",
};

/**
 * Reads the map at `path`.
 *
 * @param cwd what paths in messages are relative to
 * @throws NpuDiffError `map-missing` or `map-invalid`
 */
export function readNameMap(path: string, cwd: string): readonly MapRule[] {
  const { value, placeOf } = readDocument(path, cwd, MAP_SCHEMA, MAP);
  const rules = (["reference", "candidate", "both"] as const).flatMap((of) =>
    Object.entries(value[of] ?? {}).map(([target, from]): MapRule => {
      const at = placeOf([of, target]);
      return {
        side: of,
        name: target,
        from: typeof from === "string" ? from : sourceOf(from, at),
        at,
      };
    }),
  );
  if (rules.length > 0 && rules.length <= MAX_RULES) return rules;
  throw new NpuDiffError("map-invalid", {
    what: `${placeOf([])} holds ${rules.length === 0 ? "no rules" : "too many rules"}`,
    facts: [
      { label: "found", text: `${rules.length}` },
      { label: "expected", text: `1 to ${MAX_RULES}, under reference, candidate or both` },
    ],
    help: "say which tensors have other names; {i} stands for a number, such as a layer's",
  });
}

function sourceOf({ concat, slice, start, length, ...made }: MadeOf, at: string): MapSource {
  const axis = made.axis ?? null;
  if (concat !== undefined && slice === undefined && start === undefined && length === undefined) {
    return { concat, axis };
  }
  if (slice !== undefined && concat === undefined && length !== undefined) {
    return { slice, axis, start: start ?? 0, length };
  }
  throw new NpuDiffError("map-invalid", {
    what: `${at}: a tensor is either joined or a range of one`,
    facts: [
      {
        label: "found",
        text:
          Object.entries({ concat, slice, start, length })
            .flatMap(([key, value]) => (value === undefined ? [] : [key]))
            .join(", ") || "neither",
      },
      { label: "expected", text: "concat; or slice, start and length; axis with either" },
    ],
    help: 'write {"concat": ["q.{i}", "k.{i}"]} or {"slice": "qkv.{i}", "start": 0, "length": 576}',
  });
}
