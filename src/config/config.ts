/** What a config may say: the types, and the schema that is held to them and published. */

import {
  BASELINE_UPDATES,
  DECISIONS,
  type Decide,
  LIMIT_RANGES,
  type LimitName,
  type Limits,
  PRESETS,
  type Preset,
  type RuleSetting,
  TENSOR_LIMITS,
  type TensorLimitName,
} from "../core/options.ts";
import {
  count,
  described,
  list,
  oneOf,
  options,
  path,
  type Schema,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import { type FigureName, QUALITY_FIGURES, TENSOR_FIGURES } from "../judge/figures.ts";
import { SETTABLE_RULES } from "../judge/levels.ts";
import { RULES } from "../judge/rules.ts";

/** Levels of rules, by their ids. */
export type RuleSettings = Readonly<Partial<Record<string, RuleSetting>>>;

/** Other limits and levels for some tensors. */
export interface Override {
  readonly tensors: readonly string[];
  readonly limits?: Readonly<Partial<Record<TensorLimitName, number>>>;
  readonly rules?: RuleSettings;
}

/** How far a figure may be worse than the baseline's, and what a baseline excuses. */
export interface AllowanceSettings {
  readonly against?: "limits" | "baseline";
  readonly relative?: number;
  readonly absolute?: Readonly<Partial<Record<FigureName, number>>>;
}

/** What can be said for all pairs, and for one. */
export interface Settings {
  readonly preset?: Preset;
  readonly decide?: Decide;
  readonly limits?: Limits;
  readonly rules?: RuleSettings;
  readonly overrides?: readonly Override[];
  readonly map?: string;
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly lmHead?: string;
  readonly lensTokens?: number;
  readonly allowance?: AllowanceSettings;
}

/** One comparison. Paths are relative to the folder of the config. */
export interface Pair extends Settings {
  readonly reference: string;
  readonly candidate: string;
  readonly floor?: readonly string[];
  readonly forced?: readonly string[];
  readonly referencePerformance?: string;
  readonly candidatePerformance?: string;
}

/** What a config says: what holds for all pairs, and the pairs by name. */
export interface Config extends Settings {
  /** For editors. */
  readonly $schema?: string;
  /** File that holds the figures that were accepted. */
  readonly baseline?: string;
  readonly pairs: Readonly<Record<string, Pair>>;
}

const amount: SchemaOf<number> = { type: "number", minimum: 0 };
const globs = (items: SchemaOf<string> = text): SchemaOf<readonly string[]> => list(items);

const LIMIT_DESCRIPTIONS: Readonly<Record<LimitName, string>> = {
  maxRelL2: "Largest relative L2 error of any tensor",
  minCosine: "Smallest cosine of any tensor",
  maxAbs: "Largest absolute error of any element",
  maxMse: "Largest mean squared error of any tensor",
  maxFloorRatio: "Largest ratio of any tensor's error to the noise floor",
  maxPplIncrease: "Largest relative increase of the perplexity: 0.005 is half a per cent",
  maxKl: "Largest mean KL divergence in nats",
  minTop1: "Smallest share of positions with the same first token",
  minFirstToken: "Smallest share of prompts whose next token agrees",
  minDeterminism: "Smallest share of prompts that repeat alike",
};

function limitsSchema<N extends LimitName>(
  names: readonly N[],
): SchemaOf<Readonly<Partial<Record<N, number>>>> {
  const properties = names.map((name) => {
    const { min, max } = LIMIT_RANGES[name];
    return [
      name,
      {
        description: LIMIT_DESCRIPTIONS[name],
        type: "number",
        minimum: min,
        ...(Number.isFinite(max) ? { maximum: max } : {}),
      },
    ];
  });
  return {
    type: "object",
    properties: Object.fromEntries(properties) as Readonly<Record<string, Schema>>,
    additionalProperties: false,
  };
}

const rules: SchemaOf<RuleSettings> = {
  type: "object",
  properties: Object.fromEntries(
    SETTABLE_RULES.map((id) => [
      id,
      { description: RULES[id].en.why, enum: ["off", "warning", "error"] },
    ]),
  ),
  additionalProperties: false,
};

const override: SchemaOf<Override> = {
  ...options<Override>({
    tensors: described("Globs of the tensors that this holds for", { ...globs(), minItems: 1 }),
    limits: described("Limits in the place of those for all tensors", limitsSchema(TENSOR_LIMITS)),
    rules: described("Levels in the place of those for all tensors", rules),
  }),
  required: ["tensors"],
};

const FIGURES = Object.keys({ ...TENSOR_FIGURES, ...QUALITY_FIGURES }) as readonly FigureName[];

const allowance = options<AllowanceSettings>({
  against: described(
    "What decides: limits (the default: absolute limits always, and the baseline beside them), or baseline (a failure that the baseline knows, and that is no worse, is a warning)",
    oneOf<"limits" | "baseline">("limits", "baseline"),
  ),
  relative: described(
    "How far a figure may be worse than the baseline's, as a share of it, or of what a share lacks of 1 (default 0.1)",
    amount,
  ),
  absolute: described(
    "The same in the figure's own unit, on top of that (default 0; 0.001 of perplexityIncrease, 0.005 of top1)",
    {
      type: "object",
      properties: Object.fromEntries(FIGURES.map((name) => [name, amount])),
      additionalProperties: false,
    },
  ),
});

const settings = {
  preset: described("Number format that the limits are scaled by", oneOf<Preset>(...PRESETS)),
  decide: described(
    "What must be inside a limit: the 95 % interval, or the point value",
    oneOf<Decide>(...DECISIONS),
  ),
  limits: described(
    "Limits beside those of the method",
    limitsSchema(Object.keys(LIMIT_RANGES) as readonly LimitName[]),
  ),
  rules: described("Levels of rules: off, warning or error", rules),
  overrides: described(
    "Limits and levels for some tensors; of several the last counts",
    list(override),
  ),
  map: described("File with the names where the dumps' own differ: see map.schema.json", path),
  only: described("Globs: judge only tensors that match one of them", globs()),
  skip: described("Globs: do not judge tensors that match one of them", globs()),
  lmHead: described(
    "Safetensors weights of the model, or the index of its shards: logits come from norm where a side stores none, and layers are looked at through them",
    path,
  ),
  lensTokens: described(
    "Positions that the logit lens looks at in each layer, at most (default 128; 0 for no lens)",
    count,
  ),
  allowance: described("How far a figure may be worse than the baseline's", allowance),
} as const;

const pair: SchemaOf<Pair> = {
  ...options<Pair>({
    reference: described("Reference dump, or the folder of a reference set", path),
    candidate: described("Candidate dump", path),
    floor: described(
      "Noise floors: the reference engine in the candidate's precision",
      globs(path),
    ),
    forced: described("Forced references of the candidate and of the floors", globs(path)),
    referencePerformance: described(
      "Speed of the reference, of npu-dump bench or vllm bench serve --save-result; without it what the dump itself holds",
      path,
    ),
    candidatePerformance: described(
      "Speed of the candidate, likewise; none of it decides anything",
      path,
    ),
    ...settings,
  }),
  required: ["reference", "candidate"],
};

/** Letters and digits of any script, and a few signs between them; the words of `--update` name no pair. */
export const PAIR_NAME = `^(?!(?:${BASELINE_UPDATES.join("|")})$)[\\p{L}\\p{N}][\\p{L}\\p{N}._-]{0,99}$`;

/** Where a config finds its schema: a path inside the npm package. */
export const CONFIG_SCHEMA_ID = "npu-diff/schema/config.schema.json";

export const CONFIG_SCHEMA: SchemaOf<Config> = {
  ...options<Config>({
    $schema: described("For editors", text),
    baseline: described("File that holds the figures that were accepted", {
      type: "string",
      pattern: "^[^\\u0000]+\\.json$",
    }),
    ...settings,
    pairs: described("Comparisons by name", {
      type: "object",
      propertyNames: { type: "string", pattern: PAIR_NAME },
      additionalProperties: pair,
    }),
  }),
  required: ["pairs"],
};
