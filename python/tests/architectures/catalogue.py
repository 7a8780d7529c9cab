"""Every sort of decoder that the capture is tested on."""

from __future__ import annotations

from typing import Any

from .minicpm.modeling_minicpm import minicpm
from .models import VOCABULARY, Architecture

COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "pad_token_id": None,
}
HEADS = {**COMMON, "head_dim": 8}
GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": VOCABULARY, "n_positions": 64}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SHARED_EXPERT = {"shared_expert_intermediate_size": 16}
GATED_DELTA = {
    **HEADS,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}
HYBRID = ("linear_attention", "full_attention", "linear_attention")
SLIDING = ("sliding_attention", "full_attention", "sliding_attention")
VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
SOFT_CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
DEEPSEEK = {
    **COMMON,
    **LATENT,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 2,
    "topk_group": 1,
    # The first layer is dense.
    "first_k_dense_replace": 1,
}
CATALOGUE: dict[str, Architecture] = {
    "llama": Architecture("llama", COMMON),
    "llama-tied": Architecture("llama", {**COMMON, "tie_word_embeddings": True}),
    "mistral": Architecture("mistral", {**COMMON, "sliding_window": 4}, layer_types=("sliding_attention",) * 3),
    "nemotron": Architecture("nemotron", COMMON),
    "qwen2": Architecture("qwen2", COMMON),
    "qwen2.5-vl": Architecture(
        "qwen2_5_vl",
        {
            **COMMON,
            "vision_start_token_id": 289,
            "image_token_id": 290,
            "video_token_id": 291,
            "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
            "vision_config": {**VISION, "fullatt_block_indexes": [0]},
        },
        auto="AutoModelForImageTextToText",
    ),
    "qwen3": Architecture("qwen3", HEADS),
    "qwen3-moe": Architecture("qwen3_moe", {**HEADS, **MOE}),
    "qwen3-next": Architecture("qwen3_next", {**GATED_DELTA, **MOE, **SHARED_EXPERT}, layer_types=HYBRID),
    "qwen3.5": Architecture("qwen3_5_text", GATED_DELTA, layer_types=HYBRID),
    "qwen3.5-conditional": Architecture(
        "qwen3_5",
        {"text_config": GATED_DELTA, "vision_config": VISION},
        layer_types=HYBRID,
        auto="AutoModelForImageTextToText",
    ),
    "qwen3.5-moe": Architecture("qwen3_5_moe_text", {**GATED_DELTA, **MOE, **SHARED_EXPERT}, layer_types=HYBRID),
    "gpt2": Architecture("gpt2", GPT),
    "gpt-neox": Architecture("gpt_neox", {**COMMON, "use_parallel_residual": True}, "parallel"),
    "gpt-neox-sequential": Architecture("gpt_neox", {**COMMON, "use_parallel_residual": False}),
    "gpt-oss": Architecture(
        "gpt_oss",
        {**HEADS, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4},
        layer_types=SLIDING,
    ),
    "gemma2": Architecture("gemma2", {**HEADS, **SOFT_CAPS, "sliding_window": 4}, layer_types=SLIDING),
    "gemma3": Architecture(
        "gemma3_text",
        {**HEADS, "sliding_window": 4, "layer_types": list(SLIDING), "sliding_window_pattern": 2},
        layer_types=SLIDING,
    ),
    "gemma3-conditional": Architecture(
        "gemma3",
        {
            "text_config": {**HEADS, "sliding_window": 4},
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
            "image_token_index": 290,
            "boi_token_index": 291,
            "eoi_token_index": 292,
        },
        layer_types=("sliding_attention",) * 3,
        auto="AutoModelForImageTextToText",
    ),
    "olmo2": Architecture("olmo2", COMMON),
    "granite": Architecture(
        "granite", {**COMMON, "residual_multiplier": 0.22, "embedding_multiplier": 12.0}, scale=0.22
    ),
    "minicpm": Architecture(
        "minicpm",
        {**COMMON, "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 16},
        scale=1.4 / 3**0.5,
        make=minicpm,
    ),
    "phi": Architecture("phi", COMMON, "parallel"),
    "phi3": Architecture("phi3", {**COMMON, "sliding_window": 4}, layer_types=("sliding_attention",) * 3),
    "bloom": Architecture("bloom", {"hidden_size": 32, "n_layer": 3, "n_head": 4, "vocab_size": VOCABULARY}),
    "opt": Architecture("opt", {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 32}),
    # The last state that it returns is projected to the embedding's width.
    "opt-post-norm": Architecture(
        "opt",
        {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
        "other",
        norm=False,
        returns_stream=False,
    ),
    "mixtral": Architecture("mixtral", {**COMMON, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "deepseek-v3": Architecture("deepseek_v3", DEEPSEEK),
    "jamba": Architecture(
        "jamba",
        {
            **COMMON,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
        layer_types=HYBRID,
    ),
    "falcon-h1": Architecture(
        "falcon_h1",
        {**HEADS, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
        "other",
        layer_types=("hybrid",) * 3,
        roles=("mlp",),
    ),
    # The states that it returns begin after the first layer.
    "mamba": Architecture(
        "mamba",
        {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": VOCABULARY, "state_size": 8},
        "other",
        layer_types=("linear_attention",) * 3,
        roles=("attn",),
        returns_stream=False,
    ),
}
# An old transformers does not know all of them.
ARCHITECTURES = {name: architecture for name, architecture in CATALOGUE.items() if architecture.present}


def build(name: str = "llama", *args: Any, **changes: Any) -> Any:
    """A model of an architecture by its name; see `Architecture.model`."""
    return ARCHITECTURES[name].model(*args, **changes)
