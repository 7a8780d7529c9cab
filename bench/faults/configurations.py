"""What the tiny models are, in the words of transformers' configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

VOCABULARY = 256
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.05,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
HEADS = {**COMMON, "head_dim": 32}
SLIDING = ("sliding_attention", "full_attention") * 3
MOE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 96}


def rope(theta: float, **scaling: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **scaling}}


@dataclass(frozen=True)
class Tiny:
    """A tiny model.

    Attributes:
        kind: its ``model_type``.
        half: which half of the benchmark it belongs to.
        config: what differs from the configuration's defaults.
        steps: of training.
    """

    kind: str
    half: Literal["calibrate", "report", "both", "small"]
    config: Mapping[str, Any]
    steps: int = 300


TINY: dict[str, Tiny] = {
    # Trained in seconds, for the tests.
    "small-moe": Tiny(
        "qwen3_moe",
        "small",
        HEADS | MOE | rope(10_000.0) | {"hidden_size": 64, "num_hidden_layers": 3, "moe_intermediate_size": 48},
        steps=60,
    ),
    # Long wavelengths by scaled frequencies.
    "llama": Tiny(
        "llama",
        "calibrate",
        COMMON
        | rope(
            500_000.0,
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=128,
        ),
    ),
    # A norm on queries and keys.
    "qwen3": Tiny("qwen3", "calibrate", HEADS | rope(1_000_000.0) | {"tie_word_embeddings": True}),
    # A mixture of experts whose router's weights are normalised.
    "qwen3-moe": Tiny("qwen3_moe", "calibrate", HEADS | MOE | rope(1_000_000.0) | {"norm_topk_prob": True}),
    # Biases on queries, keys and values.
    "qwen2": Tiny("qwen2", "calibrate", COMMON | rope(100_000.0)),
    # A state space model beside attention.
    "bamba": Tiny(
        "bamba",
        "calibrate",
        COMMON
        | rope(10_000.0)
        | {
            "attn_layer_indices": [2, 5],
            "mamba_n_heads": 8,
            "mamba_d_head": 32,
            "mamba_d_state": 16,
            "mamba_n_groups": 1,
            "mamba_chunk_size": 32,
        },
    ),
    # Soft caps of attention and logits, norms after the blocks, windows in every other layer.
    "gemma2": Tiny(
        "gemma2",
        "both",
        HEADS
        | {
            "query_pre_attn_scalar": 32,
            "attn_logit_softcapping": 10.0,
            "final_logit_softcapping": 20.0,
            "sliding_window": 32,
            "layer_types": list(SLIDING),
        },
    ),
    # Attention sinks, windows, biases, a mixture of experts.
    "gpt-oss": Tiny(
        "gpt_oss",
        "both",
        HEADS
        | {
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "intermediate_size": 96,
            "sliding_window": 32,
            "layer_types": list(SLIDING),
        }
        | rope(150_000.0),
    ),
    # A norm on queries and keys, two rotary bases, windows.
    "gemma3": Tiny(
        "gemma3_text",
        "report",
        HEADS | {"query_pre_attn_scalar": 32, "sliding_window": 32, "layer_types": list(SLIDING)},
    ),
    # A mixture of experts, normalised after the choice, windows in all layers.
    "mixtral": Tiny(
        "mixtral",
        "report",
        COMMON
        | rope(1_000_000.0)
        | {"num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 96, "sliding_window": 48},
    ),
    # Latent attention, shared experts, interleaved rotary layout.
    "deepseek-v3": Tiny(
        "deepseek_v3",
        "report",
        COMMON
        | rope(10_000.0)
        | {
            "q_lora_rank": 64,
            "kv_lora_rank": 32,
            "qk_rope_head_dim": 16,
            "qk_nope_head_dim": 32,
            "v_head_dim": 32,
            "num_key_value_heads": 4,
            "n_routed_experts": 8,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
        },
    ),
    # Factors on embedding, attention, residual sum and logits.
    "granite": Tiny(
        "granite",
        "report",
        COMMON
        | rope(10_000.0)
        | {
            "residual_multiplier": 0.22,
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.125,
            "logits_scaling": 4.0,
        },
    ),
    # Gated linear attention beside full attention, a shared expert.
    "qwen3-next": Tiny(
        "qwen3_next",
        "report",
        HEADS
        | MOE
        | rope(1_000_000.0, partial_rotary_factor=0.5)
        | {
            "shared_expert_intermediate_size": 96,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
            "layer_types": ["linear_attention", "linear_attention", "full_attention"] * 2,
        },
    ),
}
