"""Places where tensors are taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import nn

from .contract import Kind
from .module_tree import Decoder
from .router import find_routers


@dataclass(frozen=True)
class Point:
    """A place where a tensor is taken: the output of a module, or its input.

    Attributes:
        name: name of the tensor.
        path: module path.
        module: that module.
        input: take its first tensor argument instead of its output.
        kind: what the tensor is; ``other`` for what a user names by its module path.
        layer: decoder layer it belongs to, or None.
        turn: of the calls of a module that serves several layers, which one it is, from 0.
        turns: how many layers the module serves.
    """

    name: str
    path: str
    module: nn.Module
    input: bool = False
    kind: Kind = "hidden"
    layer: int | None = None
    turn: int = 0
    turns: int = 1


def in_turns(points: Iterable[Point], decoder: Decoder) -> list[Point]:
    """Return the points with the turn of each where layers share modules, wholly or in part."""
    paths: dict[nn.Module, list[str]] = defaultdict(list)
    for path, layer in decoder.layers:
        for name, module in layer.named_modules():
            paths[module].append(f"{path}.{name}" if name else path)
    return [
        replace(point, turn=paths[point.module].index(point.path), turns=len(paths[point.module]))
        if point.path in paths[point.module]
        else point
        for point in points
    ]


def router_points(decoder: Decoder, experts: int) -> list[Point]:
    """Return where each layer's router logits are, of the layers that have one router."""
    points: list[Point] = []
    for index, (path, layer) in enumerate(decoder.layers if experts else ()):
        routers = [(f"{path}.{inner}", router) for inner, router in find_routers(layer, experts)]
        # Of two routers in one layer neither is the layer's.
        if len(routers) == 1:
            points.append(Point(f"layers.{index}.router", *routers[0], kind="router", layer=index))
    return points
