/** What `npu-diff explain` can be asked for, by id. */

import { NpuDiffError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { FORMAT_IDS, FORMATS, isFormatId } from "../core/number-format.ts";
import { CAUSE_IDS } from "../diagnose/cause-texts/ids.ts";
import { CAUSES, isCauseId } from "../diagnose/cause-texts/index.ts";
import { expectedNoise } from "../judge/noise.ts";
import { isRuleId, RULE_IDS, RULES } from "../judge/rules.ts";
import type { Entry } from "./explain.ts";
import { FORMAT_TEXTS_EN, FORMAT_TEXTS_ZH } from "./format-texts.ts";

/** Rules, causes and number formats share one space of ids. */
export const IDS: readonly string[] = [...RULE_IDS, ...CAUSE_IDS, ...FORMAT_IDS];

/** The depth for which noise is told where the user names none. */
export const DEFAULT_LAYERS = 32;
export const MOST_LAYERS = 100_000;

/**
 * What a rule, a cause or a number format means, in English and Chinese: `findings[].rule`, `causes[].id`, or
 * `dtype/bf16`.
 *
 * @param options.layers of the model, 1 … 100,000, for which the noise of a number format is told; else 32
 * @throws NpuDiffError `usage` where nothing has that id, or `layers` is no such number
 */
export function explain(id: string, { layers = DEFAULT_LAYERS } = {}): Entry {
  if (!Number.isInteger(layers) || layers < 1 || layers > MOST_LAYERS) {
    throw usage(
      "a model has a whole number of layers",
      { layers: String(layers), expected: `a whole number from 1 to ${MOST_LAYERS}` },
      "give the number of decoder layers",
    );
  }
  if (isRuleId(id)) return { kind: "rule", ...RULES[id] };
  if (isCauseId(id)) return { kind: "cause", ...CAUSES[id] };
  if (isFormatId(id)) {
    const format = FORMATS[id];
    const noiseFloor = format.u === null ? null : expectedNoise(format.u, layers);
    return {
      kind: "dtype",
      ...format,
      noiseFloor,
      en: FORMAT_TEXTS_EN[id],
      zh: FORMAT_TEXTS_ZH[id],
    };
  }
  // As dumps write a dtype, or without its group.
  const lower = id.toLowerCase();
  const meant = IDS.find((one) => one.endsWith(`/${lower}`)) ?? nearest(lower, IDS);
  throw usage(
    `there is no rule, cause or number format ${JSON.stringify(id)}`,
    idsByGroup(),
    meant === null ? "give one of these, such as layer/floor-ratio" : `did you mean ${meant}?`,
  );
}

/** `layer` → `floor-ratio, …`: a line of facts for each group of ids. */
function idsByGroup(): Readonly<Record<string, string>> {
  const groups: Record<string, string> = {};
  for (const id of IDS) {
    const [group = "", name = ""] = id.split("/");
    groups[group] = groups[group] === undefined ? name : `${groups[group]}, ${name}`;
  }
  return groups;
}

function usage(what: string, facts: Readonly<Record<string, string>>, help: string): NpuDiffError {
  return new NpuDiffError("usage", {
    what,
    facts: Object.entries(facts).map(([label, text]) => ({ label, text })),
    help,
  });
}
