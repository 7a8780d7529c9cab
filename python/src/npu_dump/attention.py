"""Loads a model by two implementations of attention, whose rounding errors differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .module_tree import text_config
from .provenance import device_of

# Enough tokens for two implementations to round differently somewhere.
_TRIED = 64


def attention_of(model: Any) -> str | None:
    """Return the name of the attention that a model computes by; None where its configuration knows none."""
    return getattr(text_config(model), "_attn_implementation", None)


def by_two_attentions(load: Callable[[str | None], Any], ids: Sequence[int]) -> list[Callable[[], Any]]:
    """Return a function for each attention, which gives the model by it: transformers' choice, then eager.

    One alone where the model has no other attention, or computes the very same by both. Call them one after the
    other: a model that can switch is loaded once.

    Args:
        load: loads the model by an attention; None: transformers' choice.
        ids: token ids to try it on; the first 64 are used.
    """
    model = load(None)
    default = attention_of(model)
    if default in (None, "eager"):
        return [lambda: model]
    before = _logits(model, ids)
    other = _switched(model, "eager")
    if other is None:
        # Older versions choose the class of the attention when the model is made.
        other = load("eager")
    differs = not torch.equal(_logits(other, ids), before)
    if other is model:
        return [lambda: _switched(model, default), lambda: _switched(model, "eager")][: 1 + differs]
    return [lambda: model, lambda: other][: 1 + differs]


def _switched(model: Any, name: str) -> Any:
    """Return the model with another attention; None where it cannot switch."""
    switch = getattr(model, "set_attn_implementation", None)
    if switch is None:
        return None
    try:
        switch(name)
    except (ImportError, ValueError):
        return None
    return model if attention_of(model) == name else None


@torch.no_grad()
def _logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    tried = torch.tensor([list(ids[:_TRIED])], device=device_of(model))
    return model(input_ids=tried).logits
