"""The order in which a model computes its modules, told from their canonical names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

PATTERN = re.compile(r"embed|norm|logits|layers\.(?P<layer>\d+)(?:\.(?P<part>attn|router|mlp))?")
ORDER = ("embed", "attn", "router", "mlp", "layer", "norm", "logits")


class Module(NamedTuple):
    """Where a tensor stands: its decoder layer (None before the first and behind the last) and what it is there."""

    layer: int | None
    role: str


def is_module(name: str) -> bool:
    """Whether a tensor belongs to the residual stream, to a block of it, or to what follows it."""
    return PATTERN.fullmatch(name) is not None


def module_of(name: str) -> Module:
    """The place of a canonical name.

    Raises ValueError for any other name.
    """
    found = PATTERN.fullmatch(name)
    if found is None:
        raise ValueError(f"not a module: {name!r}")
    if found["layer"] is None:
        return Module(None, name)
    return Module(int(found["layer"]), found["part"] or "layer")


def in_order(names: Iterable[str]) -> list[str]:
    """Modules in execution order, each once; the residual sum closes its layer."""

    def place(name: str) -> tuple[float, int]:
        layer, role = module_of(name)
        outside = -1.0 if role == "embed" else math.inf
        return outside if layer is None else layer, ORDER.index(role)

    return sorted(set(names), key=place)


def input_of(name: str) -> str | None:
    """The stream that a module reads; None for the embedding.

    `layers.{i}.mid` is the sum before the MLP, `last` the stream behind the last layer.
    """
    layer, role = module_of(name)
    if role == "embed":
        return None
    if role == "logits":
        return "norm"
    if layer is None:
        return "last"
    if role in ("mlp", "router"):
        return f"layers.{layer}.mid"
    return "embed" if layer == 0 else f"layers.{layer - 1}"
