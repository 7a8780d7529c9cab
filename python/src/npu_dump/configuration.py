"""What of a configuration changes what a model computes: the constants by which two set-ups of one model differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

# A key stands under each name that a family of models has for it.
_NAMES = {
    "attention": """
        attention_multiplier attn_scale attention_scale softmax_scale query_pre_attn_scalar scale_attn_weights
        scale_attn_by_inverse_layer_idx attn_logit_softcapping attn_temperature_tuning floor_scale clip_qkv
        key_multiplier attention_in_multiplier attention_out_multiplier attention_value_scale
        use_qk_norm qk_norm qk_layernorm attention_bias alibi use_bidirectional_attention position_embedding_type
    """,
    "windows": """
        sliding_window use_sliding_window max_window_layers sliding_window_pattern attention_window
        attention_chunk_size no_rope_layers no_rope_layer_interval
    """,
    "positions": """
        rope_theta rope_scaling rope_interleave rope_local_base_freq global_rope_theta local_rope_theta
        rotary_pct rotary_dim rotary_emb_base rotary_embedding_base partial_rotary_factor
        max_position_embeddings original_max_position_embeddings
    """,
    "norms": """
        rms_norm_eps layer_norm_eps layer_norm_epsilon norm_eps norm_epsilon norm_type
        do_layer_norm_before apply_residual_connection_post_layernorm
    """,
    "mlps": """
        hidden_act hidden_activation activation_function mlp_bias swiglu_alpha swiglu_limit mlp_multipliers
    """,
    "experts": """
        num_experts num_local_experts n_routed_experts n_shared_experts num_experts_per_tok moe_top_k moe_k
        norm_topk_prob routed_scaling_factor route_scale router_scaling_factor moe_router_scaling_factor
        moe_router_logit_softcapping scoring_func topk_method n_group topk_group first_k_dense_replace
        decoder_sparse_step mlp_only_layers
    """,
    "residuals": """
        residual_multiplier scale_depth use_parallel_residual parallel_attn new_decoder_architecture
    """,
    "ends": """
        embedding_multiplier scale_emb scale_embedding final_logit_softcapping output_logit_soft_cap logit_scale
        logits_scaling lm_head_multiplier output_multiplier dim_model_base
    """,
    "states": """
        ssm_in_multiplier ssm_out_multiplier ssm_multipliers mamba_norm_before_gate mamba_rms_norm time_step_limit
    """,
    "tokens": "bos_token_id eos_token_id pad_token_id",
}
CONSTANTS = tuple(name for names in _NAMES.values() for name in names.split())


def constants(config: Any) -> dict[str, Any]:
    """Return what a text configuration says of the constants; None where it says that there is none (no soft cap).

    Rotary settings are written as transformers 5 does, whatever version it is: ``rope_parameters``, by type of layer
    where types differ. ``quantization_config`` is None in a model that is not quantised. What is no JSON is left out.
    """
    facts = {name: getattr(config, name) for name in CONSTANTS if hasattr(config, name)}
    rope = rope_parameters(config)
    if rope:
        facts["rope_parameters"] = rope
        base = rope.get("full_attention", rope)
        facts["rope_theta"] = base.get("rope_theta") if isinstance(base, Mapping) else None
    if "rope_scaling" in facts and facts["rope_scaling"] == getattr(config, "rope_parameters", None):
        # transformers 5 shows the same object under its old name, too.
        del facts["rope_scaling"]
    quantization: Any = getattr(config, "quantization_config", None)
    facts["quantization_config"] = quantization.to_dict() if hasattr(quantization, "to_dict") else quantization
    return as_json(facts)


def rope_parameters(config: Any) -> dict[str, Any]:
    """Return the rotary settings in one form; empty where the configuration has none."""
    given = getattr(config, "rope_parameters", None)
    if isinstance(given, Mapping):
        return {
            key: _settings(value) if isinstance(value, Mapping) else value for key, value in _settings(given).items()
        }
    theta, scaling = getattr(config, "rope_theta", None), getattr(config, "rope_scaling", None)
    if theta is None and not scaling:
        return {}
    share = getattr(config, "partial_rotary_factor", None)
    plain = {"rope_type": "default", "rope_theta": theta} | (
        {} if share is None else {"partial_rotary_factor": share}
    )
    scaled = plain | (_settings(scaling) if isinstance(scaling, Mapping) else {})
    local = getattr(config, "rope_local_base_freq", None)
    return scaled if local is None else {"full_attention": scaled, "sliding_attention": plain | {"rope_theta": local}}


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return rotary settings with the type under its newer name."""
    settings = dict(given)
    if "type" in settings:
        settings.setdefault("rope_type", settings.pop("type"))
        settings.pop("type", None)
    return settings


def as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that JSON can hold, infinities as words."""
    plain = {name: _plain(value) for name, value in facts.items()}
    return {name: value for name, value in plain.items() if _is_json(value)}


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold where there is one: infinities as words, tuples as lists."""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
