"""Why a model holds other values than the checkpoint: transposed, halves swapped, permuted, another tensor's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

import torch

from .difference import comparable, same
from .findings import Fact, dtype_name, form

_GATE_UP = re.compile(r"gate_up|w13|gate_and_up|gateup")
_SAMPLES = 64
_SHOWN = 3

Cause = tuple[str, str, Fact, Fact]


class Explainer:
    """Looks for the cause of a difference.

    Args:
        candidates: names of what the checkpoint holds for the model, each with a way to read it as the model would
            hold it; a failing one returns None.
    """

    def __init__(self, candidates: dict[str, Callable[[], torch.Tensor | None]]) -> None:
        self._candidates = candidates
        self._prints: dict[str, tuple[tuple[int, ...], torch.Tensor]] | None = None

    def read(self, name: str) -> torch.Tensor | None:
        """Return what a tensor of the model should hold; None where the checkpoint has nothing for it to read."""
        candidate = self._candidates.get(name)
        return candidate() if candidate else None

    def explain(self, name: str, wanted: torch.Tensor, held: torch.Tensor) -> Cause | None:
        """Return rule, sentence and facts of the cause; None where none is known.

        Args:
            name: of the model's tensor.
            wanted: what it should hold, on the CPU, in the checkpoint's dtype.
            held: what it holds, on the CPU, of whatever shape.
        """
        cast = wanted.to(held.dtype)
        if _is_constant(held):
            # Its transpose and its permutations are itself: it tells nothing of where it comes from.
            return None
        return (
            _transposed(cast, held)
            or _rounded(wanted, held)
            or _halves(name, cast, held)
            or self._other(name, held)
            or _permuted(cast, held)
        )

    def _other(self, name: str, held: torch.Tensor) -> Cause | None:
        """Return the tensor of the checkpoint that these values belong to."""
        if self._prints is None:
            self._prints = {}
            for candidate, read in self._candidates.items():
                value = read()
                if value is not None:
                    self._prints[candidate] = (tuple(value.shape), _samples(value))
        shape, samples = tuple(held.shape), _samples(held)
        for candidate, (other_shape, other) in self._prints.items():
            if candidate == name or other_shape != shape or not same(other.to(held.dtype), samples):
                continue
            value = self._candidates[candidate]()
            if value is not None and same(value.to(held.dtype), held):
                return (
                    "weights/swapped",
                    "holds another tensor of the checkpoint",
                    ("model", f"the values of {candidate}"),
                    ("checkpoint", f"other values for {name}"),
                )
        return None


def _is_constant(tensor: torch.Tensor) -> bool:
    values = comparable(tensor).reshape(-1)
    return all(bool((part == values[0]).all()) for part in (values[:_SAMPLES], values)) if len(values) else True


def _transposed(wanted: torch.Tensor, held: torch.Tensor) -> Cause | None:
    if wanted.ndim < 2 or not same(wanted.transpose(-1, -2), held):
        return None
    return (
        "weights/transposed",
        "is the checkpoint's tensor transposed",
        ("model", form(held.dtype, held.shape)),
        ("checkpoint", f"{list(wanted.shape)}, its last two dimensions the other way round"),
    )


def _rounded(wanted: torch.Tensor, held: torch.Tensor) -> Cause | None:
    if not (wanted.is_floating_point() and held.is_floating_point()):
        return None
    for dtype in (torch.bfloat16, torch.float16):
        start = wanted[:1] if wanted.ndim else wanted
        if not same(start.to(dtype).to(held.dtype), held[:1] if held.ndim else held):
            continue
        if same(wanted.to(dtype).to(held.dtype), held):
            return (
                "weights/rounded",
                f"went through {dtype_name(dtype)} on the way, and lost digits",
                ("model", f"{dtype_name(held.dtype)}, every value one of {dtype_name(dtype)}"),
                ("checkpoint", dtype_name(wanted.dtype)),
            )
    return None


def _halves(name: str, wanted: torch.Tensor, held: torch.Tensor) -> Cause | None:
    """Recognise a fused pair in the wrong order or layout, e.g. up and gate for gate and up."""
    if wanted.shape != held.shape:
        return None
    pair = "gate and up" if _GATE_UP.search(name) else "the two halves"
    for dimension, size in enumerate(wanted.shape):
        if size % 2:
            continue
        # One fibre tells whether it is worth the whole.
        fibres = [
            what for made, what in _rearranged(_fibre(wanted, dimension), 0) if same(made, _fibre(held, dimension))
        ]
        for made, what in _rearranged(wanted, dimension) if fibres else ():
            if same(made, held):
                return (
                    "weights/halves-swapped",
                    f"has {pair} {what}",
                    ("model", f"{list(held.shape)}, rearranged along dimension {dimension}"),
                    ("checkpoint", "the same values in another order"),
                )
    return None


def _rearranged(wanted: torch.Tensor, dimension: int) -> Iterable[tuple[torch.Tensor, str]]:
    first, second = wanted.chunk(2, dimension)
    yield torch.cat((second, first), dimension), "swapped"
    pairs = wanted.unflatten(dimension, (-1, 2))
    yield pairs.flip(dimension + 1).flatten(dimension, dimension + 1), "swapped, one by one"
    yield pairs.transpose(dimension, dimension + 1).flatten(dimension, dimension + 1), "side by side, not interleaved"
    halves = wanted.unflatten(dimension, (2, -1))
    yield (
        halves.transpose(dimension, dimension + 1).flatten(dimension, dimension + 1),
        "interleaved, not side by side",
    )


def _permuted(wanted: torch.Tensor, held: torch.Tensor) -> Cause | None:
    if wanted.shape != held.shape:
        return None
    for dimension in range(min(wanted.ndim, 3)):
        mine, theirs = held.movedim(dimension, 0), wanted.movedim(dimension, 0)
        if len(mine) < 2 or not same(_sorted(held, dimension), _sorted(wanted, dimension)):
            continue
        places: dict[bytes, list[int]] = {}
        for index, digest in enumerate(_digests(theirs)):
            places.setdefault(digest, []).append(index)
        found = [places.get(digest, []) for digest in _digests(mine)]
        if all(found):
            moved = [f"{index} holds {at[0]}" for index, at in enumerate(found) if index not in at]
            more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
            return (
                "weights/permuted",
                "has the checkpoint's slices in another order",
                ("model", f"along dimension {dimension}: {', '.join(moved[:_SHOWN])}{more}"),
                ("checkpoint", f"{len(found)} slices"),
            )
    return None


def _fibre(tensor: torch.Tensor, dimension: int) -> torch.Tensor:
    """Return the first elements along a dimension, where all other indices are 0."""
    return tensor[tuple(slice(None) if number == dimension else 0 for number in range(tensor.ndim))]


def _sorted(tensor: torch.Tensor, dimension: int) -> torch.Tensor:
    """Return the first element of each slice along a dimension, sorted: what every permutation of them keeps."""
    return comparable(_fibre(tensor, dimension)).sort().values


def _digests(tensor: torch.Tensor) -> Iterable[bytes]:
    for index in range(len(tensor)):
        data = tensor[index].contiguous().reshape(-1).view(torch.uint8)
        yield hashlib.blake2b(data.numpy().tobytes(), digest_size=16).digest()


def _samples(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.reshape(-1)
    return flat[:: max(1, len(flat) // _SAMPLES)].clone()
