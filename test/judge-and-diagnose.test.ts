/** What programs do with a result: judge it again, have its error in words, look a name up. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import type { ComparisonResult } from "../src/core/result.ts";
import {
  compareDumps,
  diagnose,
  explain,
  judge,
  readStored,
  renderJson,
  renderSarif,
} from "../src/index.ts";
import { errorOf } from "./support/scratch.ts";

const PAIRS = fileURLToPath(new URL("../fixtures/pairs", import.meta.url));

async function compare(pair: string, limits = {}): Promise<ComparisonResult> {
  return compareDumps({
    reference: join(PAIRS, "clean", "reference.arrow"),
    candidate: join(PAIRS, pair, "candidate.arrow"),
    floors: [join(PAIRS, "clean", "floor.arrow")],
    limits,
  });
}

let clean: ComparisonResult;
let broken: ComparisonResult;

beforeAll(async () => {
  clean = await compare("clean");
  broken = await compare("residual-skip");
});

describe("judge", () => {
  test.each([
    { maxRelL2: 1e-3 },
    { minCosine: 0.9999 },
    { maxKl: 1e-6, minTop1: 0.5 },
    { maxRelL2: 10 },
  ])("gives the verdict that a comparison with %o gives", async (limits) => {
    const judged = judge(clean, { limits });
    const compared = await compare("clean", limits);
    expect(judged.verdict).toBe(compared.verdict);
    expect(new Set(judged.findings.map(({ rule }) => rule))).toEqual(
      new Set(compared.findings.map(({ rule }) => rule)),
    );
  });

  test("takes nothing of the method away, and leaves the result as it was", () => {
    const before = renderJson(broken);
    expect(judge(broken, { limits: { maxRelL2: 1e9 } }).verdict).toBe("fail");
    expect(judge(broken, {})).toEqual(broken);
    expect(renderJson(broken)).toBe(before);
  });

  test.each([
    [{ limits: { minTop1: 98 } }, "limits.minTop1"],
    [{ limits: { maxKL: 1 } }, "limits.maxKL"],
    [{ decide: "value" }, "decide"],
    [{ maxKl: 1 }, "maxKl"],
  ])("refuses %o", (options, named) => {
    expect(errorOf(() => judge(clean, options as Parameters<typeof judge>[1]))).toMatchObject({
      code: "usage",
      message: expect.stringContaining(named) as string,
    });
  });
});

describe("diagnose", () => {
  test.each(["residual-skip", "rotary-base", "swapped-gate-up", "new-nan"])(
    "names the module that was broken: %s",
    async (pair) => {
      const { origin } = JSON.parse(readFileSync(join(PAIRS, pair, "expected.json"), "utf8")) as {
        readonly origin: string;
      };
      const result = await compare(pair);
      const { faults, next } = diagnose(result);
      expect(faults[0]).toMatchObject({ tensor: origin, role: "origin", step: "prefill" });
      expect(faults[0]?.causes.map(({ id }) => id)).toEqual(
        result.origin?.causes.map(({ id }) => id),
      );
      expect(next).toMatch(/^npu-d(?:iff|ump) /);
    },
  );

  test("in words of both languages, with advice", () => {
    const [en, zh] = (["en", "zh"] as const).map(
      (lang) => diagnose(broken, { lang }).faults[0]?.causes[0],
    );
    expect(en).toMatchObject({ id: "cause/skipped", confidence: 1 });
    expect(en?.message).toMatch(/^the output is zero throughout/);
    expect(zh?.message).toMatch(/\p{Script=Han}/u);
    for (const cause of [en, zh]) {
      expect(cause?.usual.length).toBeGreaterThan(0);
      expect(cause?.advice.length).toBeGreaterThan(0);
    }
  });

  test("finds nothing where nothing fails, and keeps a cause that it does not know", () => {
    expect(diagnose(clean)).toEqual({ faults: [], next: null });
    const causes = [{ id: "cause/later", confidence: 0.5, evidence: "seen\u001b[2J", detail: {} }];
    const groups = broken.groups.map((group) => ({
      ...group,
      origin: group.origin === null ? null : { ...group.origin, causes },
    }));
    expect(diagnose({ ...broken, groups }).faults[0]?.causes).toEqual([
      {
        id: "cause/later",
        confidence: 0.5,
        message: expect.not.stringContaining("\u001b") as string,
        usual: [],
        advice: [],
      },
    ]);
  });
});

describe("explain", () => {
  test("rules, causes and number formats", () => {
    for (const { rule } of broken.findings)
      expect(explain(rule)).toMatchObject({ kind: "rule", id: rule });
    expect(explain("cause/scale").kind).toBe("cause");
    const [shallow, deep] = [
      explain("dtype/bf16", { layers: 4 }),
      explain("dtype/bf16", { layers: 64 }),
    ];
    expect(shallow).toMatchObject({ kind: "dtype", id: "dtype/bf16" });
    expect(shallow).not.toEqual(deep);
  });

  test("what has no such id is an error that names the nearest", () => {
    expect(errorOf(() => explain("layer/floor-ration"))).toMatchObject({
      code: "usage",
      help: "did you mean layer/floor-ratio?",
    });
    expect(errorOf(() => explain("dtype/bf16", { layers: 0.5 }))).toMatchObject({ code: "usage" });
  });
});

test("a stored result comes back as it was, and as another it is refused", () => {
  const text = renderJson(broken);
  const stored = readStored(text, "result.json");
  expect(stored).toEqual({ kind: "comparison", result: broken });
  // From before a lens was part of a result.
  const { lens, ...earlier } = JSON.parse(text) as Record<string, unknown>;
  expect(lens).toBeNull();
  expect(readStored(JSON.stringify(earlier), "result.json")).toEqual(stored);
  const changed = text.replace('"verdict": "fail"', '"verdict": "pass"');
  expect(errorOf(() => readStored(changed, "result.json"))).toMatchObject({
    code: "result-invalid",
  });
});

test("a SARIF log of a library is of no process", () => {
  const { runs } = JSON.parse(renderSarif(broken)) as {
    readonly runs: readonly [{ readonly invocations: readonly object[] }];
  };
  expect(runs[0].invocations).toEqual([{ executionSuccessful: true }]);
});
