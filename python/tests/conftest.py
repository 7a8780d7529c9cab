"""Small models with random weights, and a folder that transformers loads like any other."""

from __future__ import annotations

import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 300
COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
}
GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": VOCABULARY, "n_positions": 64}
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
# name: (model type, configuration, what the residual sum is)
_ALL: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama": ("llama", COMMON, "sequential"),
    "qwen2": ("qwen2", COMMON, "sequential"),
    "qwen3": ("qwen3", {**COMMON, "head_dim": 8}, "sequential"),
    "gpt2": ("gpt2", GPT, "sequential"),
    "gpt-neox": ("gpt_neox", {**COMMON, "use_parallel_residual": True}, "parallel"),
    "gpt-neox-sequential": ("gpt_neox", {**COMMON, "use_parallel_residual": False}, "sequential"),
    "gemma2": ("gemma2", {**COMMON, "head_dim": 8}, "sequential"),
    "gemma3": ("gemma3_text", {**COMMON, "head_dim": 8}, "sequential"),
    "olmo2": ("olmo2", COMMON, "sequential"),
    "granite": ("granite", {**COMMON, "residual_multiplier": 0.22, "embedding_multiplier": 12.0}, "sequential"),
    "phi": ("phi", COMMON, "parallel"),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 3, "n_head": 4, "vocab_size": VOCABULARY}, "sequential"),
    "opt": (
        "opt",
        {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 32},
        "sequential",
    ),
    "opt-post-norm": (
        "opt",
        {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
        "other",
    ),
    "mixtral": ("mixtral", {**COMMON, "num_local_experts": 4, "num_experts_per_tok": 2}, "sequential"),
    "qwen3-moe": ("qwen3_moe", {**COMMON, **MOE, "head_dim": 8, "num_experts": 4}, "sequential"),
    "mamba": (
        "mamba",
        {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": VOCABULARY, "state_size": 8},
        "other",
    ),
}
# An old transformers does not know all of them.
ARCHITECTURES = {name: entry for name, entry in _ALL.items() if entry[0] in CONFIG_MAPPING}


def build(name: str = "llama", dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A model of an architecture whose blocks, norms and biases all matter."""
    kind, config, _ = ARCHITECTURES[name]
    torch.manual_seed(0)
    attention = changes.pop("attn_implementation", None)
    options = {"attn_implementation": attention} if attention else {}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**config, **changes}), **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.to(dtype).eval()


@pytest.fixture
def llama() -> Any:
    return build()


@pytest.fixture
def ids() -> Callable[..., torch.Tensor]:
    """Random token ids ``[B, T]``."""

    def make(batch: int = 2, length: int = 9, seed: int = 0) -> torch.Tensor:
        return torch.randint(5, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with a byte-level tokenizer and a chat template, as ``save_pretrained`` writes them."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the capital of France is Paris, and the sea is wide"] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    fast.save_pretrained(folder)
    model = build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0)
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("The capital of France is\n\nthe sea\nParis, größer als 巴黎\n", encoding="utf-8")
    return path
