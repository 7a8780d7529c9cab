/** Configurations that differ, as the cause of an error: no statistic finds that, and nothing explains more. */

import { type ConfigurationDifference, shownValue } from "../align/configuration.ts";
import type { CauseResult } from "../core/groups.ts";
import type { TensorRole } from "../dump/contract.ts";

/** Keys that are named in the evidence. */
const SHOWN = 3;

/**
 * How sure the cause is, of 1: a key that the module reads leaves little doubt;
 * one that it does not read may still be why all modules of a kind are off.
 */
const CONFIDENCE = { explains: 0.95, systematic: 0.6 } as const;

/** Modules that have weights and are stored or multiplied in some format. */
const WEIGHTED = ["embed", "attn", "mlp", "router", "norm", "logits"] as const;

/**
 * The roles in which an error shows first where a key differs; of several
 * matching patterns the first. Seen by changing each key in every kind of
 * decoder that the capture is tested on (`fixtures/configuration_cases.py`).
 */
const EXPLAINED: readonly (readonly [pattern: RegExp, roles: readonly TensorRole[]])[] = [
  [/^(quantization_config|weights_dtype|hidden_size)(\.|$)/, WEIGHTED],
  [/^(embedding_multiplier|scale_emb\w*|vocab_size)$/, ["embed", "logits"]],
  [/^(final_logit|output_logit|logit_scale|logits_scaling|lm_head|output_mult)/, ["logits"]],
  [/^(tie_word_embeddings|dim_model_base)$/, ["logits"]],
  [/(^|_)eps(ilon)?$|^norm_type$/, ["embed", "attn", "mlp", "norm"]],
  [/^(residual_|scale_depth|layers$)/, ["attn", "mlp", "layer"]],
  [
    /^(use_parallel_residual|parallel_attn|new_decoder)|norm_before$|post_layernorm$/,
    ["attn", "mlp", "layer"],
  ],
  [/act(ivation)?(_function)?$/, ["mlp", "attn"]],
  [/^(swiglu_|mlp_)/, ["mlp"]],
  [
    /expert|norm_topk|^topk_|top_k$|moe_|rout|^scoring_func$|^n_group$|^first_k_dense|sparse_step$/,
    ["mlp", "router"],
  ],
  [
    /rope|rotary|attn|attention|softmax|head|qk_|clip_qkv|key_mult|window|layer_types|alibi/,
    ["attn"],
  ],
  [/position|floor_scale|ssm_|mamba_|time_step/, ["attn"]],
];

/**
 * The cause of an origin of `role`, as a list of none or one.
 *
 * @param systematic whether most modules of a kind are at fault: any key may be why then.
 */
export function configurationCauses(
  differences: readonly ConfigurationDifference[],
  role: TensorRole,
  systematic: boolean,
): readonly CauseResult[] {
  const explaining = differences.filter(({ key }) => explains(key, role));
  const found = explaining.length === 0 && systematic ? differences : explaining;
  if (found.length === 0) return [];
  const shown = found
    .slice(0, SHOWN)
    .map(
      ({ key, reference, candidate }) =>
        `${nameOf(key)} ${shownValue(reference)} against ${shownValue(candidate)}`,
    );
  const more = found.length > SHOWN ? [`and ${found.length - SHOWN} more`] : [];
  const evidence = [...shown, ...more].join("; ");
  return [
    {
      id: "cause/configuration",
      confidence: explaining.length === 0 ? CONFIDENCE.systematic : CONFIDENCE.explains,
      evidence,
      detail: { differences: evidence },
    },
  ];
}

/** Whether a module of `role` computes otherwise where `key` differs. */
function explains(key: string, role: TensorRole): boolean {
  const name = nameOf(key);
  return EXPLAINED.find(([pattern]) => pattern.test(name))?.[1].includes(role) ?? false;
}

function nameOf(key: string): string {
  return key.replace(/^model\./, "");
}
