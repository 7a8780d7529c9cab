"""How each layer mixes tokens: by full attention, a sliding window, or a recurrent state."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from .module_tree import find_decoder, is_attention, text_config

# Older names of the same, as transformers 5 translates them, too.
_RENAMED = {"attention": "full_attention", "mamba": "linear_attention"}
_RECURRENT = re.compile(r"linear|mamba|ssm|mixer|delta|recurrent|rwkv|conv", re.IGNORECASE)


def layer_types(model: nn.Module) -> list[str] | None:
    """Return the type of each decoder layer, in transformers' words; None where it is not known of every layer.

    They are what the configuration says, under ``layer_types``; where it says nothing, what the modules are:
    ``full_attention``, ``sliding_attention``, ``linear_attention`` (linear attention and state space models), or
    ``hybrid`` for a layer that has two blocks side by side.
    """
    config, decoder = text_config(model), find_decoder(model)
    if decoder is None:
        return None
    declared = getattr(config, "layer_types", None)
    if isinstance(declared, (list, tuple)) and len(declared) == len(decoder.layers):
        return [_RENAMED.get(name, name) for name in map(str, declared)]
    derived = [_derived(config, layer, index) for index, (_, layer) in enumerate(decoder.layers)]
    found = [name for name in derived if name is not None]
    return found if len(found) == len(derived) else None


def _derived(config: Any, layer: nn.Module, index: int) -> str | None:
    blocks = [(name, module) for name, module in layer.named_children() if is_attention(name, module)]
    if len(blocks) != 1:
        return "hybrid" if blocks else None
    name, block = blocks[0]
    kind = type(block).__name__
    plain = "attention" in kind.lower() and not re.search("linear|recurrent", kind, re.IGNORECASE)
    if not plain and _RECURRENT.search(f"{name} {kind}"):
        return "linear_attention"
    return "sliding_attention" if _is_sliding(config, layer, block, index) else "full_attention"


def _is_sliding(config: Any, layer: nn.Module, block: nn.Module, index: int) -> bool:
    for module in (block, layer):
        if isinstance(sliding := getattr(module, "is_sliding", None), bool):
            return sliding
    if hasattr(block, "sliding_window"):
        return block.sliding_window is not None
    if getattr(config, "sliding_window", None) is None:
        return False
    if not hasattr(config, "use_sliding_window"):
        return True
    return bool(config.use_sliding_window) and index >= (getattr(config, "max_window_layers", None) or 0)
