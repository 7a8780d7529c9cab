/** Reduced logits that no rule reads are never a pass. */

import { describe, expect, test } from "vitest";
import { compareDumps } from "../src/compare.ts";
import type { CompareOptions } from "../src/core/options.ts";
import type { ComparisonResult } from "../src/core/result.ts";
import { PLAIN } from "../src/report/style.ts";
import { renderText } from "../src/report/text.ts";
import {
  decoded,
  hidden,
  logitsOf,
  type ReducedTensor,
  reduced,
  writeReduced,
} from "./support/reduced-run.ts";
import { scratch } from "./support/scratch.ts";

const folder = scratch();

const RIGHT = reduced(logitsOf(), 5);
const WRONG = reduced(logitsOf(6, 3), 5);
const LAYER = hidden("layers.0");

interface Case {
  readonly reference: readonly ReducedTensor[];
  readonly candidate: readonly ReducedTensor[];
  readonly capture?: Readonly<Record<string, unknown>>;
  readonly options?: Partial<CompareOptions>;
}

async function compare({
  reference,
  candidate,
  capture,
  options,
}: Case): Promise<ComparisonResult> {
  const paths = { reference: folder.path(), candidate: folder.path() };
  writeReduced(paths.reference, "a", reference);
  writeReduced(paths.candidate, "b", candidate, undefined, capture);
  return compareDumps({ ...paths, ...options });
}

function few(tensors: readonly ReducedTensor[]): ReducedTensor[] {
  return tensors.filter(({ sample }) => sample < 5);
}

const without = (name: string, tensors: readonly ReducedTensor[]): ReducedTensor[] =>
  tensors.filter((tensor) => tensor.name !== name);

describe("beside layers that hold, wrong logits are not decided", () => {
  const prompts = { reference: [...LAYER, ...RIGHT], candidate: [...LAYER, ...WRONG] };
  const undecided = { tensor: "logits", detail: { reason: "reduced" } };

  test.each<[string, "prefill" | "decode", Case]>([
    [
      "of fewer than six prompts",
      "prefill",
      { reference: [...LAYER, ...few(RIGHT)], candidate: [...LAYER, ...few(WRONG)] },
    ],
    [
      "without the true tokens",
      "prefill",
      {
        reference: [...LAYER, ...without("token_logprob", RIGHT)],
        candidate: [...LAYER, ...without("token_logprob", WRONG)],
      },
    ],
    ["of an isolated replay", "prefill", { ...prompts, capture: { replay_of: { id: "a" } } }],
    [
      "of a decode step",
      "decode",
      {
        reference: [...LAYER, ...RIGHT, ...decoded(LAYER), ...decoded(RIGHT)],
        candidate: [...LAYER, ...RIGHT, ...decoded(LAYER), ...decoded(WRONG)],
      },
    ],
  ])("%s", async (_name, step, one) => {
    const { verdict, findings, groups } = await compare(one);
    expect(verdict).toBe("inconclusive");
    expect(findings.filter(({ level }) => level !== "info")).toMatchObject([
      { rule: "layer/undecided", step, ...undecided },
    ]);
    expect(groups.map((group) => [group.step, group.verdict])).toEqual(
      step === "prefill"
        ? [["prefill", "inconclusive"]]
        : [
            ["prefill", "pass"],
            ["decode", "inconclusive"],
          ],
    );
  });

  test("the report says which steps they are of, where only those are open", async () => {
    const headline = async (options: Partial<CompareOptions>): Promise<string | undefined> => {
      const result = await compare({
        reference: [...LAYER, ...few(RIGHT), ...decoded(LAYER), ...decoded(RIGHT)],
        candidate: [...LAYER, ...few(RIGHT), ...decoded(LAYER), ...decoded(WRONG)],
        options,
      });
      const text = renderText(result, { lang: "en", ascii: true, columns: 200, style: PLAIN });
      return text.split("\n").find((line) => line.startsWith("INCONCLUSIVE"));
    };
    const what =
      "the data do not decide: logits could not be judged: it is stored in a reduced form";
    expect(await headline({ limits: { minTop1: 0.9 } })).toBe(`INCONCLUSIVE  decode: ${what}`);
    expect(await headline({})).toBe(`INCONCLUSIVE  ${what} (and 1 more)`);
  });

  test.each([
    ["that lie one rounding apart", reduced(logitsOf(1e-7), 5)],
    ["that are equal", RIGHT],
  ])("under --preset exact, also those %s", async (_name, candidate) => {
    const { verdict } = await compare({
      reference: [...LAYER, ...RIGHT],
      candidate: [...LAYER, ...candidate],
      options: { preset: "exact" },
    });
    expect(verdict).toBe("inconclusive");
  });

  test("a limit of the user's decides few prompts, either way", async () => {
    const limited = async (candidate: readonly ReducedTensor[]): Promise<string> =>
      (
        await compare({
          reference: [...LAYER, ...few(RIGHT)],
          candidate: [...LAYER, ...few(candidate)],
          options: { limits: { minTop1: 0.9 } },
        })
      ).verdict;
    expect([await limited(RIGHT), await limited(WRONG)]).toEqual(["pass", "fail"]);
  });

  test("--skip logits asks nothing of them", async () => {
    const { verdict } = await compare({
      reference: [...LAYER, ...few(RIGHT)],
      candidate: [...LAYER, ...few(WRONG)],
      options: { skip: ["logits"] },
    });
    expect(verdict).toBe("pass");
  });
});

describe("token_logprob that contradicts the list of the best tokens is refused", () => {
  const truths = (from: readonly ReducedTensor[], lists: readonly ReducedTensor[]) => [
    ...without("token_logprob", lists),
    ...from.filter(({ name }) => name === "token_logprob"),
  ];

  test.each<[string, readonly ReducedTensor[]]>([
    ["the right losses beside wrong lists", truths(RIGHT, WRONG)],
    [
      "a loss of nothing for every token",
      RIGHT.map((tensor) =>
        tensor.name === "token_logprob"
          ? { ...tensor, values: tensor.values.map(() => 0) }
          : tensor,
      ),
    ],
    [
      "losses that lie one token off",
      RIGHT.map((tensor) =>
        tensor.name === "token_logprob"
          ? {
              ...tensor,
              values: [Number.NaN, ...tensor.values.slice(0, -1)].map((x) =>
                Number.isNaN(x) ? -1 : x,
              ),
            }
          : tensor,
      ),
    ],
  ])("%s", async (_name, candidate) => {
    await expect(compare({ reference: RIGHT, candidate })).rejects.toMatchObject({
      code: "dump-corrupt",
      message: expect.stringMatching(/token_logprob of sample \d contradicts the list/u) as string,
    });
  });

  test("roundings of bf16 are no contradiction", async () => {
    // 8 significant bits, as torch.bfloat16 rounds.
    const rounded = (value: number): number => {
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
      return value === 0 ? 0 : Math.round(value / unit) * unit;
    };
    const candidate = RIGHT.map((tensor) =>
      tensor.name === "topk_logprobs"
        ? { ...tensor, values: tensor.values.map((value) => Math.min(0, rounded(value)) - 2 ** -8) }
        : tensor,
    );
    expect((await compare({ reference: RIGHT, candidate })).verdict).toBe("pass");
  });
});
