/**
 * A result held to other limits of the user, without the dumps: from the figures
 * that it holds. What the method itself found stands, and so does where the error
 * begins; a figure that is not there never keeps a limit.
 */

import { NpuDiffError } from "../core/errors.ts";
import type { AppliedRule, Finding } from "../core/findings.ts";
import type { Decide, LimitName, Limits } from "../core/options.ts";
import { checkOptions, JUDGE_OPTIONS_SCHEMA } from "../core/options-schema.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { finding, isWithin } from "./findings.ts";
import { judgeDeterminism } from "./judge-determinism.ts";
import type { RuleId } from "./rules.ts";
import { judgeUserLimits } from "./user-limits.ts";
import { withFindings } from "./with-findings.ts";

/** The rule of each limit that can be held to a result alone. */
const RULE_OF = {
  maxRelL2: "limit/rel-l2",
  minCosine: "limit/cosine",
  maxAbs: "limit/max-abs",
  maxMse: "limit/mse",
  maxPplIncrease: "limit/ppl-increase",
  maxKl: "limit/kl",
  minTop1: "limit/top1",
  minFirstToken: "limit/first-token",
  minDeterminism: "quality/determinism",
} as const satisfies Partial<Record<LimitName, RuleId>>;

type Name = keyof typeof RULE_OF;

const NAMES = Object.keys(RULE_OF) as readonly Name[];

/** Limits on a figure of each tensor, and the bound on it where only statistics are known. */
const OF_TENSORS = {
  maxRelL2: { figure: ({ relL2 }) => relL2, bound: "relL2" },
  minCosine: { figure: ({ cosine }) => cosine, bound: "cosine" },
  maxAbs: { figure: ({ maxAbs }) => maxAbs, bound: "maxAbs" },
  maxMse: { figure: ({ mse }) => mse, bound: "mse" },
} as const satisfies Partial<
  Record<
    Name,
    {
      readonly figure: (tensor: TensorResult) => number | null;
      readonly bound: "relL2" | "cosine" | "maxAbs" | "mse";
    }
  >
>;

const TENSOR_NAMES = Object.keys(OF_TENSORS) as readonly (keyof typeof OF_TENSORS)[];

/** What a result is held to, in the place of what it was judged by. */
export interface RejudgeOptions {
  /** As of a comparison: relative ones as shares, KL in nats. */
  readonly limits?: Limits;
  /** How limits on what the model says are held; all of them anew where it is given. */
  readonly decide?: Decide;
}

/**
 * `result` held to `limits`, each in the place of the one that it was judged by; the
 * others stay. With `decide` all limits on what the model says are held anew. The
 * result itself is left as it is.
 *
 * @throws NpuDiffError `usage` for a limit that is unknown or out of its range, and for what a result alone cannot tell: `maxFloorRatio`, a comparison that
 *   was stopped, a rule whose level a config set
 */
export function rejudge(result: ComparisonResult, given: RejudgeOptions): ComparisonResult {
  checkOptions(given, JUDGE_OPTIONS_SCHEMA);
  const { limits = {}, decide = null } = given;
  refuse(result, limits);
  const anew = NAMES.filter((name) => limits[name] !== undefined || isReheld(result, name, decide));
  const held: Limits = Object.fromEntries(
    anew.map((name) => [name, limits[name] ?? storedLimit(result, name)]),
  );
  const isOld = new Set<string>(anew.map((name) => RULE_OF[name]));
  const stays = result.findings.filter((one) => !isOld.has(one.rule) && !isOfRepeats(one, held));
  const options = {
    limits: held,
    limitsOfConfig: NAMES.filter(
      (name) => limits[name] === undefined && storedRule(result, name)?.limitFrom === "config",
    ),
    decide: decide ?? "interval",
  } as const;
  const quality = judgeUserLimits(result.quality, options);
  const repeats =
    held.minDeterminism === undefined
      ? { findings: [], rules: [] }
      : judgeDeterminism(result.quality, options);
  const ofTensors = TENSOR_NAMES.flatMap((name) => {
    const limit = held[name];
    return limit === undefined
      ? []
      : result.tensors.flatMap((one) => tensorFinding(one, name, limit));
  });
  const found = [...stays, ...ofTensors, ...quality.findings, ...repeats.findings];
  const rules: readonly AppliedRule[] = [
    ...result.rules.filter(({ rule }) => !isOld.has(rule)),
    ...TENSOR_NAMES.flatMap((name) => {
      const limit = held[name];
      return limit === undefined ? [] : [appliedTo(RULE_OF[name], limit)];
    }),
    ...repeats.rules,
    ...quality.rules,
  ];
  const judged = withFindings(
    result,
    [...found, ...undecidedStatistics(result, found, anew)],
    rules,
  );
  return withoutCleared(judged);
}

/** Whether a limit that the result was judged by is to be held anew because `decide` is another. */
function isReheld(result: ComparisonResult, name: Name, decide: Decide | null): boolean {
  return (
    decide !== null &&
    ["maxPplIncrease", "maxKl", "minTop1", "minFirstToken"].includes(name) &&
    storedLimit(result, name) !== undefined
  );
}

function storedLimit(result: ComparisonResult, name: Name): number | undefined {
  return storedRule(result, name)?.limit ?? undefined;
}

/** How the result was held to a limit. */
function storedRule({ rules }: ComparisonResult, name: Name): AppliedRule | undefined {
  return rules.find(({ rule, applied }) => applied && rule === RULE_OF[name]);
}

/** What {@link judgeDeterminism} says beside its own rule. */
function isOfRepeats({ rule, detail }: Finding, { minDeterminism }: Limits): boolean {
  return (
    minDeterminism !== undefined &&
    (rule === "quality/batch-variance" ||
      (rule === "quality/undecided" && detail["side"] !== undefined))
  );
}

function tensorFinding(
  tensor: TensorResult,
  name: (typeof TENSOR_NAMES)[number],
  limit: number,
): readonly Finding[] {
  const { figure, bound } = OF_TENSORS[name];
  const about = { tensor: tensor.name, step: tensor.step, limit, limitFrom: "flag" } as const;
  const isKept = (value: number): boolean =>
    name === "minCosine" ? value >= limit : isWithin(value, limit);
  const value = figure(tensor);
  if (value !== null) return isKept(value) ? [] : [finding(RULE_OF[name], { ...about, value })];
  // It was measured, and has no such figure.
  if (tensor.nonFinite !== null) return [finding(RULE_OF[name], about)];
  const least = tensor.statsFigures?.bounds?.[bound];
  if (least === undefined || isKept(least)) return [];
  const detail = { bound: name === "minCosine" ? "upper" : "lower" };
  return [finding(RULE_OF[name], { ...about, value: least, detail })];
}

/** Statistics never keep a limit: a tensor that breaks none any more is open. */
function undecidedStatistics(
  { tensors }: ComparisonResult,
  findings: readonly Finding[],
  anew: readonly Name[],
): readonly Finding[] {
  return tensors
    .filter(
      ({ name, step, statsFigures, nonFinite }) =>
        statsFigures !== null &&
        nonFinite === null &&
        !findings.some(
          (one) =>
            one.tensor === name &&
            one.step === step &&
            (one.level === "error" || one.rule === "layer/undecided"),
        ),
    )
    .map(({ name, step }) => {
      const open = anew.map((one) => RULE_OF[one]).join(", ");
      return finding("layer/undecided", {
        tensor: name,
        step,
        detail: { reason: "statistics", open },
      });
    });
}

/** A tensor that fails no more has no part in an error, and where none is left none begins. */
function withoutCleared(result: ComparisonResult): ComparisonResult {
  const fails = (step: string, name: string): boolean =>
    result.tensors.some((one) => one.name === name && one.step === step && one.verdict === "fail");
  const groups = result.groups.map((group) =>
    group.origin === null || fails(group.step, group.origin.tensor)
      ? group
      : { ...group, origin: null, independent: [], systematic: null, throughCache: false },
  );
  return {
    ...result,
    groups,
    origin: groups.find(({ origin }) => origin !== null)?.origin ?? null,
    tensors: result.tensors.map((one) =>
      one.verdict === "fail" || one.role === "carried" ? one : { ...one, role: null },
    ),
  };
}

function appliedTo(rule: RuleId, limit: number): AppliedRule {
  return {
    rule,
    step: null,
    applied: true,
    limit,
    limitFrom: "flag",
    decide: null,
    reason: null,
  };
}

function refuse({ stopped, findings }: ComparisonResult, limits: Limits): void {
  const cannot = (found: string, why: string): NpuDiffError =>
    new NpuDiffError("usage", {
      what: "the stored result cannot be judged again by this",
      facts: [
        { label: "found", text: found },
        { label: "why", text: why },
      ],
      help: "compare the dumps again with npu-diff compare",
    });
  if (stopped) {
    throw cannot("it was stopped at the first failure", "the other tensors were not measured");
  }
  if (limits.maxFloorRatio !== undefined) {
    throw cannot(
      `maxFloorRatio ${String(limits.maxFloorRatio)}`,
      "where the error begins follows from it, and only the dumps tell",
    );
  }
  for (const name of NAMES) {
    if (limits[name] === undefined) continue;
    const set = findings.find(
      ({ rule, detail }) => rule.startsWith("config/") && detail["rule"] === RULE_OF[name],
    );
    if (set !== undefined) {
      throw cannot(
        `${RULE_OF[name]}, whose level is set by ${String(set.detail["at"])}`,
        "a level belongs to its config",
      );
    }
  }
}
