"""How far what a model holds is from what it should hold, element by element, a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Elements compared at once: temporaries stay below 256 MiB.
CHUNK = 1 << 22


@dataclass
class Difference:
    """What comparing two tensors of one shape gives; NaN equals NaN.

    Attributes:
        elements: of each tensor.
        differ: elements that are not the source's, cast to the dtype that the model holds.
        max_abs: largest absolute difference of these, in float64, where both are finite; 0 where there are none.
        nonfinite: NaN and infinite elements that the model holds.
        inherited: those of them that are so in the checkpoint, too.
        changed: elements that the cast itself changes.
        overflow: finite elements that it makes infinite.
        underflow: elements other than zero that it makes zero.
    """

    elements: int = 0
    differ: int = 0
    max_abs: float = 0.0
    nonfinite: int = 0
    inherited: int = 0
    changed: int = 0
    overflow: int = 0
    underflow: int = 0


def measure(source: torch.Tensor, held: torch.Tensor) -> Difference:
    """Return how ``held`` differs from ``source`` cast to its dtype.

    Args:
        source: what should be there, on the CPU.
        held: of the same shape, on any device.
    """
    found = Difference(elements=held.numel())
    narrowing = not lossless(source.dtype, held.dtype)
    whole, other = source.reshape(-1), held.detach().reshape(-1)
    for start in range(0, found.elements, CHUNK):
        wanted, present = whole[start : start + CHUNK], other[start : start + CHUNK].cpu()
        cast = wanted.to(present.dtype)
        _count_nonfinite(found, wanted, present)
        if narrowing:
            _count_cast(found, wanted, cast)
        if not torch.equal(comparable(cast), comparable(present)):
            _count_difference(found, comparable(cast), comparable(present))
    return found


def lossless(source: torch.dtype, target: torch.dtype) -> bool:
    """Return whether every value of one dtype is one of the other, too."""
    if source == target:
        return True
    if not (source.is_floating_point and target.is_floating_point):
        return False
    a, b = torch.finfo(source), torch.finfo(target)
    return b.eps <= a.eps and b.max >= a.max and b.smallest_normal * b.eps <= a.smallest_normal * a.eps


def comparable(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same values in a dtype that torch can compare: float32 for the 8-bit floats."""
    return tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize == 1 else tensor


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Return whether two tensors have one shape and equal values; NaN equals NaN."""
    if first.shape != second.shape:
        return False
    if first.ndim and len(first) > 1 and not same(first[0], second[0]):
        return False  # most that differ do so at once
    a, b = comparable(first), comparable(second)
    return torch.equal(a, b) or bool(((a == b) | (_nan(a) & _nan(b))).all())


def _nan(tensor: torch.Tensor) -> torch.Tensor:
    return tensor != tensor


def _count_nonfinite(found: Difference, wanted: torch.Tensor, present: torch.Tensor) -> None:
    if present.is_floating_point():
        finite = torch.isfinite(comparable(present))
        if not finite.all():
            found.nonfinite += int((~finite).sum())
            found.inherited += int((~finite & ~torch.isfinite(comparable(wanted))).sum())


def _count_cast(found: Difference, wanted: torch.Tensor, cast: torch.Tensor) -> None:
    before, after = wanted.double(), cast.double()
    changed = (before != after) & ~(_nan(before) & _nan(after))
    found.changed += int(changed.sum())
    found.overflow += int((changed & before.isfinite() & ~after.isfinite()).sum())
    found.underflow += int((changed & (after == 0)).sum())


def _count_difference(found: Difference, wanted: torch.Tensor, present: torch.Tensor) -> None:
    differ = (wanted != present) & ~(_nan(wanted) & _nan(present))
    found.differ += int(differ.sum())
    distance = (wanted.double() - present.double()).abs()[differ]
    finite = distance[distance.isfinite()]
    if finite.numel():
        found.max_abs = max(found.max_abs, float(finite.max()))
