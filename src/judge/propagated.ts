/**
 * Errors that a plain pair shows although every module computes what it should
 * from its own input: a near tie between experts, or a chaotic token, amplifies
 * legal rounding without limit, and no floor foretells where.
 */

import type { Finding, StepGroup } from "../core/result.ts";
import { finding } from "./findings.ts";
import type { JudgedUnit } from "./judge-tensor.ts";

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
  return PLAIN.has(rule) && limitFrom !== "flag";
}

/** Whether a tensor fails by the plain pair alone although its own error is known and within the floors'. */
export function failsByPropagationAlone({ judgement }: JudgedUnit): boolean {
  const errors = judgement.findings.filter(({ level }) => level === "error");
  return (
    judgement.own.decidedBy === "floor" &&
    errors.length > 0 &&
    errors.every((error) => isPlain(error))
  );
}

/** The units as they stand when propagation is told from faults, and what is to be said of it. */
export interface Settled {
  readonly units: readonly JudgedUnit[];
  readonly propagated: readonly Finding[];
}

/**
 * Takes errors of the plain pair for what they are in step groups where every
 * tensor was measured on its own and none is at fault: propagation, a warning.
 * Where any module is at fault, or is not known, they stand: they are its
 * consequence, or may be.
 */
export function settlePropagation(units: readonly JudgedUnit[]): Settled {
  const groups: readonly StepGroup[] = ["prefill", "decode"];
  const settled = new Set(groups.filter((group) => isFaultless(ofGroup(units, group))));
  const propagated = [...settled].flatMap((group) => {
    const excused = ofGroup(units, group).filter(failsByPropagationAlone);
    const [first] = excused;
    if (first === undefined) return [];
    return [
      finding("layer/propagated", {
        step: group,
        tensor: first.measured.unit.name,
        value: excused.length,
        detail: { rule: first.judgement.findings.find(isPlain)?.rule ?? "" },
      }),
    ];
  });
  return {
    units: units.map((unit) =>
      settled.has(unit.measured.unit.group) && failsByPropagationAlone(unit)
        ? {
            ...unit,
            judgement: {
              ...unit.judgement,
              verdict: "pass",
              findings: unit.judgement.findings.filter((one) => !isPlain(one)),
            },
          }
        : unit,
    ),
    propagated,
  };
}

function ofGroup(units: readonly JudgedUnit[], group: StepGroup): readonly JudgedUnit[] {
  return units.filter(({ measured }) => measured.unit.group === group);
}

/** Whether the own error of every tensor is known, and none fails but by propagation. */
function isFaultless(units: readonly JudgedUnit[]): boolean {
  return units.every(
    (unit) =>
      unit.judgement.own.decidedBy !== null &&
      (unit.judgement.verdict === "pass" || failsByPropagationAlone(unit)),
  );
}
