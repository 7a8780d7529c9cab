/** A report that was stored as JSON, read as a stranger's. */

import type { CheckResult } from "../core/check-result.ts";
import { worstOf } from "../core/check-result.ts";
import { NpuDiffError, reasonOf } from "../core/errors.ts";
import { depthOf } from "../core/json-depth.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { Schema } from "../core/schema.ts";
import { mismatchOf } from "../core/validate.ts";
import { verdictOf } from "../core/verdict-of.ts";
import { CHECK_SCHEMA, CHECK_SCHEMA_ID } from "./check/json.ts";
import { RESULT_SCHEMA } from "./result-schema.ts";

/** What was stored: the result of `compare`, or of `check`. */
export type Stored =
  | { readonly kind: "comparison"; readonly result: ComparisonResult }
  | { readonly kind: "check"; readonly result: CheckResult };

/** Deeper than any report; only run metadata nest at will, and those of a dump no deeper than this. */
const MAX_DEPTH = 128;

/**
 * Reads a stored report. One whose verdict is another than its findings say is
 * refused: somebody changed it.
 *
 * @param file name of the file, for messages
 * @throws NpuDiffError `result-invalid`
 */
export function readStored(text: string, file: string): Stored {
  const invalid = (found: string, expected: string): NpuDiffError =>
    new NpuDiffError("result-invalid", {
      what: `${file} is no result of npu-diff compare or npu-diff check`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "store it anew: npu-diff compare … -o result.json",
    });
  const depth = depthOf(text);
  if (depth > MAX_DEPTH) throw invalid(`nesting ${depth} deep`, `at most ${MAX_DEPTH}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(reasonOf(error), "JSON");
  }
  value = completed(value);
  const id = (value as { readonly $schema?: unknown } | null)?.$schema;
  const schema = id === CHECK_SCHEMA_ID ? CHECK_SCHEMA : RESULT_SCHEMA;
  const mismatch = mismatchOf(value, schema);
  if (mismatch !== null) {
    const { path, kind, expected, found } = mismatch;
    const at = path.join(".") || "the document";
    if (kind === "unknown") throw invalid(`the key ${at}`, "no such key");
    if (kind === "missing") throw invalid(`no ${[...path, ...expected].join(".")}`, "the key");
    throw invalid(`${found} at ${at}`, expected.join(", "));
  }
  const result = withoutId(revived(value, schema) as object);
  const fault =
    id === CHECK_SCHEMA_ID
      ? faultOfCheck(result as CheckResult)
      : faultOf(result as ComparisonResult);
  if (fault !== null) throw invalid(fault, "a verdict that follows from the findings");
  return id === CHECK_SCHEMA_ID
    ? { kind: "check", result: withoutIds(result as CheckResult) }
    : { kind: "comparison", result: result as ComparisonResult };
}

/** What results of the first releases lack, as they would have it. */
const LATER = { lens: null };

/** `value` with what was added to results since it was stored; a schema finds whatever else is wrong. */
function completed(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const { pairs } = value as { readonly pairs?: unknown };
  if (!Array.isArray(pairs)) return { ...LATER, ...value };
  const withResult = (pair: unknown): unknown => {
    const { result } = (pair ?? {}) as { readonly result?: unknown };
    if (typeof result !== "object" || result === null) return pair;
    return { ...(pair as object), result: { ...LATER, ...result } };
  };
  return { ...value, pairs: pairs.map(withResult) };
}

/** What in a result contradicts its verdict; null where nothing does. */
function faultOf(result: ComparisonResult): string | null {
  const { verdict, findings, tensors, rules, stopped } = result;
  const says = verdictOf(findings);
  if (says !== verdict && !(stopped && verdict === "inconclusive")) {
    return `verdict ${verdict}, findings that say ${says}`;
  }
  if (verdict === "pass" && stopped) return "a pass that was stopped before its end";
  const other = tensors.find((tensor) => tensor.verdict !== "pass");
  if (verdict === "pass" && other !== undefined) {
    return `verdict pass, and ${other.verdict} of ${other.name}`;
  }
  if (tensors.length === 0 && !rules.some(({ applied }) => applied)) return "nothing compared";
  return null;
}

function faultOfCheck({ verdict, pairs }: CheckResult): string | null {
  const worst = worstOf(pairs.map((pair) => pair.verdict));
  if (worst !== verdict) return `verdict ${verdict}, pairs that say ${worst}`;
  for (const pair of pairs) {
    const { name, result, error } = pair;
    if ((result === null) === (error === null)) return `no result or two of ${name}`;
    const says = result === null ? "error" : result.verdict;
    if (says !== pair.verdict) return `verdict ${pair.verdict}, and ${says} of ${name}`;
    const fault = result === null ? null : faultOf(result);
    if (fault !== null) return `${fault}, in ${name}`;
  }
  return null;
}

/** Each result of a check says by itself what schema it has. */
function withoutIds(check: CheckResult): CheckResult {
  return {
    ...check,
    pairs: check.pairs.map((pair) =>
      pair.result === null ? pair : { ...pair, result: withoutId(pair.result) as ComparisonResult },
    ),
  };
}

function withoutId(document: object): object {
  return Object.fromEntries(Object.entries(document).filter(([key]) => key !== "$schema"));
}

/** The words that stand for numbers that JSON lacks, as numbers where the schema has numbers. */
function revived(value: unknown, schema: Schema): unknown {
  const branches = branchesOf(schema);
  if (typeof value === "string") {
    return branches.some(({ type }) => type === "number") &&
      !branches.some(({ type }) => type === "string")
      ? Number(value)
      : value;
  }
  if (Array.isArray(value)) {
    const items = branches.find(({ type }) => type === "array")?.items;
    return items === undefined ? value : value.map((item) => revived(item, items));
  }
  if (typeof value !== "object" || value === null) return value;
  const properties = branches.find(({ type }) => type === "object")?.properties;
  if (properties === undefined) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, revived(inner, properties[key] ?? {})]),
  );
}

function branchesOf(schema: Schema): readonly Schema[] {
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(branchesOf);
}
