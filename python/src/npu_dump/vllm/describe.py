"""Where a dump of vLLM comes from, as the worker knows it."""

from __future__ import annotations

from typing import Any

from torch import nn

from .. import devices, provenance
from ..configuration import as_json, constants
from ..contract import BY_TORCH
from . import adapter


def describe(settings: Any, model: nn.Module) -> dict[str, Any]:
    """Return the metadata of a run of this model in this worker, by the engine's configuration."""
    device = provenance.device_of(model)
    dtype = BY_TORCH[str(settings.model_config.dtype).removeprefix("torch.")].name
    scheduler = settings.scheduler_config
    engine = {
        "name": "vllm",
        "version": adapter.version(),
        "plugins": adapter.plugins() or None,
        "attention": _attention(model),
        "quantization": settings.model_config.quantization,
        "graph": False,
        "chunked_prefill": bool(getattr(scheduler, "enable_chunked_prefill", False)),
        "prefix_caching": bool(settings.cache_config.enable_prefix_caching),
    }
    return {
        "model": _model_facts(settings.model_config, model),
        "device": devices.describe(device),
        "engine": {name: value for name, value in engine.items() if value is not None},
        "dtype": dtype,
        "numerics": devices.numerics(device),
        "versions": provenance.versions() | {"vllm": adapter.version()} | adapter.plugins(),
    }


def _model_facts(settings: Any, model: nn.Module) -> dict[str, Any]:
    # No count of parameters: engines pack weights for their kernels, and ranks share them.
    config = settings.hf_text_config
    heads, hidden = getattr(config, "num_attention_heads", None), getattr(config, "hidden_size", None)
    facts: dict[str, Any] = {
        "architecture": type(model).__name__,
        "id": provenance.model_id(settings.model),
        "layers": getattr(config, "num_hidden_layers", None),
        "hidden_size": hidden,
        "heads": heads,
        "kv_heads": getattr(config, "num_key_value_heads", None) or heads,
        "head_dim": getattr(config, "head_dim", None) or (hidden // heads if heads and hidden else None),
        "vocab_size": getattr(config, "vocab_size", None),
        "layer_types": getattr(config, "layer_types", None),
        "tie_word_embeddings": getattr(config, "tie_word_embeddings", None),
    }
    return {name: value for name, value in as_json(facts).items() if value not in (None, "")} | constants(config)


def _attention(model: nn.Module) -> str | None:
    """Return the name of the attention backend, where the modules tell it."""
    backends = (getattr(module, "attn_backend", None) for module in model.modules())
    backend = next((backend for backend in backends if backend is not None), None)
    name = getattr(backend, "get_name", lambda: None)()
    return name if isinstance(name, str) else None
