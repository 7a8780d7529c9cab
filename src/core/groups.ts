/** Step groups, and where their errors begin. Field names are frozen, additions only. */

import type { Finding } from "./findings.ts";
import type { StepGroup, Verdict } from "./verdict.ts";

/** A kind of error that explains an origin. */
export interface CauseResult {
  readonly id: string;
  /** How sure the rule is, 0 … 1: a judgement, no probability. */
  readonly confidence: number;
  /** What was seen, in English. */
  readonly evidence: string;
  /** The numbers behind it, by the names that the cause's texts use. */
  readonly detail: Finding["detail"];
}

/** Where the error of a step group begins, or a module that is at fault beside it. */
export interface Origin {
  readonly tensor: string;
  readonly layer: number | null;
  readonly step: StepGroup;
  readonly causes: readonly CauseResult[];
}

/** The verdict on one step group; the whole comparison passes only where every group does. */
export interface GroupResult {
  readonly step: StepGroup;
  readonly verdict: Verdict;
  /** The first module of the group beyond its limit. */
  readonly origin: Origin | null;
  /**
   * Whether that module reads keys and values which the prefill computed after
   * its own origin: the error may have come through the cache, and nothing but
   * a decode without the prefill's fault can tell.
   */
  readonly throughCache: boolean;
  /** Further modules that are at fault by themselves, whatever they inherited: known where each was measured on its own. */
  readonly independent: readonly Origin[];
  /** A kind of module that is at fault in more than half of its places: a matter of configuration rather than of one module. */
  readonly systematic: Systematic | null;
}

/** A kind of module that is at fault nearly everywhere. */
export interface Systematic {
  /** `attn`, `mlp`, `layer` or `router`. */
  readonly role: string;
  /** Places at fault, and how many there are. */
  readonly faulty: number;
  readonly places: number;
}
