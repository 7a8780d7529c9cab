/** In which constants two runs' models differ, by their own word. */

import { NpuDiffError } from "../core/errors.ts";
import type { Dump, RunMetadata } from "../dump/dump.ts";
import { type MetadataDifference, metadataDifferences } from "./environment.ts";

/** A constant that changes what a model computes, with the values of both sides. */
export type ConfigurationDifference = MetadataDifference;

/** Differences listed at most: metadata is a file's own word, of any size. */
const MAX_DIFFERENCES = 50;

/**
 * What tells models apart without changing what a given one computes from given
 * token ids. `residual` and `residual_scale` are no setting but what a capture
 * saw.
 */
const IDENTITY = new Set(
  [
    ...["id", "architecture", "parameters", "config_sha256", "weights_sha256"],
    ...["tokenizer_class", "tokenizer_sha256", "bos_token_id", "eos_token_id", "pad_token_id"],
    ...["residual", "residual_scale", "max_position_embeddings"],
  ].map((key) => `model.${key}`),
);

/** Differences between two models: those that change what is computed, and the others. */
export interface ModelDifferences {
  readonly configuration: readonly ConfigurationDifference[];
  readonly identity: readonly MetadataDifference[];
}

/**
 * The keys of `model` whose values both sides state and that differ. What only
 * one side says tells nothing about the other; `null` is a statement, «none».
 * Numbers that are one number in float32 do not differ: file formats round them.
 */
export function modelDifferences(reference: RunMetadata, other: RunMetadata): ModelDifferences {
  const configuration = new Map<string, ConfigurationDifference>();
  const identity: MetadataDifference[] = [];
  for (const found of metadataDifferences("model", reference["model"], other["model"])) {
    const values = [found.reference, found.candidate];
    if (values.includes(undefined)) continue;
    const [mine, theirs] = values.map(rounded);
    if (mine === theirs) continue;
    if (IDENTITY.has(found.key)) {
      if (identity.length < MAX_DIFFERENCES) identity.push(found);
      continue;
    }
    // A rotary base stands both by itself and among the rotary settings.
    const same = JSON.stringify([found.key.split(".").at(-1), mine, theirs]);
    const known = configuration.get(same);
    if (known === undefined && configuration.size === MAX_DIFFERENCES) continue;
    if (known === undefined || found.key.length < known.key.length) configuration.set(same, found);
  }
  return { configuration: [...configuration.values()], identity };
}

/**
 * Refuses a forced reference that another model has made: other weights, or
 * other constants, are no reference.
 *
 * @throws NpuDiffError `forced-incompatible`.
 */
export function refuseOtherModel(forced: Dump, reference: Dump): void {
  const { configuration, identity } = modelDifferences(reference.run, forced.run);
  const found = [...identity.filter(({ key }) => key === "model.weights_sha256"), ...configuration];
  const [first] = found;
  if (first === undefined) return;
  const more = found.length === 1 ? "" : `, and ${found.length - 1} more`;
  throw new NpuDiffError("forced-incompatible", {
    what: `${forced.file} was made by another model than the reference`,
    facts: [
      {
        label: "reference",
        text: `${reference.file}   ${first.key} ${shownValue(first.reference)}`,
      },
      {
        label: "forced",
        text: `${forced.file}   ${first.key} ${shownValue(first.candidate)}${more}`,
      },
    ],
    help: "make it with npu-dump replay and the very model of the reference",
  });
}

/** Characters of a value that are shown. */
const LONGEST_SHOWN = 80;

/** A value of the metadata as JSON, cut where it is long. */
export function shownValue(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN - 1)}…` : text;
}

/** A value as text, its numbers rounded to float32. */
function rounded(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "number" && Number.isFinite(Math.fround(inner)) ? Math.fround(inner) : inner,
  );
}
