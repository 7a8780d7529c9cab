/**
 * Where an error begins: the first module of a step group in execution order
 * that is beyond its limit. What fails after it has inherited the error, as far
 * as a plain pair can tell.
 */

import type { RunRelation } from "../align/runs.ts";
import type { Origin, Role } from "../core/result.ts";
import type { JudgedUnit } from "../judge/judge-tensor.ts";

export interface Localisation {
  readonly origin: Origin | null;
  /** The role of each suspect, in their order. */
  readonly roles: readonly (Role | null)[];
}

/**
 * Whether a tensor is a suspect. A limit that the user set says how large an
 * error may be, not where it begins: tensors that break nothing else are none,
 * unless nothing breaks any other rule.
 */
export function suspicion(units: readonly JudgedUnit[]): (unit: JudgedUnit) => boolean {
  return units.some(isFaulty) ? isFaulty : ({ judgement }) => judgement.verdict === "fail";
}

/**
 * Finds the origin among the judged tensors of one group, in execution order;
 * null where none is suspected.
 *
 * @param relation in an isolated replay nothing is inherited: what fails beside
 *   the origin fails independently.
 */
export function locateOrigin(
  units: readonly JudgedUnit[],
  isSuspect: (unit: JudgedUnit) => boolean,
  relation: RunRelation,
): Localisation {
  const failing = units.map(isSuspect);
  const first = failing.indexOf(true);
  const at = first === -1 ? -1 : skippedLayer(units, first);
  const origin = units[at];
  if (origin === undefined) return { origin: null, roles: units.map(() => null) };
  const { name, layer, group } = origin.measured.unit;
  return {
    origin: { tensor: name, layer, step: group, causes: [] },
    roles: failing.map((fails, index) => {
      if (index === at) return "origin";
      // The silent blocks of a layer that did not run stand before it, and inherit nothing.
      if (!fails || index < at) return null;
      return relation === "isolated" ? "independent" : "inherited";
    }),
  };
}

/** Whether a tensor breaks a rule that is not one of the user's limits. */
function isFaulty({ judgement }: JudgedUnit): boolean {
  return judgement.findings.some(
    ({ level, rule }) => level === "error" && !rule.startsWith("limit/"),
  );
}

/**
 * A layer whose attention and MLP both hand over nothing did not run: the layer
 * is at fault, not the block that happens to come first.
 */
function skippedLayer(units: readonly JudgedUnit[], first: number): number {
  const suspect = units[first];
  if (suspect === undefined || !isSilent(suspect)) return first;
  const { layer, role } = suspect.measured.unit;
  if (role !== "attn") return first;
  const ofLayer = (wanted: string): number =>
    units.findIndex(({ measured: { unit } }) => unit.role === wanted && unit.layer === layer);
  const mlp = units[ofLayer("mlp")];
  const whole = ofLayer("layer");
  return mlp !== undefined && isSilent(mlp) && units[whole]?.judgement.verdict === "fail"
    ? whole
    : first;
}

/** Whether the candidate is zero throughout where the reference is not. */
function isSilent({ measured }: JudgedUnit): boolean {
  const zero = measured.measurement?.figures?.zero;
  return zero !== undefined && zero.candidate && !zero.reference;
}
