/** Canonical names of one file: what the output of a module is may follow from the modules beside it. */

import { bareName, canonicalName } from "./canonical-names.ts";

/**
 * Norms behind a block, by the block that they belong to: what they hand out goes to the residual sum, not what the
 * block hands to them. Each pair tells itself by a norm that other models do not have (Gemma 2, OLMo 2; GLM 4).
 */
const BEHIND: readonly {
  readonly tells: RegExp;
  readonly attn: string;
  readonly mlp: string;
}[] = [
  {
    tells: /\.(?:pre|post)_feedforward_layernorm$/u,
    attn: "post_attention_layernorm",
    mlp: "post_feedforward_layernorm",
  },
  {
    tells: /\.post_(?:self_attn|mlp)_layernorm$/u,
    attn: "post_self_attn_layernorm",
    mlp: "post_mlp_layernorm",
  },
];

const BLOCK = /^layers\.\d+\.(?:attn|mlp)$/u;

/** The canonical name of each of a file's `paths`; null for those that have none. */
export function namesOfFile(paths: readonly string[]): (path: string) => string | null {
  const behind = BEHIND.find(({ tells }) =>
    paths.some((path) => tells.test(bareName(path)) && layerOf(path) !== null),
  );
  if (behind === undefined) return (path) => canonicalName(bareName(path));
  return (path) => {
    const bare = bareName(path);
    const layer = layerOf(bare);
    if (layer !== null) {
      if (layer.rest === behind.attn) return `layers.${layer.number}.attn`;
      if (layer.rest === behind.mlp) return `layers.${layer.number}.mlp`;
    }
    const name = canonicalName(bare);
    // What a block hands to its norm is something else.
    return name !== null && BLOCK.test(name) ? null : name;
  };
}

const LAYER = /^(?:layers|h|blocks)\.(0|[1-9]\d{0,8})\.(.+)$/u;

function layerOf(path: string): { readonly number: string; readonly rest: string } | null {
  const found = LAYER.exec(bareName(path));
  return found === null ? null : { number: found[1] ?? "", rest: found[2] ?? "" };
}
