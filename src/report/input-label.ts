/** What the run metadata say about a side, in a few words. Everything in it is a stranger's text. */

import { escapeText } from "../core/escape.ts";
import type { InputSummary } from "../core/inputs.ts";
import type { ComparisonResult } from "../core/result.ts";

const LONGEST = 60;

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textAt(run: InputSummary["run"], group: string, key: string): string | null {
  const inner = run[group];
  const value = isRecord(inner) ? inner[key] : undefined;
  return typeof value === "string" && value !== "" ? escapeText(value, LONGEST) : null;
}

/** `npu (Ascend910B2)`; null where the dump does not say. */
export function deviceOf({ run }: InputSummary): string | null {
  const type = textAt(run, "device", "type");
  const name = textAt(run, "device", "name");
  if (type === null || name === null) return type ?? name;
  return type === name ? type : `${type} (${name})`;
}

/** Element type of the run, such as `F16`. */
export function dtypeOf({ run }: InputSummary): string | null {
  const dtype = run["dtype"];
  return typeof dtype === "string" ? escapeText(dtype, LONGEST) : null;
}

/** Id of the model and its number of layers, from the reference or else the candidate. */
export function modelOf({ inputs }: ComparisonResult): {
  readonly id: string | null;
  readonly layers: number | null;
} {
  const runs = [inputs.reference.run, inputs.candidate.run];
  const layers = runs
    .map((run) => (isRecord(run["model"]) ? run["model"]["layers"] : undefined))
    .find((value) => typeof value === "number");
  return {
    id: runs.map((run) => textAt(run, "model", "id")).find((id) => id !== null) ?? null,
    layers: typeof layers === "number" ? layers : null,
  };
}
