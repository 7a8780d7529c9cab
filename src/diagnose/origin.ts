/**
 * Where an error begins: the first module in execution order that is beyond
 * its limit. What fails after it has inherited the error, as far as a plain
 * pair can tell.
 */

import type { Origin, Role } from "../core/result.ts";
import type { JudgedUnit } from "../judge/judge-tensor.ts";

export interface Localisation {
  readonly origin: Origin | null;
  /** The role of each suspect, in their order. */
  readonly roles: readonly (Role | null)[];
}

/**
 * Finds the origin among judged tensors in execution order; null where none
 * fails. A limit that the user set says how large an error may be, not where
 * it begins: tensors that break nothing else have no role, unless nothing
 * breaks any other rule.
 */
export function locateOrigin(suspects: readonly JudgedUnit[]): Localisation {
  const faulty = suspects.map(isFaulty);
  const failing = faulty.includes(true)
    ? faulty
    : suspects.map(({ judgement }) => judgement.verdict === "fail");
  const first = failing.indexOf(true);
  const at = first === -1 ? -1 : skippedLayer(suspects, first);
  const origin = suspects[at];
  if (origin === undefined) return { origin: null, roles: suspects.map(() => null) };
  const { name, layer, group } = origin.measured.unit;
  return {
    origin: { tensor: name, layer, step: group, causes: [] },
    roles: failing.map((fails, index) => {
      if (index === at) return "origin";
      // The silent blocks of a layer that did not run stand before it, and inherit nothing.
      return fails && index > at ? "inherited" : null;
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
function skippedLayer(suspects: readonly JudgedUnit[], first: number): number {
  const suspect = suspects[first];
  if (suspect === undefined || !isSilent(suspect)) return first;
  const { layer, group, role } = suspect.measured.unit;
  if (role !== "attn") return first;
  const ofLayer = (wanted: string): number =>
    suspects.findIndex(
      ({ measured: { unit } }) =>
        unit.role === wanted && unit.layer === layer && unit.group === group,
    );
  const mlp = suspects[ofLayer("mlp")];
  const whole = ofLayer("layer");
  return mlp !== undefined && isSilent(mlp) && suspects[whole]?.judgement.verdict === "fail"
    ? whole
    : first;
}

/** Whether the candidate is zero throughout where the reference is not. */
function isSilent({ measured }: JudgedUnit): boolean {
  const zero = measured.measurement?.figures?.zero;
  return zero !== undefined && zero.candidate && !zero.reference;
}
