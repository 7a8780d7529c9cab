/** The limits that somebody set, for a tensor and in all, and who set them. */

import type { LimitSource } from "../core/findings.ts";
import {
  type CompareOptions,
  type LimitName,
  type Limits,
  TENSOR_LIMITS,
} from "../core/options.ts";
import { matchesAny } from "../dump/contract.ts";

/** The limits that hold for one tensor, or for the whole comparison. */
export interface SetLimits {
  readonly limits: Limits;
  readonly limitsOfConfig: CompareOptions["limitsOfConfig"];
}

/** Who set `limit`: a config, or the call. */
export function setBy({ limitsOfConfig }: SetLimits, limit: LimitName): "flag" | "config" {
  return limitsOfConfig.includes(limit) ? "config" : "flag";
}

/** Whether a limit is one that somebody set: it holds whatever the reason of an error. */
export function isSet(source: LimitSource | null | undefined): boolean {
  return source === "flag" || source === "config";
}

/**
 * The limits of the tensor `name`: those of all tensors, and in their place those
 * of the overrides that match it. What was given in the call stands before any override.
 */
export function limitsFor(
  name: string,
  given: SetLimits & Pick<CompareOptions, "overrides">,
): SetLimits {
  const matching = given.overrides.filter(({ tensors }) => matchesAny(tensors, name));
  if (matching.length === 0) return given;
  const own = matching.flatMap(({ limits }) =>
    TENSOR_LIMITS.flatMap((limit) => {
      const value = limits[limit];
      const isGiven = given.limits[limit] !== undefined && setBy(given, limit) === "flag";
      return value === undefined || isGiven ? [] : [[limit, value] as const];
    }),
  );
  return {
    limits: { ...given.limits, ...Object.fromEntries(own) },
    limitsOfConfig: [...given.limitsOfConfig, ...own.map(([limit]) => limit)],
  };
}
