/**
 * The diagnosis of each step group. Prefill and decode run other kernels: each
 * has a verdict and an origin of its own.
 */

import type { Unit } from "../align/align.ts";
import type { ConfigurationDifference } from "../align/configuration.ts";
import type { RunRelation } from "../align/runs.ts";
import type { Finding } from "../core/findings.ts";
import type { GroupResult, Origin } from "../core/groups.ts";
import { isOpen } from "../core/open-finding.ts";
import type { Role, StepGroup, Verdict } from "../core/verdict.ts";
import { verdictOf } from "../core/verdict-of.ts";
import { tensorName } from "../dump/contract.ts";
import type { JudgedUnit } from "../judge/judge-tensor.ts";
import type { Specimen } from "../measure/specimen.ts";
import { configurationCauses } from "./configuration.ts";
import { CauseNamer } from "./name-causes.ts";
import { locateOrigin, suspicion } from "./origin.ts";

export interface Diagnosis {
  /** The origin of the first group that has one. */
  readonly origin: Origin | null;
  /** Prefill before decode. */
  readonly groups: readonly GroupResult[];
  /** The role of each unit, in their order. */
  readonly roles: readonly (Role | null)[];
}

/** What a diagnosis rests on, beside the units. */
export interface Evidence {
  /** A piece of a unit's data; null where it cannot be read as numbers. */
  readonly specimen: (unit: Unit) => Specimen | null;
  /** In which constants the two models differ. */
  readonly configuration: readonly ConfigurationDifference[];
  /** Everything that the judge found; what belongs to no group counts for the first one. */
  readonly findings: readonly Finding[];
  readonly relation: RunRelation;
  /** Decoder layers. */
  readonly layers: number;
}

/**
 * Diagnoses judged tensors, which are in execution order, prefill before
 * decode.
 *
 * A decode step reads the keys and values that the prefill left in the cache.
 * Where the first module that fails in decode lies in a later layer than the
 * prefill's origin, it has inherited the error too, as far as a plain pair can
 * tell.
 */
export function diagnose(units: readonly JudgedUnit[], evidence: Evidence): Diagnosis {
  const { findings, relation, layers } = evidence;
  const isSuspect = suspicion(units);
  const namer = new CauseNamer(units, evidence.specimen);
  const steps = (["prefill", "decode"] as const).filter(
    (step) =>
      units.some(({ measured }) => measured.unit.group === step) ||
      findings.some(
        (finding) => finding.step === step && (finding.level === "error" || isOpen(finding)),
      ),
  );
  let prefill: Origin | null = null;
  const roles: (Role | null)[] = [];
  const groups = steps.map((step, index): GroupResult => {
    const ofGroup = units.filter(({ measured }) => measured.unit.group === step);
    const located = locateOrigin(ofGroup, isSuspect, relation);
    const { roles: found, systematic } = located;
    const explain = (one: Origin): Origin => explained(one, evidence, namer, systematic !== null);
    const origin = located.origin === null ? null : explain(located.origin);
    const byItself = relation === "isolated" || isOwnFault(ofGroup, origin);
    const throughCache = !byItself && readsErrorOf(prefill, origin, layers);
    roles.push(...found.map((role) => (role === "origin" && throughCache ? "inherited" : role)));
    if (step === "prefill") prefill = origin;
    return {
      step,
      verdict: verdictOfGroup(step, index === 0, evidence),
      origin,
      throughCache,
      independent: located.independent.map(explain),
      systematic,
    };
  });
  return { origin: groups.find(({ origin }) => origin !== null)?.origin ?? null, groups, roles };
}

/** Whether a forced reference shows that the module `origin`, or a block of the layer `origin`, is at fault by itself. */
function isOwnFault(units: readonly JudgedUnit[], origin: Origin | null): boolean {
  return units.some(
    ({ measured, judgement }) =>
      origin !== null &&
      (measured.unit.name === origin.tensor ||
        measured.unit.name.startsWith(`${origin.tensor}.`)) &&
      judgement.findings.some(({ level, rule }) => level === "error" && rule.startsWith("own/")),
  );
}

/** An origin with its causes; another configuration comes first, where that explains it. */
function explained(
  origin: Origin,
  { configuration }: Evidence,
  namer: CauseNamer,
  systematic: boolean,
): Origin {
  const { role } = tensorName(origin.tensor);
  return {
    ...origin,
    causes: [...configurationCauses(configuration, role, systematic), ...namer.causesOf(origin)],
  };
}

function verdictOfGroup(step: StepGroup, isFirst: boolean, { findings }: Evidence): Verdict {
  return verdictOf(findings.filter((one) => one.step === step || (one.step === null && isFirst)));
}

/** Whether the module `later` of a decode step reads keys or values computed after the prefill's `origin`. */
function readsErrorOf(origin: Origin | null, later: Origin | null, layers: number): boolean {
  if (origin === null || later === null) return false;
  const [from, to] = [layerOf(origin, layers), layerOf(later, layers)];
  // No attention comes after the last layer's own.
  return to > from && from < layers - 1;
}

/** The layer of a module: -1 before the first, `layers` behind the last, NaN where it is not known. */
function layerOf({ tensor, layer }: Origin, layers: number): number {
  if (layer !== null) return layer;
  const { role } = tensorName(tensor);
  if (role === "embed") return -1;
  return role === "norm" || role === "logits" ? layers : Number.NaN;
}
