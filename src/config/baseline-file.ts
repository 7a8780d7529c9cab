/** The file of a baseline: read as a stranger's, written for a review. */

import { existsSync, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { NpuDiffError } from "../core/errors.ts";
import {
  described,
  fields,
  nullable,
  number,
  oneOf,
  type Schema,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import { mismatchOf } from "../core/validate.ts";
import type { Broken, ModelIdentity, PairBaseline, TensorBaseline } from "../judge/baseline.ts";
import { QUALITY_FIGURES, TENSOR_FIGURES } from "../judge/figures.ts";
import { parseJson } from "./parse-json.ts";

/** Figures of all pairs that somebody accepted. */
export interface Baseline {
  readonly schemaVersion: 1;
  readonly pairs: Readonly<Record<string, PairBaseline>>;
}

/** Twenty pairs of four hundred tensors take one of these sixteen MiB. */
const MAX_BYTES = 16 << 20;

/** Where a baseline finds its schema: a path inside the npm package. */
export const BASELINE_SCHEMA_ID = "npu-diff/schema/baseline.schema.json";

function mapOf<T>(inner: SchemaOf<T>): SchemaOf<Readonly<Record<string, T>>> {
  return { type: "object", additionalProperties: inner };
}

function figures(names: object): Readonly<Record<string, SchemaOf<number>>> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, number]));
}

const broken: SchemaOf<Broken> = described("Value of each rule that was broken", mapOf(number));

const tensor: SchemaOf<TensorBaseline> = {
  type: "object",
  properties: { ...figures(TENSOR_FIGURES), broken },
  additionalProperties: false,
};

const pair = fields<PairBaseline>({
  preset: oneOf<PairBaseline["preset"]>("exact", "f64", "f32", "f16", "bf16", "fp8"),
  tokensSha256: nullable(text),
  model: fields<ModelIdentity>({
    id: nullable(text),
    configSha256: nullable(text),
    weightsSha256: nullable(text),
  }),
  quality: {
    type: "object",
    properties: figures(QUALITY_FIGURES),
    additionalProperties: false,
  },
  broken,
  tensors: fields<PairBaseline["tensors"]>({ prefill: mapOf(tensor), decode: mapOf(tensor) }),
});

export const BASELINE_SCHEMA: Schema = fields<Baseline & { readonly $schema: string }>({
  $schema: { const: BASELINE_SCHEMA_ID },
  schemaVersion: { const: 1 },
  pairs: mapOf(pair),
});

/**
 * Reads the baseline at `path`; null where there is none.
 *
 * @throws NpuDiffError `baseline-invalid`
 */
export function readBaseline(path: string): Baseline | null {
  if (!existsSync(path)) return null;
  const file = basename(path);
  const invalid = (at: string, found: string, expected: string): NpuDiffError =>
    new NpuDiffError("baseline-invalid", {
      what: `${at} is no baseline`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: `take ${file} from the last commit, or remove it and write it anew with npu-diff check -u`,
    });
  const stat = statSync(path);
  if (!stat.isFile()) throw invalid(file, "no regular file", "a JSON file");
  if (stat.size > MAX_BYTES) throw invalid(file, `${stat.size} bytes`, `at most ${MAX_BYTES}`);
  const tree = parseJson(readFileSync(path, "utf8"), { comments: false });
  if ("found" in tree) throw invalid(`${file}:${tree.line}`, tree.found, tree.expected);
  const mismatch = mismatchOf(tree.value, BASELINE_SCHEMA);
  if (mismatch !== null) {
    const { path: at, kind, found, expected } = mismatch;
    const wanted = kind === "missing" ? `the key ${expected.join("")}` : expected.join(", ");
    throw invalid(`${file}:${tree.lineOf(at)}`, found, wanted);
  }
  const { pairs } = tree.value as unknown as Baseline;
  return {
    schemaVersion: 1,
    pairs: Object.fromEntries(
      Object.entries(pairs).map(([name, one]) => [
        name,
        {
          ...one,
          quality: revived(one.quality),
          broken: revived(one.broken),
          tensors: revived(one.tensors),
        },
      ]),
    ),
  };
}

/** The words that stand for numbers that JSON lacks. */
const WORDS: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

/** `value`, which holds numbers alone, with the words for them as numbers. */
function revived<T>(value: T): T {
  const inner = (part: unknown): unknown => {
    if (typeof part === "string") return WORDS[part];
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, one]) => [key, inner(one)]));
  };
  return inner(value) as T;
}

/**
 * The text of a baseline, ending with a newline: sorted, one tensor a line, so that
 * a review shows which figures moved. The same figures give the same bytes.
 */
export function baselineText({ pairs }: Baseline): string {
  const entries = sorted(pairs).map(
    ([name, one]) => `    ${JSON.stringify(name)}: ${pairText(one)}`,
  );
  return `{
  "$schema": ${JSON.stringify(BASELINE_SCHEMA_ID)},
  "schemaVersion": 1,
  "pairs": ${block(entries, "  ")}
}
`;
}

function pairText(one: PairBaseline): string {
  const steps = (["prefill", "decode"] as const).map((step) => {
    const tensors = sorted(one.tensors[step]).map(
      ([name, known]) => `          ${JSON.stringify(name)}: ${line(known)}`,
    );
    return `        ${JSON.stringify(step)}: ${block(tensors, "        ")}`;
  });
  const lines = [
    `      "preset": ${line(one.preset)}`,
    `      "tokensSha256": ${line(one.tokensSha256)}`,
    `      "model": ${line(one.model)}`,
    `      "quality": ${line(one.quality)}`,
    `      "broken": ${line(one.broken)}`,
    `      "tensors": ${block(steps, "      ")}`,
  ];
  return block(lines, "    ");
}

/** An object of lines that are already indented; the closing brace by `indent`. */
function block(lines: readonly string[], indent: string): string {
  return lines.length === 0 ? "{}" : `{\n${lines.join(",\n")}\n${indent}}`;
}

/** A value on one line, with words for the numbers that JSON lacks. */
function line(value: unknown): string {
  if (typeof value === "number" && !Number.isFinite(value)) return JSON.stringify(String(value));
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const parts = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${line(one)}`);
  return parts.length === 0 ? "{}" : `{ ${parts.join(", ")} }`;
}

/** By name, numbers in it by their value: `layers.2` before `layers.10`. */
function sorted<T>(record: Readonly<Record<string, T>>): readonly (readonly [string, T])[] {
  const key = (name: string): string =>
    name.replaceAll(/\d+/g, (digits) => digits.padStart(12, "0"));
  return Object.entries(record)
    .map(([name, value]) => ({ name, value, key: key(name) }))
    .sort((a, b) => compareTexts(a.key, b.key) || compareTexts(a.name, b.name))
    .map(({ name, value }) => [name, value] as const);
}

/** By code units, as on every machine. */
function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
