"""What is refused before it is written: the run's metadata, and a tensor's name and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import contract
from .errors import DumpError

# name, sample, step, repeat, rank
Key = tuple[str, int, int, int, int]


def run_json(run: Mapping[str, Any]) -> str:
    """Return the metadata as JSON, or raise a `DumpError` where it is not what the format demands."""
    try:
        text = json.dumps(run, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DumpError(
            "run-invalid",
            "the run's metadata is no JSON",
            facts=[("reason", error)],
            help="use only objects, arrays, text, finite numbers, booleans and null",
        ) from error
    if run.get("dtype") not in contract.DTYPES:
        raise DumpError(
            "run-invalid",
            "the run's metadata must name the precision of the run",
            facts=[("dtype", run.get("dtype")), ("known", " ".join(contract.DTYPES))],
            help='add "dtype" to run, e.g. {"dtype": "BF16"}',
        )
    return text


def check_key(key: Key) -> None:
    """Raise a `DumpError` unless name, sample, step, repeat and rank are the format's."""
    name, sample, *others = key
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= contract.MAX_NAME_BYTES:
        raise DumpError(
            "name-invalid",
            "a tensor's name must be 1 byte to 64 KiB of UTF-8",
            facts=[("name", name[:60]), ("bytes", size or "none, or no valid Unicode")],
            help="give the tensor another name",
        )
    if sample < -1 or min(others) < 0 or max(sample, *others) >= 2**31:
        raise DumpError(
            "index-invalid",
            "sample, step, repeat and rank are counted from 0 in 31 bits; only sample may be -1, the whole run",
            facts=[("tensor", name), ("sample, step, repeat, rank", key[1:])],
            help="number them from 0",
        )


def check_slice(
    name: str, shape: Sequence[int], whole: Sequence[int] | None, start: int, encoding: contract.Encoding
) -> None:
    """Raise a `DumpError` unless a tensor of this shape can be a slice of the whole one along one axis.

    A slice may be longer than what is left of the axis: the rest is padding.
    """
    other = [] if whole is None else [axis for axis, (a, b) in enumerate(zip(shape, whole, strict=False)) if a != b]
    fits = whole is not None and len(shape) == len(whole) and len(other) <= 1 and min(start, *whole) >= 0
    if not fits or encoding != "dense" or (start and other not in ([], [0])):
        raise DumpError(
            "tensor-arguments",
            "what a rank holds is no slice of the whole tensor",
            facts=[("tensor", name), ("slice", f"{list(shape)} from {start}, {encoding}"), ("whole", whole)],
            help="pass the shape of the whole tensor, of which the slice differs along one axis, and dense values",
        )
