import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderJson, renderResultSchema } from "../../src/report/json.ts";
import { FAIL_BY_LAYER, NON_FINITE, RESULTS } from "./results.ts";

const CASES = Object.entries<ComparisonResult>(RESULTS);
const validate = new Ajv2020({ allErrors: true }).compile(
  JSON.parse(renderResultSchema()) as Record<string, unknown>,
);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function parse(result: ComparisonResult): Json {
  return JSON.parse(renderJson(result)) as Json;
}

/** Every place in a document, as a path of keys. */
function* places(value: Json, path: readonly string[] = []): Generator<readonly string[]> {
  yield path;
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* places(inner, [...path, key]);
}

function replaced(value: Json, path: readonly string[], by: Json): Json {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  const copy = structuredClone(value) as Record<string, Json>;
  copy[key] = replaced(copy[key] ?? null, rest, by);
  return copy;
}

test("the committed schema is the generated one", async () => {
  await expect(renderResultSchema()).toMatchFileSnapshot("../../schema/result.schema.json");
});

test.each(CASES)("the schema accepts: %s", (_name, result) => {
  expect(validate(parse(result)), JSON.stringify(validate.errors)).toBe(true);
});

describe("the schema rejects", () => {
  // Each place with a type of its own, once: the first tensor and finding stand for all.
  const document = parse({
    ...NON_FINITE,
    findings: FAIL_BY_LAYER.findings.slice(0, 1),
    tensors: FAIL_BY_LAYER.tensors.slice(0, 1),
    quality: FAIL_BY_LAYER.quality,
    rules: FAIL_BY_LAYER.rules.slice(0, 1),
    environment: { differences: [] },
  });
  // Metadata of a run and details of a finding are free in form.
  const typed = [...places(document)].filter(
    (path) => !path.includes("run") && path.at(-2) !== "detail",
  );

  test("a wrong type at any place", () => {
    const accepted = typed.filter((path) => validate(replaced(document, path, [[true]])));
    expect(typed.length).toBeGreaterThan(150);
    expect(accepted).toEqual([]);
  });

  test("a missing field and an unknown one", () => {
    const objects = typed.filter((path) => {
      const value = path.reduce<Json>(
        (at, key) => (at as Record<string, Json>)[key] ?? null,
        document,
      );
      return typeof value === "object" && value !== null && !Array.isArray(value);
    });
    for (const path of objects.filter((one) => one.at(-1) !== "detail")) {
      const value = path.reduce<Json>(
        (at, key) => (at as Record<string, Json>)[key] ?? null,
        document,
      );
      const fields = value as Record<string, Json>;
      expect(validate(replaced(document, path, { ...fields, unknown: 1 })), path.join(".")).toBe(
        false,
      );
      for (const key of Object.keys(fields)) {
        const rest = Object.fromEntries(Object.entries(fields).filter(([other]) => other !== key));
        expect(validate(replaced(document, path, rest)), [...path, key].join(".")).toBe(false);
      }
    }
  });

  test.each([
    ["verdict", "ok"],
    ["schemaVersion", 2],
    ["evidence", "guess"],
    ["preset", "int8"],
    ["$schema", "other"],
  ])("%s = %s", (key, value) => {
    expect(validate(replaced(document, [key], value))).toBe(false);
  });
});

test("the bytes do not depend on the order in which fields were made", () => {
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, inner]) => [key, key === "detail" ? inner : reversed(inner)]),
    );
  };
  // Free-form parts keep their own order, by design.
  const backwards = reversed(FAIL_BY_LAYER) as ComparisonResult;
  const result: ComparisonResult = { ...backwards, inputs: FAIL_BY_LAYER.inputs };
  expect(renderJson(result)).toBe(renderJson(FAIL_BY_LAYER));
});

test("numbers survive, and those that JSON lacks are words", () => {
  const document = parse(NON_FINITE) as unknown as ComparisonResult;
  const shown = document.tensors.find(({ role }) => role === "origin");
  expect(shown?.relL2).toBe("Infinity");
  expect(shown?.cosine).toBe("NaN");
  expect(document.quality.perplexity?.reference).toBe(NON_FINITE.quality.perplexity?.reference);
  expect(document.tensors[0]?.tokenRelL2).toEqual(NON_FINITE.tensors[0]?.tokenRelL2);
});

test("names stay as they are: escaping is for terminals", () => {
  const document = parse(RESULTS.hostile) as unknown as ComparisonResult;
  expect(document.origin?.tensor).toBe(RESULTS.hostile.origin?.tensor);
});

test("keys come in the order of the contract, and the text ends with a newline", () => {
  const text = renderJson(FAIL_BY_LAYER);
  expect(Object.keys(JSON.parse(text) as object).slice(0, 7)).toEqual([
    "$schema",
    "schemaVersion",
    "verdict",
    "origin",
    "findings",
    "quality",
    "tensors",
  ]);
  expect(text.endsWith("}\n")).toBe(true);
});
