/** What a run may say of itself that is not so. */

import type { RunMetadata } from "../../src/dump/dump.ts";

/** Ids that a lie may take for its own. */
export interface KnownIds {
  readonly reference: string;
  readonly floor: string;
}

export type Lie = (run: RunMetadata, known: KnownIds) => RunMetadata;

function inSection(section: string, facts: Readonly<Record<string, unknown>>): Lie {
  return (run) => ({ ...run, [section]: { ...(run[section] as object), ...facts } });
}

function replays(of: (run: RunMetadata, known: KnownIds) => unknown): Lie {
  return (run, known) => inSection("capture", { replay_of: of(run, known) })(run, known);
}

/** Lies by what they say. */
export const LIES: Readonly<Record<string, Lie>> = {
  "fewer layers": inSection("model", { layers: 3 }),
  "more layers": inSection("model", { layers: 5 }),
  "layers by the billion": inSection("model", { layers: 1e9 }),
  "no number of layers": inSection("model", { layers: "4" }),
  "a residual scale": inSection("model", { residual_scale: 2 }),
  "a residual scale for each layer": inSection("model", { residual_scale: [1, 1, 2, 1] }),
  "a residual scale of nothing": inSection("model", { residual_scale: 0 }),
  "a parallel residual stream": inSection("model", { residual: "parallel" }),
  "another architecture": inSection("model", { architecture: "MixtralForCausalLM" }),
  "a narrower selection": inSection("capture", { select: ["logits"] }),
  "a wider selection": inSection("capture", { select: ["embed", "layers.*", "layers.9.mlp"] }),
  "no selection": inSection("capture", { select: null }),
  "a selection that is none": inSection("capture", { select: "layers.*" }),
  "the reference's id": (run, { reference }) => ({ ...run, id: reference }),
  "a floor's id": (run, { floor }) => ({ ...run, id: floor }),
  "a replay of the reference": replays((_run, { reference }) => ({ id: reference })),
  "a replay of a floor": replays((_run, { floor }) => ({ id: floor })),
  "a replay of itself": replays(({ id }) => ({ id })),
  "one rank of two": inSection("parallel", { world_size: 2, rank: 0 }),
  "run in F16": (run) => ({ ...run, dtype: "F16" }),
  "run in F32": (run) => ({ ...run, dtype: "F32" }),
  "run in F64": (run) => ({ ...run, dtype: "F64" }),
  "run in FP8": (run) => ({ ...run, dtype: "F8_E4M3" }),
  "another seed": (run) => ({ ...run, seed: 7 }),
  "another device": inSection("device", { type: "npu", name: "Ascend910B2" }),
};
