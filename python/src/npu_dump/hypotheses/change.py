"""What a hypothesis says: a change to one module, by how much, and how its size reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from .attention import AttentionCall

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Change:
    """One change to a module; what is None stays as it is.

    Attributes:
        patch: enters what differs in the model: weights, attributes.
        arguments: makes other arguments of the decoder layer.
        inputs: makes another ``[1, T, H]`` of what the dump says that the layer read (``stream``), or that a block
            of it (``attn``, ``mlp``) handed over; called with that word and the tensor.
        attention: makes another call of attention.
        router: makes other router logits ``[rows, experts]``.
        output: makes another answer of each sample ``[T, W]``.
    """

    patch: Callable[[], AbstractContextManager[Any]] = nullcontext
    arguments: Callable[[Arguments], Arguments] | None = None
    inputs: Callable[[str, torch.Tensor], torch.Tensor] | None = None
    attention: Callable[[AttentionCall], AttentionCall] | None = None
    router: Callable[[torch.Tensor], torch.Tensor] | None = None
    output: Callable[[torch.Tensor], torch.Tensor] | None = None


NO_CHANGE = Change()

# The study's points (method, causes): of a probe; and of a gain, which roundings towards zero resemble.
LEAST_FIT = 0.7
LEAST_FIT_OF_GAIN = 0.85

Kind = Literal["choice", "whole", "blend", "size"]


@dataclass(frozen=True)
class Hypothesis:
    """A named change with a coordinate.

    Attributes:
        id: its name, unique among those of a module.
        cause: what it would be the cause of, e.g. ``cause/rotary-base``.
        change: the change at a coordinate.
        estimate: the coordinate in natural terms.
        words: the same for people.
        starts: coordinates where it is tried.
        kind: ``size``: coordinates are real numbers and 0 is no change, so that the answer's change is nearly
            linear about 0; ``whole``: they are whole numbers in an order; ``choice`` and ``blend``: they have no
            order. The change is there once, or not at all; only of a ``blend`` a part of it may be.
        bounds: least and largest coordinate.
        least_fit: below it nothing is named.
    """

    id: str
    cause: str
    change: Callable[[float], Change]
    estimate: Callable[[float], float | None]
    words: Callable[[float], str]
    starts: tuple[float, ...]
    kind: Kind = "choice"
    bounds: tuple[float, float] = (-torch.inf, torch.inf)
    least_fit: float = LEAST_FIT


@dataclass(frozen=True)
class Absent:
    """A hypothesis that cannot be tested here, and why."""

    id: str
    cause: str
    reason: str


Proposal = Hypothesis | Absent


def single(identity: str, cause: str, change: Change, words: str) -> Hypothesis:
    """Return a hypothesis without a coordinate."""
    return Hypothesis(identity, cause, lambda _: change, lambda _: None, lambda _: words, (1.0,))


def gain(identity: str, cause: str, words: str, change: Callable[[float], Change]) -> Hypothesis:
    """Return the hypothesis that something is multiplied; ``change`` is called with the factor."""
    return Hypothesis(
        identity,
        cause,
        lambda at: change(1 + at),
        lambda at: 1 + at,
        lambda at: factor(words, 1 + at),
        (0.02,),
        "size",
        (-0.98, 99.0),
        LEAST_FIT_OF_GAIN,
    )


def factor(words: str, at: float) -> str:
    """Return the words, a multiplication sign and the factor."""
    return f"{words} \N{MULTIPLICATION SIGN} {at:.5g}"


@contextmanager
def attributes(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Set attributes of objects, and set them back."""
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.callback(_set, owner, name, getattr(owner, name))
            _set(owner, name, value)
        yield


def _set(owner: Any, name: str, value: Any) -> None:
    # A plain function may not be set where a module is registered.
    if isinstance(owner, nn.Module) and name in owner._modules and not isinstance(value, nn.Module):
        owner._modules[name] = _Function(value)
    else:
        setattr(owner, name, value)


class _Function(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.forward = function


@contextmanager
def weights(*changes: tuple[torch.Tensor, torch.Tensor]) -> Iterator[None]:
    """Let parameters have the values of other tensors of their shape, without a copy, and give theirs back."""
    # What they have before any of them changes: two may be exchanged.
    values = [value.detach() for _, value in changes]
    with ExitStack() as stack:
        for (parameter, _), value in zip(changes, values, strict=True):
            stack.callback(_point_at, parameter, parameter.data)
            _point_at(parameter, value)
        yield


def _point_at(parameter: torch.Tensor, value: torch.Tensor) -> None:
    parameter.data = value


@contextmanager
def forward_of(module: nn.Module, function: Callable[..., Any]) -> Iterator[None]:
    """Let a module compute a function instead of its forward."""
    if "forward" in vars(module):
        with attributes((module, "forward", function)):
            yield
        return
    module.forward = function
    try:
        yield
    finally:
        del module.forward
