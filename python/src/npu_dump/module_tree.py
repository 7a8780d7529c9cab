"""Where the parts of a decoder are in a model's module tree: by structure, never by class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_NORM_OR_DROPOUT = re.compile(r"norm|dropout|^ln(_|\d|$)|_ln$", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention|mixer|mamba|ssm|conv|temporal|recurrent|rwkv", re.IGNORECASE)
_MLP = re.compile(r"mlp|ffn|feed_?forward|moe|^ff$", re.IGNORECASE)


@dataclass(frozen=True)
class Decoder:
    """The decoder inside a model.

    Attributes:
        path: module path of the module that owns the layers; empty for the model itself.
        module: that module.
        layers: module path and module of each decoder layer.
        hidden_size: width H of the residual stream.
    """

    path: str
    module: nn.Module
    layers: tuple[tuple[str, nn.Module], ...]
    hidden_size: int


def find_decoder(model: nn.Module) -> Decoder | None:
    """Return the decoder of a transformers model; None for any other module.

    The layers are the shallowest ``ModuleList`` below the text decoder that has as many members as the configuration
    has hidden layers.
    """
    config = text_config(model)
    if config is None or not hasattr(model, "get_input_embeddings"):
        return None
    count, hidden_size = getattr(config, "num_hidden_layers", None), getattr(config, "hidden_size", None)
    if not count or not hidden_size:
        return None
    scope: Any = getattr(model, "get_decoder", lambda: model)() or model
    prefix = next((path for path, module in model.named_modules() if module is scope), "")
    lists = [
        (_join(prefix, path), module)
        for path, module in scope.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if not lists:
        return None
    return decoder_of(model, lists, hidden_size)


def decoder_of(model: nn.Module, lists: Sequence[tuple[str, nn.ModuleList]], hidden_size: int) -> Decoder:
    """Return the decoder whose layers are the shallowest of ``lists``, which are named by their paths."""
    path, layers = min(lists, key=lambda found: found[0].count("."))
    owner = path.rpartition(".")[0]
    return Decoder(
        path=owner,
        module=model.get_submodule(owner),
        layers=tuple((f"{path}.{index}", layer) for index, layer in enumerate(layers)),
        hidden_size=hidden_size,
    )


def text_config(model: nn.Module) -> Any:
    """Return the configuration of the text decoder, or None where the module has no configuration."""
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else None


def head_path(model: Any) -> str | None:
    """Return the module path of the language model head, or None where the model has none."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return next((path for path, module in model.named_modules() if module is head), None)


def is_norm_or_dropout(name: str, module: nn.Module) -> bool:
    """Return whether a child of a layer only follows or precedes a block: a norm or a dropout."""
    return bool(_NORM_OR_DROPOUT.search(name) or re.search("norm|dropout", type(module).__name__, re.IGNORECASE))


def is_attention(name: str, module: nn.Module) -> bool:
    """Return whether a child of a layer mixes tokens: attention, linear attention, a state space model."""
    return bool(_ATTENTION.search(name)) and not is_norm_or_dropout(name, module)


def is_mlp(name: str, module: nn.Module) -> bool:
    """Return whether a child of a layer is its MLP or its mixture of experts."""
    return bool(_MLP.search(name)) and not is_norm_or_dropout(name, module)


def compiled_modules(model: nn.Module) -> list[str]:
    """Return the paths of the modules that ``torch.compile`` has taken over; an empty one is the model's."""
    return [
        path
        for path, module in model.named_modules()
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
    ]


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the first tensor of a module's output, or of its arguments: depth first, in order."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return next((found for item in value if (found := first_tensor(item)) is not None), None)
    return None


def stream_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """Return the residual stream among the arguments of a layer or block."""
    hidden = kwargs.get("hidden_states")
    return hidden if isinstance(hidden, torch.Tensor) and not args else first_tensor((args, kwargs))


def with_first_tensor(value: Any, tensor: torch.Tensor) -> Any:
    """Return a module's output, or its arguments, with ``tensor`` in the place that `first_tensor` looks at."""
    if isinstance(value, torch.Tensor):
        return tensor
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    place = next(key for key, item in items if first_tensor(item) is not None)
    replaced = [(key, with_first_tensor(item, tensor) if key == place else item) for key, item in items]
    if isinstance(value, dict):
        return type(value)(replaced)
    values = [item for _, item in replaced]
    # A named tuple takes its fields one by one.
    return type(value)(*values) if hasattr(value, "_fields") else type(value)(values)


def with_stream_input(
    args: tuple[Any, ...], kwargs: dict[str, Any], tensor: torch.Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a layer with ``tensor`` in the place that `stream_input` looks at."""
    if isinstance(kwargs.get("hidden_states"), torch.Tensor) and not args:
        return args, kwargs | {"hidden_states": tensor}
    return with_first_tensor((args, kwargs), tensor)


def _join(prefix: str, path: str) -> str:
    return f"{prefix}.{path}" if prefix and path else prefix or path
