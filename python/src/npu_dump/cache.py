"""What decode steps need besides tokens in versions of transformers before 5, where some models need help."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from .module_tree import text_config

_OLD = transformers.__version__.partition(".")[0] == "4"


def needs_hybrid_cache(model: Any) -> bool:
    """Return whether the layers with a window cut their mask as only one sort of cache expects it (Gemma 2)."""
    return _OLD and getattr(text_config(model), "cache_implementation", None) == "hybrid"


def first_cache(model: Any, ids: torch.Tensor, mask: torch.Tensor, length: int) -> dict[str, Any]:
    """Return the empty cache that goes with a prompt; nothing where the model makes one that decode steps can use.

    Gemma 2 makes one that is full after the prompt, and hybrids of attention and state space models make none.

    Args:
        model: a transformers decoder.
        ids: token ids ``[B, T]`` of the prompts.
        mask: ``[B, T]``, 1 where a token is no padding.
        length: tokens a prompt and its decode steps have in all, padding included.
    """
    if needs_hybrid_cache(model):
        sizes = {"max_batch_size": ids.shape[0], "max_cache_len": length}
        # Not by its name in the package: transformers 5 has it no more.
        hybrid = getattr(transformers, "HybridCache")  # noqa: B009
        return {"past_key_values": hybrid(text_config(model), **sizes, device=ids.device, dtype=model.dtype)}
    if _OLD and getattr(model, "_is_stateful", False) and hasattr(model, "prepare_inputs_for_generation"):
        positions = torch.arange(ids.shape[1], device=ids.device)
        prepared = model.prepare_inputs_for_generation(ids, attention_mask=mask, cache_position=positions)
        if (cache := prepared.get("past_key_values")) is not None:
            return {"past_key_values": cache}
    return {}


def cache_positions(model: Any, past: int, count: int) -> torch.Tensor:
    """Return where the cache takes ``count`` tokens after ``past`` others.

    Mamba takes them for places in the convolution's window, which is full after any prompt, however short.
    """
    past = max(past, int(getattr(text_config(model), "conv_kernel", 0)))
    return torch.arange(past, past + count)
