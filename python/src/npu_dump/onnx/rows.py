"""How a tensor of a graph lies in a dump: one row a token, whatever axis the graph keeps its tokens in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .session import Value


def growing_axes(short: Sequence[int], long: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that are longer for the longer of two prompts."""
    return tuple(axis for axis, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1])


def token_axis(shape: Sequence[int], tokens: int | None) -> tuple[int, ...]:
    """Return the axis of tokens in ``[1, tokens, n]`` or ``[tokens, n]``, of other shapes none.

    Args:
        shape: of a tensor.
        tokens: how many; None: any number, after a batch of one.
    """
    if len(shape) == 3 and shape[0] == 1 and tokens in (None, shape[1]):
        return (1,)
    return (0,) if len(shape) == 2 and shape[0] == tokens else ()


def as_rows(value: Value, axes: Sequence[int]) -> tuple[tuple[int, ...], Any]:
    """Return the shape and the bytes of a tensor with these axes first, as one, and without a batch of one.

    So a row has the same length in every sample, whatever the samples' own.

    Args:
        value: the tensor.
        axes: those that grow with the prompt; none: it is left as it is.
    """
    if not axes:
        return value.shape, value.data
    batch = [0] if value.shape[0] == 1 and 0 not in axes else []
    rest = [axis for axis in range(len(value.shape)) if axis not in axes and axis not in batch]
    lengths = (math.prod(value.shape[axis] for axis in axes), *(value.shape[axis] for axis in rest))
    elements = math.prod(value.shape)
    if not elements:
        return lengths, b""
    # By its bits: NumPy has not all types.
    array = np.frombuffer(value.data, f"<u{value.size // elements}").reshape(value.shape)
    moved = np.ascontiguousarray(array.transpose(*axes, *rest, *batch))
    return lengths, moved.reshape(-1).view(np.uint8).data
