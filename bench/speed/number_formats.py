"""The number formats of the dumps that are made: how NumPy holds them, and how float32 is rounded to them."""

from __future__ import annotations

import numpy as np

# bfloat16, which NumPy lacks, as the upper half of a float32.
STORED: dict[str, np.dtype] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
}
# Half a unit in the last place of 1.
ROUNDOFF = {"F32": 2.0**-25, "F16": 2.0**-12, "BF16": 2.0**-9}


def encode(values: np.ndarray, name: str) -> np.ndarray:
    """Finite float32 values, rounded to nearest, ties to even, in the stored form of a format."""
    if name != "BF16":
        return values.astype(STORED[name])
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def decode(stored: np.ndarray, name: str) -> np.ndarray:
    """The float32 values of a stored form; exact."""
    if name != "BF16":
        return stored.astype(np.float32)
    return (stored.astype(np.uint32) << 16).view(np.float32)
