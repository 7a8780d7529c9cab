"""Weights of the layer before or after, in the whole block or in one projection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import nn

from ...module_tree import is_attention, is_mlp
from ..change import Absent, Change, Hypothesis, Proposal, weights
from ..subject import Subject

Pairs = tuple[tuple[torch.Tensor, torch.Tensor], ...]


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the weights of one attention or MLP."""
    if subject.role not in ("attn", "mlp"):
        return
    belongs: Callable[[str, nn.Module], bool] = is_attention if subject.role == "attn" else is_mlp
    blocks = [name for name, child in subject.block.named_children() if belongs(name, child)]
    paths = {"": blocks}
    for block in blocks:
        for name, parameter in subject.block.get_submodule(block).named_parameters():
            # Where each expert is a module of its own there are too many to try them one by one.
            if parameter.ndim > 1 and not re.search(r"\.\d+\.", name):
                paths[name.removesuffix(".weight")] = [f"{block}.{name.removesuffix('.weight')}"]
    yielded = False
    for name, inside in paths.items():
        others = {offset: pairs for offset in (-1, 1) if (pairs := _pairs(subject, inside, offset))}
        if others:
            yielded = True
            yield _borrowed(subject, name, others)
    if not yielded:
        yield Absent("layer-weights", "cause/layer-weights", "no layer beside it has weights of its shapes")


def _borrowed(subject: Subject, name: str, others: dict[int, Pairs]) -> Hypothesis:
    layer = subject.layer or 0

    def patch(at: float) -> AbstractContextManager[None]:
        return weights(*others[int(at)])

    what = f"{name} has" if name else "all projections have"
    return Hypothesis(
        f"layer-weights/{name}" if name else "layer-weights",
        "cause/layer-weights",
        lambda at: Change(patch=lambda: patch(at)),
        lambda at: layer + at,
        lambda at: f"{what} the weights of layer {layer + at:.0f}",
        tuple(float(offset) for offset in others),
    )


def _pairs(subject: Subject, paths: list[str], offset: int) -> Pairs:
    """Return each parameter inside some modules of the layer, and that of the other layer; none if any differs."""
    other = subject.beside(offset)
    if other is None:
        return ()
    theirs = dict(other.named_parameters())
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for name, parameter in subject.block.named_parameters():
        if not any(f"{name}.".startswith(f"{path}.") for path in paths):
            continue
        if name not in theirs or theirs[name].shape != parameter.shape:
            return ()
        found.append((parameter, theirs[name]))
    return tuple(found) if any(mine is not other for mine, other in found) else ()
