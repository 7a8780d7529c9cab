/**
 * A baseline: the figures of a pair that somebody accepted. What is worse than
 * them beyond an allowance is an error, whatever the absolute limits say.
 */

import type { Finding } from "../core/findings.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { StepGroup } from "../core/verdict.ts";
import {
  type FigureFacts,
  type FigureName,
  figuresOfQuality,
  figuresOfTensor,
  QUALITY_FIGURES,
  type QualityFigureName,
  TENSOR_FIGURES,
  type TensorFigureName,
} from "./figures.ts";
import { finding } from "./findings.ts";

/** Rules that were broken when the baseline was accepted, and by how much. */
export type Broken = Readonly<Record<string, number>>;

/** The figures of one tensor, all samples of one name in one step group. */
export interface TensorBaseline extends Readonly<Partial<Record<TensorFigureName, number>>> {
  readonly broken?: Broken;
}

/** What the reference's model was; null where its dump does not say. */
export interface ModelIdentity {
  readonly id: string | null;
  readonly configSha256: string | null;
  readonly weightsSha256: string | null;
}

/** The figures of one pair, and what they were measured on. */
export interface PairBaseline {
  readonly preset: ComparisonResult["preset"];
  readonly tokensSha256: string | null;
  readonly model: ModelIdentity;
  readonly quality: Readonly<Partial<Record<QualityFigureName, number>>>;
  /** Of the rules about no tensor. */
  readonly broken: Broken;
  readonly tensors: Readonly<Record<StepGroup, Readonly<Record<string, TensorBaseline>>>>;
}

/** How far a figure may be worse. */
export interface Allowance {
  /**
   * `limits`: the absolute limits decide as ever, and the baseline beside them.
   * `baseline`: what breaks a rule that the baseline knows as broken, and is no worse
   * than it within the allowance, is a warning.
   */
  readonly against: "limits" | "baseline";
  /** A share of the baseline's figure, or of what it lacks of 1 where it is a share itself. */
  readonly relative: number;
  /** In the figure's own unit, on top of the share. */
  readonly absolute: Readonly<Partial<Record<FigureName, number>>>;
}

/** Digits that a baseline keeps: a review shows what changed, and not the noise of the last ones. */
const DIGITS = 6;

/**
 * Rules whose value says how bad it is. What is missing, not finite or another shape
 * has no such value, and is never excused.
 */
const MEASURED = /^(?:layer|own|limit|quality)\//;

/** The baseline that accepts `result`. */
export function baselineOf(result: ComparisonResult): PairBaseline {
  const ofStep = (step: StepGroup): Readonly<Record<string, TensorBaseline>> =>
    Object.fromEntries(
      result.tensors
        .filter((tensor) => tensor.step === step)
        .map((tensor): [string, TensorBaseline] => {
          const broken = brokenOf(result, tensor.name, step);
          return [
            tensor.name,
            {
              ...known(figuresOfTensor(tensor)),
              ...(Object.keys(broken).length === 0 ? {} : { broken }),
            },
          ];
        }),
    );
  return {
    ...identityOf(result),
    quality: known(figuresOfQuality(result.quality)),
    broken: brokenOf(result, null, null),
    tensors: { prefill: ofStep("prefill"), decode: ofStep("decode") },
  };
}

/** What a pair was measured on. */
export function identityOf({
  preset,
  inputs: { reference },
}: ComparisonResult): Pick<PairBaseline, "preset" | "tokensSha256" | "model"> {
  const model: unknown = reference.run["model"];
  const textAt = (key: string): string | null => {
    const value: unknown =
      typeof model === "object" && model !== null && Object.hasOwn(model, key)
        ? (model as Readonly<Record<string, unknown>>)[key]
        : null;
    return typeof value === "string" ? value : null;
  };
  return {
    preset,
    tokensSha256: reference.tokensSha256,
    model: {
      id: textAt("id"),
      configSha256: textAt("config_sha256"),
      weightsSha256: textAt("weights_sha256"),
    },
  };
}

/** `old` with what only `added` holds: tensors, figures of them, and quality figures. */
export function extended(old: PairBaseline, added: PairBaseline): PairBaseline {
  const step = (name: StepGroup): Readonly<Record<string, TensorBaseline>> => ({
    ...added.tensors[name],
    ...Object.fromEntries(
      Object.entries(old.tensors[name]).map(([tensor, figures]) => {
        // What was not broken then is not accepted as broken now.
        return [tensor, { ...without(own(added.tensors[name], tensor), "broken"), ...figures }];
      }),
    ),
  });
  return {
    ...old,
    quality: { ...added.quality, ...old.quality },
    tensors: { prefill: step("prefill"), decode: step("decode") },
  };
}

/** What the baseline says of `result`: regressions, what is gone, what is new, what improved. */
export function baselineFindings(
  result: ComparisonResult,
  baseline: PairBaseline,
  allowance: Allowance,
): readonly Finding[] {
  const findings: Finding[] = [];
  const improved: string[] = [];
  const judge = (
    about: Pick<Finding, "tensor" | "step">,
    figures: Readonly<Record<string, FigureFacts>>,
    now: Readonly<Record<string, number | null>>,
    then: Readonly<Record<string, unknown>>,
  ): void => {
    const parts = {
      ...(about.tensor === null ? {} : { tensor: about.tensor }),
      ...(about.step === null ? {} : { step: about.step }),
    };
    for (const [name, facts] of Object.entries(figures)) {
      const { metric, worse } = facts;
      const before = own(then, name);
      const value = now[name] ?? null;
      if (typeof before !== "number") {
        if (value !== null)
          findings.push(finding("baseline/new", { ...parts, detail: { metric } }));
        continue;
      }
      if (value === null) {
        findings.push(finding("baseline/gone", { ...parts, detail: { metric } }));
        continue;
      }
      const rounded = round(value);
      const room = roomOf(before, facts, allowance, name as FigureName);
      const [limit, better] =
        worse === "higher" ? [before + room, before - room] : [before - room, before + room];
      if (!isAsGood(rounded, limit, worse, before)) {
        const detail = { metric, baseline: before };
        findings.push(
          finding("baseline/regression", {
            ...parts,
            value: rounded,
            limit,
            limitFrom: "baseline",
            detail,
          }),
        );
      } else if (worse === "higher" ? rounded < better : rounded > better) {
        improved.push(about.tensor === null ? metric : `${about.tensor} ${metric}`);
      }
    }
  };
  judge(
    { tensor: null, step: null },
    QUALITY_FIGURES,
    figuresOfQuality(result.quality),
    baseline.quality,
  );
  for (const tensor of result.tensors) {
    const { name, step } = tensor;
    const then = own(baseline.tensors[step], name);
    if (then === undefined) {
      const detail = { metric: "tensor" };
      findings.push(finding("baseline/new", { tensor: name, step, detail }));
    } else {
      judge({ tensor: name, step }, TENSOR_FIGURES, figuresOfTensor(tensor), { ...then });
    }
  }
  const [first] = improved;
  return [
    ...findings,
    ...goneTensors(result, baseline),
    ...(first === undefined
      ? []
      : [finding("baseline/improved", { value: improved.length, detail: { metric: first } })]),
  ];
}

function goneTensors(result: ComparisonResult, { tensors }: PairBaseline): readonly Finding[] {
  return (["prefill", "decode"] as const).flatMap((step) => {
    const here = new Set(result.tensors.filter((one) => one.step === step).map(({ name }) => name));
    return Object.keys(tensors[step])
      .filter((name) => !here.has(name))
      .map((tensor) => finding("baseline/gone", { tensor, step, detail: { metric: "tensor" } }));
  });
}

/**
 * `findings` with those as warnings that the baseline knows and that are no worse than it
 * within the allowance, and a finding that says how many.
 *
 * @param at name of the baseline
 */
export function excused(
  findings: readonly Finding[],
  baseline: PairBaseline,
  { relative }: Allowance,
  at: string,
): readonly Finding[] {
  let count = 0;
  const after = findings.map((one): Finding => {
    const { rule, level, tensor, step, value, limit } = one;
    const broken =
      tensor === null ? baseline.broken : own(baseline.tensors[step ?? "prefill"], tensor)?.broken;
    const before = broken === undefined ? undefined : own(broken, rule);
    if (level !== "error" || !MEASURED.test(rule)) return one;
    if (before === undefined || value === null || limit === null) return one;
    const worse = value > limit ? "higher" : "lower";
    const bound = before + (worse === "higher" ? 1 : -1) * relative * Math.abs(before);
    if (!isAsGood(round(value), bound, worse, before)) return one;
    count += 1;
    return { ...one, level: "warning", detail: { ...one.detail, setAt: at } };
  });
  return count === 0
    ? after
    : [...after, finding("baseline/excused", { value: count, detail: { at } })];
}

/** The broken rules of a tensor, or of no tensor, with the worst value of each. */
function brokenOf(
  { findings }: ComparisonResult,
  name: string | null,
  step: StepGroup | null,
): Broken {
  const broken = new Map<string, number>();
  for (const one of findings) {
    const { rule, level, value, limit, tensor } = one;
    if (tensor !== name || (name !== null && (one.step ?? "prefill") !== step)) continue;
    if (level !== "error" || !MEASURED.test(rule) || value === null || limit === null) continue;
    const before = broken.get(rule);
    const worst =
      before === undefined
        ? value
        : value > limit
          ? Math.max(before, value)
          : Math.min(before, value);
    broken.set(rule, round(worst));
  }
  return Object.fromEntries(broken);
}

/** How far a figure may move. */
function roomOf(
  before: number,
  { shareOf }: FigureFacts,
  { relative, absolute }: Allowance,
  name: FigureName,
): number {
  const size = shareOf === "value" ? Math.abs(before) : 1 - before;
  return relative * size + (absolute[name] ?? 0);
}

/** NaN is as good as nothing but itself. */
function isAsGood(
  value: number,
  limit: number,
  worse: FigureFacts["worse"],
  before: number,
): boolean {
  return Object.is(value, before) || (worse === "higher" ? value <= limit : value >= limit);
}

function known<K extends string>(
  figures: Readonly<Record<K, number | null>>,
): Readonly<Partial<Record<K, number>>> {
  return Object.fromEntries(
    Object.entries<number | null>(figures).flatMap(([name, value]) =>
      value === null ? [] : [[name, round(value)]],
    ),
  ) as Readonly<Partial<Record<K, number>>>;
}

function round(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(DIGITS)) : value;
}

function without<T extends object>(value: T | undefined, key: keyof T): Partial<T> {
  return Object.fromEntries(
    Object.entries(value ?? {}).filter(([name]) => name !== key),
  ) as Partial<T>;
}

/** The value of an own key: names of tensors come out of files. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
