/** The config that `npu-diff init` writes: one pair, and comments on what else may be said. */

import { BASELINE_UPDATES } from "../core/options.ts";

/** What a new config is made of; paths as the config has them. */
export interface Starter {
  /** Where its schema is, for editors; null leaves it out. */
  readonly schema: string | null;
  readonly name: string;
  readonly reference: string;
  readonly candidate: string;
  readonly floor: readonly string[];
  readonly forced: readonly string[];
  /** Null leaves it to the dtypes of the two sides. */
  readonly preset: string | null;
}

/** The words of `npu-diff check --update` name no pair. */
const RESERVED: ReadonlySet<string> = new Set(BASELINE_UPDATES);

/** The text of the config, ending with a newline. Names are quoted, never put into a comment. */
export function starterText({
  name,
  reference,
  candidate,
  floor,
  forced,
  preset,
  schema,
}: Starter): string {
  const lines = [
    `"reference": ${JSON.stringify(reference)},`,
    `"candidate": ${JSON.stringify(candidate)},`,
    ...(floor.length === 0 ? [] : [`"floor": ${JSON.stringify(floor)},`]),
    ...(forced.length === 0 ? [] : [`"forced": ${JSON.stringify(forced)},`]),
    ...(preset === null ? [] : [`"preset": ${JSON.stringify(preset)},`]),
  ];
  return `{
${schema === null ? "" : `  "$schema": ${JSON.stringify(schema)},\n\n`}  // Figures that were accepted. npu-diff check -u writes them; a figure that gets worse fails.
  "baseline": "npu-diff.baseline.json",

  // How far a figure may be worse than the baseline's, as a share of it.
  "allowance": { "relative": 0.1 },

  // What npu-diff check compares. Paths are relative to this file.
  "pairs": {
    ${JSON.stringify(name)}: {
${lines.map((line) => `      ${line}`).join("\n")}

      // Limits of your own, beside those of the method:
      // "limits": { "maxPplIncrease": 0.005, "minTop1": 0.98 },

      // Levels of rules: off, warning, error. Every report says what is off.
      // "rules": { "quality/flips": "warning" },

      // Limits and levels for some tensors:
      // "overrides": [{ "tensors": ["*.router"], "limits": { "maxRelL2": 0.5 } }],
    },
  },
}
`;
}

/** A name for a pair: that of the model, or else of the candidate's file, with the dtype. */
export function starterName(model: string | null, file: string, dtype: string): string {
  const base = (model ?? file.replace(/\.arrow$/, "")).split(/[\\/]/).at(-1) ?? "";
  const words = `${base}-${dtype}`.toLowerCase();
  const name = words
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, "-")
    .replaceAll(/-{2,}/g, "-")
    .replace(/^[._-]+/, "")
    .slice(0, 80);
  return name === "" || RESERVED.has(name) ? "pair" : name;
}
