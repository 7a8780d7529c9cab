"""Norms between the module's input and its answer: left out, weight off by one or another's, another epsilon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..change import Absent, Change, Hypothesis, Proposal, attributes, forward_of, gain, single, weights
from ..subject import Subject

_QUERY_KEY = re.compile(r"^(q|k|query|key)_?(layer)?_?norm$", re.IGNORECASE)
_EPSILON = ("variance_epsilon", "eps", "epsilon")


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about each norm that the module's answer goes through."""
    norms = {path: subject.model.get_submodule(path) for path in subject.norms}
    if not norms:
        yield Absent("norm", "cause/norm-weight", "no norm lies between its input and its answer")
    pairs = [path for path in norms if _of_heads(path)]
    if subject.role == "attn" and not pairs:
        yield Absent("qk-norm", "cause/qk-norm", "its queries and keys have no norm")
    if len(pairs) > 1:
        change = Change(patch=lambda: _left_out(*(norms[path] for path in pairs)))
        yield single("qk-norm", "cause/qk-norm", change, "norms of queries and keys left out")
    for path, norm in norms.items():
        leaf = path.rpartition(".")[2]
        yield from _about(subject, path, leaf, norm)


def _about(subject: Subject, path: str, leaf: str, norm: nn.Module) -> Iterator[Proposal]:
    cause = "cause/qk-norm" if _of_heads(path) else "cause/norm-weight"
    left_out = Change(patch=lambda: _left_out(norm))
    yield single(f"norm/{leaf}/none", cause, left_out, f"{leaf} left out")
    weight: Any = norm.weight
    yield Hypothesis(
        f"norm/{leaf}/one",
        cause,
        lambda at: Change(patch=lambda: weights((weight, weight + at))),
        lambda at: at,
        lambda at: f"weight of {leaf} {at:+.0f}",
        (-1.0, 1.0),
    )
    yield single(
        f"norm/{leaf}/ones",
        cause,
        Change(patch=lambda: weights((weight, torch.ones_like(weight)))),
        f"weight of {leaf} is 1",
    )
    scaled = f"weight of {leaf}"
    yield gain(f"norm/{leaf}/gain", cause, scaled, lambda by: Change(patch=lambda: weights((weight, weight * by))))
    for name, other in _others(subject, path, norm):
        if other.shape == weight.shape and not torch.equal(other, weight):
            change = Change(patch=lambda other=other: weights((weight, other)))
            words = f"{leaf} has the weight of {name.replace('-', ' ')}"
            yield replace(single(f"norm/{leaf}/{name}", cause, change, words), kind="blend")
    epsilon = next((name for name in _EPSILON if isinstance(getattr(norm, name, None), float)), None)
    if epsilon is not None and getattr(norm, epsilon) > 0:
        held = float(getattr(norm, epsilon))
        yield Hypothesis(
            f"norm/{leaf}/epsilon",
            cause,
            lambda at: Change(patch=lambda: attributes((norm, epsilon, held * 10**at))),
            lambda at: held * 10**at,
            lambda at: f"epsilon of {leaf} {held * 10**at:.3g} instead of {held:.3g}",
            (-2.0, 2.0, 4.0),
            "size",
            (-6.0, 6.0),
        )


def _of_heads(path: str) -> bool:
    return bool(_QUERY_KEY.match(path.rpartition(".")[2]))


def _others(subject: Subject, path: str, norm: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights that may be taken for this one: of the layers beside it, and of the layer's other norms."""
    inner = next((name for name, module in subject.block.named_modules() if module is norm), path)
    if subject.layer is None:
        last: Any = subject.anatomy.decoder.layers[-1][1]
        yield from _weights_of(last, "the last layer")
        return
    for offset, name in ((-1, "previous-layer"), (1, "next-layer")):
        layer = subject.beside(offset)
        found = None if layer is None else dict(layer.named_modules()).get(inner)
        if found is not None and isinstance(getattr(found, "weight", None), torch.Tensor):
            other: Any = found.weight
            yield name, other
    for name, child in subject.block.named_children():
        if child is not norm and type(child) is type(norm):
            own: Any = child.weight
            yield name, own


def _weights_of(layer: nn.Module, owner: str) -> Iterator[tuple[str, torch.Tensor]]:
    for name, child in layer.named_children():
        held = getattr(child, "weight", None)
        if "norm" in type(child).__name__.lower() and isinstance(held, torch.Tensor):
            yield f"{name}-of-{owner.replace(' ', '-')}", held


@contextmanager
def _left_out(*norms: nn.Module) -> Iterator[None]:
    """Let norms hand on what they are given."""
    with ExitStack() as stack:
        for norm in norms:
            stack.enter_context(forward_of(norm, lambda hidden, *_args, **_keywords: hidden))
        yield
