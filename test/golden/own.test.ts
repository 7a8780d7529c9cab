/** Own errors under forced references against NumPy (`fixtures/own_cases.py`). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { OwnFigures, OwnStatisticName } from "../../src/core/own-figures.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { StepGroup } from "../../src/core/verdict.ts";

const DIRECTORY = fileURLToPath(new URL("../../fixtures/own/", import.meta.url));

type Figure = number | "Infinity" | null;
type ExpectedStatistics = Record<OwnStatisticName, { value: Figure; floor: Figure }> | null;
type Expected =
  | (Partial<Record<keyof OwnFigures, Figure>> & { readonly statistics?: ExpectedStatistics })
  | null;

const EXPECTED = JSON.parse(readFileSync(`${DIRECTORY}expected.json`, "utf8")) as Record<
  StepGroup,
  Record<string, Expected>
> & {
  readonly quality: {
    readonly kl: number;
    readonly positions: number;
    readonly agreed: number;
    readonly tokens: number;
    readonly perplexity: { readonly reference: number; readonly candidate: number };
  };
};

const DUMPS = ["candidate", "floor.1", "floor.2"];
const file = (name: string): string => `${DIRECTORY}${name}.arrow`;
const FILES = {
  reference: file("reference"),
  candidate: file("candidate"),
  floors: [file("floor.1"), file("floor.2")],
  forced: DUMPS.map((dump) => file(`forced.${dump}`)),
};

let result: ComparisonResult;

beforeAll(async () => {
  result = await compareDumps(FILES);
});

function ownOf(compared: ComparisonResult, group: StepGroup, name: string): OwnFigures | null {
  const found = compared.tensors.find((tensor) => tensor.name === name && tensor.step === group);
  if (found === undefined) throw new Error(`${name} was not compared in ${group}`);
  return found.own;
}

/** A figure that is a number, or null. */
function figure(own: OwnFigures | null, key: string): number | null {
  const value = own?.[key as keyof OwnFigures] ?? null;
  return typeof value === "number" ? value : null;
}

function allOwn(compared: ComparisonResult): readonly unknown[] {
  return compared.tensors.map(({ name, step, own }) => [step, name, own]);
}

function expectStatistics(own: OwnFigures | null, stated: ExpectedStatistics): void {
  if (stated === null) {
    expect(own?.statistics ?? null).toBeNull();
    return;
  }
  for (const [name, { value, floor }] of Object.entries(stated)) {
    const measured = own?.statistics?.[name as OwnStatisticName];
    for (const [found, known] of [
      [measured?.value, value],
      [measured?.floor, floor],
    ] as const) {
      if (typeof known !== "number") expect(found, name).toBe(Number(known));
      else expect(Math.abs((found ?? Number.NaN) - known), name).toBeLessThan(1e-9 * (1 + known));
    }
  }
}

describe.each(["prefill", "decode"] as const)("%s", (group) => {
  test.each(Object.entries(EXPECTED[group]))("%s", (name, expected) => {
    const own = ownOf(result, group, name);
    if (expected === null) {
      expect(own).toBeNull();
      return;
    }
    const { statistics: stated = null, ...figures } = expected;
    expectStatistics(own, stated);
    for (const [key, value] of Object.entries(figures)) {
      const measured = figure(own, key);
      if (value === null) {
        // NumPy's quantiles of infinite values are no numbers.
        const infinite = key === "p50" || key === "p99";
        if (!infinite) expect(measured, key).toBeNull();
        continue;
      }
      if (typeof value !== "number") {
        expect(measured, key).toBe(Number(value));
        continue;
      }
      const error = Math.abs((measured ?? Number.NaN) - value);
      expect(error <= 1e-9 * Math.abs(value), `${key}: ${String(measured)}`).toBe(true);
    }
  });
});

test("what the logits of the decode steps say", () => {
  const { kl, positions, agreed, tokens, perplexity } = EXPECTED.quality;
  const { decode } = result.quality;
  const relative = (actual: number | undefined, expected: number): number =>
    Math.abs((actual ?? Number.NaN) / expected - 1);
  expect(Math.abs((decode?.kl?.mean ?? Number.NaN) - kl)).toBeLessThan(1e-9);
  expect(decode?.kl?.positions).toBe(positions);
  expect(decode?.top1Agreement).toMatchObject({ agreed, positions });
  expect(decode?.perplexity?.tokens).toBe(tokens);
  for (const side of ["reference", "candidate"] as const) {
    expect(relative(decode?.perplexity?.[side], perplexity[side])).toBeLessThan(1e-9);
  }
});

test("what is not known is said of each tensor, with the reason", () => {
  const unknown = result.findings
    .filter(({ rule }) => rule === "input/own-unknown")
    .map(({ step, tensor, detail }) => [step, tensor, detail["reason"]]);
  const everywhere = [
    ["layers.0.mlp", "floor-own-unknown"],
    ["layers.1.attn", "forced-lacks"],
    ["layers.1.mlp", "forced-shape"],
    ["layers.1", "forced-not-finite"],
  ];
  expect(unknown).toEqual(
    ["prefill", "decode"].flatMap((step) => everywhere.map((entry) => [step, ...entry])),
  );
});

test("a NaN in the forced reference leaves no figure, and none that is NaN", () => {
  const own = ownOf(result, "prefill", "layers.1");
  expect(own).toMatchObject({ gm: null, p50: null, p99: null, max: null, u: null, slope: null });
  const figures = result.tensors.flatMap((tensor) =>
    Object.keys(tensor.own ?? {}).map((key) => figure(tensor.own, key)),
  );
  expect(figures.some(Number.isNaN)).toBe(false);
});

test("the order of floors and of forced references changes nothing", async () => {
  const swapped = await compareDumps({
    ...FILES,
    floors: FILES.floors.toReversed(),
    forced: FILES.forced.toReversed(),
  });
  expect(allOwn(swapped)).toEqual(allOwn(result));
});

test("own errors add rules of their own and leave the plain pair's as they are", async () => {
  const plain = await compareDumps({ ...FILES, forced: [] });
  const isPlain = ({ rule }: { readonly rule: string }): boolean =>
    !/^own\/|own-unknown/.test(rule);
  const judged = (compared: ComparisonResult): unknown => [
    compared.rules.filter(isPlain),
    compared.findings.filter(isPlain).map((finding) => ({ ...finding, role: null })),
    compared.tensors.map((tensor) => ({ ...tensor, own: null, verdict: null, role: null })),
  ];
  expect(judged(result)).toEqual(judged(plain));
  expect(plain.tensors.every(({ own }) => own === null)).toBe(true);
});

test("a ratio needs the floor's forced reference; the larger floor counts", async () => {
  const of = async (...dumps: readonly string[]): Promise<ComparisonResult> =>
    compareDumps({ ...FILES, forced: dumps.map((dump) => file(`forced.${dump}`)) });
  const alone = await of("candidate");
  expect(alone.tensors.every(({ own }) => (own?.gmOverFloor ?? null) === null)).toBe(true);
  expect(ownOf(alone, "prefill", "embed")?.gm).toBe(ownOf(result, "prefill", "embed")?.gm);
  expect(
    alone.findings.flatMap(({ rule, detail }) =>
      rule === "input/forced-absent" ? [detail["file"]] : [],
    ),
  ).toEqual(["floor.1.arrow", "floor.2.arrow"]);
  const ratios = await Promise.all(
    ["floor.1", "floor.2"].map(async (floor) =>
      ownOf(await of("candidate", floor), "prefill", "embed"),
    ),
  );
  const [first = Number.NaN, second = Number.NaN] = ratios.map(
    (own) => own?.gmOverFloor ?? Number.NaN,
  );
  expect(first).not.toBe(second);
  expect(ownOf(result, "prefill", "embed")?.gmOverFloor).toBe(Math.min(first, second));
  const withoutCandidate = await of("floor.1", "floor.2");
  expect(withoutCandidate.tensors.every(({ own }) => own === null)).toBe(true);
  expect(
    withoutCandidate.findings.find(({ rule }) => rule === "input/forced-absent")?.detail,
  ).toMatchObject({ file: "candidate.arrow" });
});
