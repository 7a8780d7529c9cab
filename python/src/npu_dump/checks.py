"""What is refused before it is written: the run's metadata, and a tensor's name and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
