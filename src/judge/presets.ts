/** The number format that limits are scaled by. */

import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { Preset } from "../core/options.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { RunMetadata } from "../dump/dump.ts";
import { PRESET_DTYPES } from "./limits.ts";

/** A preset made concrete for one pair. */
export interface Scale {
  readonly preset: ComparisonResult["preset"];
  /** Whether bit equality is asked for. */
  readonly exact: boolean;
  readonly u: number;
  /** Whether both sides are of a format as coarse as that. */
  readonly bothSides: boolean;
}

/**
 * The scale of a comparison: `auto` takes the candidate's `dtype`, or the reference's where that is coarser. No error
 * below the reference's own rounding can be told from it.
 *
 * @throws NpuDiffError `dump-metadata` where `auto` meets an integer dtype.
 */
export function scaleOf(preset: Preset, reference: RunMetadata, candidate: RunMetadata): Scale {
  const side = coarser(reference, candidate);
  const name = preset === "auto" ? presetOf(side) : preset;
  const uReference = DTYPES[reference.dtype].u ?? 0;
  if (name === "exact") return { preset: "exact", exact: true, u: DTYPES.F64.u, bothSides: true };
  // Two formats of eight bits share a preset; the coarser one counts where a side has it.
  const named = DTYPES[PRESET_DTYPES[name]].u;
  const u = name === "fp8" ? Math.max(named, DTYPES[candidate.dtype].u ?? 0, uReference) : named;
  const bothSides = uReference >= u && (preset !== "auto" || side === candidate);
  return { preset: name, exact: false, u, bothSides };
}

/** The side with the larger u; the candidate's dtype must be one of which it is known. */
function coarser(reference: RunMetadata, candidate: RunMetadata): RunMetadata {
  return isFloatDType(candidate.dtype) && isCoarser(reference, candidate) ? reference : candidate;
}

/** Whether `a` ran in a coarser float format than `b`. */
export function isCoarser(a: RunMetadata, b: RunMetadata): boolean {
  return (DTYPES[a.dtype].u ?? 0) > (DTYPES[b.dtype].u ?? 0);
}

function presetOf(candidate: RunMetadata): keyof typeof PRESET_DTYPES {
  const { dtype } = candidate;
  if (!isFloatDType(dtype)) {
    throw new NpuDiffError("dump-metadata", {
      what: "the candidate's dtype is no number format that limits are known for",
      facts: [
        { label: "candidate", text: dtype },
        { label: "known", text: "F64 F32 F16 BF16 F8_E4M3 F8_E5M2" },
      ],
      help: "name the format that its engine computed in with --preset",
    });
  }
  switch (dtype) {
    case "F64":
      return "f64";
    case "F32":
      return "f32";
    case "F16":
      return "f16";
    case "BF16":
      return "bf16";
    case "F8_E4M3":
    case "F8_E5M2":
      return "fp8";
  }
}
