"""Where the parts of a transformers decoder are, by the names that its models share.

Nothing of npu-dump's own search: the truth about where a fault is must not come from the code that is tested.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from .fault import Place

Role = Literal["attn", "mlp"]
_MIXERS = ("self_attn", "linear_attn", "mamba", "conv")
_MLPS = ("mlp", "feed_forward", "block_sparse_moe")
_OUTPUTS = ("o_proj", "out_proj", "down_proj", "w2")
_BEFORE_ATTENTION = ("input_layernorm", "operator_norm")
_BEFORE_MLP = ("pre_feedforward_layernorm", "pre_ff_layernorm", "ffn_norm")


@dataclass(frozen=True)
class Block:
    """Half a decoder layer: what mixes tokens, or the MLP.

    Attributes:
        layer: index of its layer.
        role: ``attn`` or ``mlp``.
        module: what computes.
        handed: the module whose output is handed to the residual sum: ``module``, or the norm behind it.
        norm: the norm before it, or None.
    """

    layer: int
    role: Role
    module: Any
    handed: Any
    norm: Any

    @property
    def place(self) -> Place:
        """The place of a fault in this block."""
        return Place(self.layer, f"layers.{self.layer}.{self.role}")


@dataclass(frozen=True)
class Projection:
    """The weight that makes a block's output.

    Attributes:
        owner: module that owns the parameter.
        name: its name there.
        transposed: whether the inner axis comes before the outer one: ``[…, in, out]`` instead of ``[…, out, in]``.
    """

    owner: Any
    name: str
    transposed: bool

    @property
    def weight(self) -> torch.Tensor:
        """The parameter itself."""
        return getattr(self.owner, self.name)


def decoder_of(model: Any) -> Any:
    """Return the module that owns the layers, or None."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    return decoder if isinstance(getattr(decoder, "layers", None), nn.ModuleList) else None


def layers_of(model: Any) -> list[Any]:
    """Return the decoder layers; none of a model of other conventions."""
    decoder = decoder_of(model)
    return [] if decoder is None else list(decoder.layers)


def blocks_of(model: Any, role: Role | None = None) -> Iterator[Block]:
    """Yield the blocks in the order of a forward; none of a layer that mixes tokens in two ways at once."""
    for index, layer in enumerate(layers_of(model)):
        mixers = [getattr(layer, name) for name in _MIXERS if hasattr(layer, name)]
        mlps = [getattr(layer, name) for name in _MLPS if hasattr(layer, name)]
        if len(mixers) != 1 or len(mlps) != 1:
            continue
        # The same name is the norm before the MLP in Llama, and the norm behind the attention in Gemma and OLMo.
        behind = hasattr(layer, "post_feedforward_layernorm")
        after_attn = getattr(layer, "post_attention_layernorm", None) if behind else None
        after_mlp = getattr(layer, "post_feedforward_layernorm", None)
        before_mlp = _BEFORE_MLP if behind else (*_BEFORE_MLP, "post_attention_layernorm")
        if role != "mlp":
            yield Block(index, "attn", mixers[0], after_attn or mixers[0], _first(layer, _BEFORE_ATTENTION))
        if role != "attn":
            yield Block(index, "mlp", mlps[0], after_mlp or mlps[0], _first(layer, before_mlp))


def _first(layer: Any, names: tuple[str, ...]) -> Any:
    return next((getattr(layer, name) for name in names if hasattr(layer, name)), None)


def block_at(model: Any, place: Place) -> Block:
    """Return the block of a place in a layer."""
    return next(block for block in blocks_of(model) if block.place.module == place.module)


def blocks_where(test: Callable[[Block], Any], role: Role | None = None) -> Callable[[Any, str], list[Place]]:
    """Return the ``places`` of a kind that fits the blocks which pass a test."""
    return lambda model, _severity: [block.place for block in blocks_of(model, role) if test(block)]


def every_block(model: Any, _severity: str) -> list[Place]:
    """All blocks: the ``places`` of what can happen to any output."""
    return [block.place for block in blocks_of(model)]


def every_layer(model: Any, _severity: str) -> list[Place]:
    """The residual stream after each layer."""
    return [Place(index, f"layers.{index}") for index in range(len(layers_of(model)))]


def is_attention(block: Block) -> bool:
    """Whether a block is attention over keys and values, not a recurrent one."""
    return block.role == "attn" and hasattr(block.module, "scaling") and projection_of(block) is not None


def has_rotary(block: Block) -> bool:
    """Whether an attention turns its queries and keys by their positions."""
    return is_attention(block) and "position_embeddings" in inspect.signature(type(block.module).forward).parameters


def experts_of(block: Block) -> Any:
    """Return the experts of a block where they are stacked into one parameter a projection; else None."""
    experts = getattr(block.module, "experts", None)
    return experts if isinstance(getattr(experts, "down_proj", None), nn.Parameter) else None


def router_of(block: Block) -> Any:
    """Return the router of a block that gives out logits, weights and indices; else None."""
    router = getattr(block.module, "gate", None) or getattr(block.module, "router", None)
    return router if experts_of(block) is not None and hasattr(router, "top_k") else None


def projection_of(block: Block) -> Projection | None:
    """Return the weight that makes a block's output, or None where its name is unknown."""
    experts = experts_of(block)
    if experts is not None:
        return Projection(experts, "down_proj", bool(getattr(experts, "is_transposed", False)))
    for name in _OUTPUTS:
        linear = getattr(block.module, name, None)
        if isinstance(linear, nn.Linear):
            return Projection(linear, "weight", transposed=False)
    return None


def linears_of(block: Block) -> list[nn.Linear]:
    """Return every linear layer inside a block."""
    return [module for module in block.module.modules() if isinstance(module, nn.Linear)]
