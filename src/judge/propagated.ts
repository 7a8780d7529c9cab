/**
 * Errors that a plain pair shows although every module computes what it should
 * from its own input: a near tie between experts, or a chaotic token, amplifies
 * legal rounding without limit, and no floor foretells where.
 */

import type { Finding } from "../core/findings.ts";
import { isOpen } from "../core/open-finding.ts";
import type { StepGroup } from "../core/verdict.ts";
import { tensorName } from "../dump/contract.ts";
import type { Dump } from "../dump/dump.ts";
import { finding } from "./findings.ts";
import type { JudgedUnit } from "./judge-tensor.ts";
import { isSet } from "./set-limits.ts";

/** Rules that compare what a module answered with what the reference's answered to another input. */
const PLAIN = new Set([
  "layer/floor-ratio",
  "layer/floor-ratio-p99",
  "layer/floor-token",
  "layer/floor-sample",
  "layer/prior",
  "layer/prior-sample",
  "layer/prior-token",
]);

/** A limit that the user set holds whatever the reason. */
function isPlain({ rule, limitFrom }: Finding): boolean {
  return PLAIN.has(rule) && !isSet(limitFrom);
}

/** Whether a tensor fails by the plain pair alone although its own error is known and within the floors'. */
export function failsByPropagationAlone({ judgement }: JudgedUnit): boolean {
  const errors = judgement.findings.filter(({ level }) => level === "error");
  return (
    judgement.own.decidedBy === "floor" && errors.length > 0 && errors.every((one) => isPlain(one))
  );
}

/** The units as they stand when propagation is told from faults, and what is to be said of it. */
export interface Settled {
  readonly units: readonly JudgedUnit[];
  readonly propagated: readonly Finding[];
  /** Of which of the units that is said. */
  readonly carrying: ReadonlySet<JudgedUnit>;
  /** The step groups of which every module is known to be right on its own input. */
  readonly settled: ReadonlySet<StepGroup>;
}

/** The tensors of the residual stream that a comparison would have to know to clear every module, by step group. */
export type Stream = Readonly<Record<StepGroup, ReadonlySet<string>>>;

/** The stream that `dumps` hold: embedding, blocks, sums, norm and logits. */
export function streamOf(dumps: readonly Dump[]): Stream {
  const names = (wanted: StepGroup): ReadonlySet<string> =>
    new Set(
      dumps
        .flatMap(({ tensors }) => tensors)
        .filter(
          ({ repeat, step }) => repeat === 0 && (step === 0 ? "prefill" : "decode") === wanted,
        )
        .map(({ name }) => name)
        .filter((name) => tensorName(name).role !== "other"),
    );
  return { prefill: names("prefill"), decode: names("decode") };
}

/**
 * Takes errors of the plain pair for what they are in step groups where every
 * tensor of the stream was measured on its own and none is at fault:
 * propagation, a warning. Where any module is at fault, or is not known, they
 * stand: they are its consequence, or may be. Decode steps read what the prefill
 * left in the cache, and are cleared with it alone.
 */
export function settlePropagation(units: readonly JudgedUnit[], stream: Stream): Settled {
  const settled = new Set<StepGroup>();
  for (const group of ["prefill", "decode"] as const) {
    if (!isFaultless(ofGroup(units, group), stream[group])) break;
    settled.add(group);
  }
  const propagated = [...settled].flatMap((group) => {
    const excused = ofGroup(units, group).filter(isExcused);
    const [first] = excused;
    if (first === undefined) return [];
    const { rule, detail } = first.judgement.findings.find(isPropagation) ?? {};
    return [
      finding("layer/propagated", {
        step: group,
        tensor: first.measured.unit.name,
        value: excused.length,
        detail: { rule: rule === "layer/routed" ? (detail?.["rule"] ?? rule) : (rule ?? "") },
      }),
    ];
  });
  const carrying = new Set<JudgedUnit>();
  return {
    units: units.map((unit) => {
      if (!settled.has(unit.measured.unit.group) || !isExcused(unit)) return unit;
      const excused: JudgedUnit = {
        ...unit,
        judgement: {
          ...unit.judgement,
          verdict: "pass",
          findings: unit.judgement.findings.filter((one) => !isPropagation(one)),
        },
      };
      carrying.add(excused);
      return excused;
    }),
    propagated,
    carrying,
    settled: new Set([...settled].filter((group) => ofGroup(units, group).length > 0)),
  };
}

/** What a plain pair shows, or leaves open, of propagated errors. */
function isPropagation(one: Finding): boolean {
  return isPlain(one) || one.rule === "layer/routed";
}

/** Whether a tensor neither fails nor is open but for propagation. */
function isExcused(unit: JudgedUnit): boolean {
  const { findings, own } = unit.judgement;
  return (
    own.decidedBy === "floor" &&
    findings.some(isPropagation) &&
    findings.every((one) => isPropagation(one) || !(one.level === "error" || isOpen(one)))
  );
}

function ofGroup(units: readonly JudgedUnit[], group: StepGroup): readonly JudgedUnit[] {
  return units.filter(({ measured }) => measured.unit.group === group);
}

/** Whether the own error of every tensor of the stream is known, and none fails but by propagation. */
function isFaultless(units: readonly JudgedUnit[], stream: ReadonlySet<string>): boolean {
  const known = new Set(units.map(({ measured }) => measured.unit.name));
  return (
    [...stream].every((name) => known.has(name)) &&
    units.every(
      (unit) =>
        unit.judgement.own.decidedBy !== null &&
        (unit.judgement.verdict === "pass" || isExcused(unit)),
    )
  );
}
