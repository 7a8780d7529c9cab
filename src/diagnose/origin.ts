/**
 * Where an error begins: the first module of a step group in execution order
 * that is beyond its limit. What fails after it has inherited the error, as far
 * as a plain pair can tell; where each module was measured on its own, it can be
 * told.
 */

import type { RunRelation } from "../align/runs.ts";
import type { Origin, Systematic } from "../core/groups.ts";
import type { Role } from "../core/verdict.ts";
import type { JudgedUnit } from "../judge/judge-tensor.ts";

export interface Localisation {
  readonly origin: Origin | null;
  /** The role of each suspect, in their order. */
  readonly roles: readonly (Role | null)[];
  /** What is at fault by itself beside the origin. */
  readonly independent: readonly Origin[];
  readonly systematic: Systematic | null;
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
 * Where modules were measured on their own, the origin is the first whose own
 * error is beyond its limit, every further one is at fault by itself, and what
 * only the plain pair finds behind it is inherited.
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
  const byItself = units.map(
    (unit, index) => failing[index] === true && (isAtFault(unit) || !isOwnKnown(unit)),
  );
  const decisive = units.some(isAtFault) ? byItself : failing;
  const first = decisive.indexOf(true);
  const at = first === -1 ? -1 : residualSum(units, skippedLayer(units, first));
  const origin = units[at];
  if (origin === undefined) {
    return { origin: null, roles: units.map(() => null), independent: [], systematic: null };
  }
  const roles = failing.map((fails, index): Role | null => {
    if (index === at) return "origin";
    if (!fails) return null;
    // Right on its own input: what it shows was carried there.
    if (index < first) return "carried";
    // The blocks of a layer that stand for it are part of the origin.
    if (index < at) return "part";
    const unit = units[index];
    const alone = relation === "isolated" || (unit !== undefined && isAtFault(unit));
    return alone ? "independent" : "inherited";
  });
  return {
    origin: originOf(origin),
    roles,
    independent: units.filter((_, index) => roles[index] === "independent").map(originOf),
    systematic: systematicFault(units),
  };
}

function originOf({ measured }: JudgedUnit): Origin {
  const { name, layer, group } = measured.unit;
  return { tensor: name, layer, step: group, causes: [] };
}

/** Whether a module's own error is beyond its limit. */
function isAtFault({ judgement }: JudgedUnit): boolean {
  return judgement.findings.some(({ level, rule }) => level === "error" && rule.startsWith("own/"));
}

/** Whether a module's own error was held to anything. */
function isOwnKnown({ judgement }: JudgedUnit): boolean {
  return judgement.own.decidedBy !== null;
}

/** Kinds of modules that every layer has, in execution order. */
const KINDS = ["attn", "router", "mlp", "layer"] as const;

/** Fewer places than this are too few to call a fault one of the kind. */
const LEAST_PLACES = 3;

/** The first kind of module that is at fault by itself in more than half of its places. */
function systematicFault(units: readonly JudgedUnit[]): Systematic | null {
  for (const role of KINDS) {
    const places = units.filter(
      (judged) => judged.measured.unit.role === role && isOwnKnown(judged),
    );
    const faulty = places.filter(isAtFault).length;
    if (places.length >= LEAST_PLACES && faulty > places.length / 2) {
      return { role, faulty, places: places.length };
    }
  }
  return null;
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

/**
 * Where the sum before the MLP is wrong, the MLP was given another input than
 * the stream tells, and the layer does not close either, though its attention is
 * right: the sum is at fault, which belongs to the layer.
 */
function residualSum(units: readonly JudgedUnit[], first: number): number {
  const suspect = units[first];
  if (suspect?.measured.unit.role !== "mlp" || !isAtFault(suspect)) {
    return first;
  }
  const { layer } = suspect.measured.unit;
  const whole = units.findIndex(
    ({ measured: { unit } }) => unit.role === "layer" && unit.layer === layer,
  );
  const sum = units[whole];
  return sum !== undefined && isAtFault(sum) ? whole : first;
}

/** Whether the candidate is zero throughout where the reference is not. */
export function isSilent({ measured }: JudgedUnit): boolean {
  const zero = measured.measurement?.figures?.zero;
  return zero !== undefined && zero.candidate && !zero.reference;
}
