"""Writes decode.json: how PyTorch decodes every bit pattern of the small float formats.

For each dtype: the SHA-256 of all values as little-endian float64 in the order
of their patterns, every NaN as the quiet NaN 0x7ff8000000000000, and a sample
of [pattern, float64 bits] pairs that says where a difference lies.

    python test/dump/golden/make_decode.py
"""

import hashlib
import json
import pathlib

import numpy as np
import torch

DTYPES = {
    "F16": (torch.uint16, torch.float16),
    "BF16": (torch.uint16, torch.bfloat16),
    "F8_E4M3": (torch.uint8, torch.float8_e4m3fn),
    "F8_E5M2": (torch.uint8, torch.float8_e5m2),
}
# Coprime to the number of patterns, so that all exponents and mantissas turn up.
STRIDE = {torch.uint16: 251, torch.uint8: 1}


def golden(integer: torch.dtype, dtype: torch.dtype) -> dict[str, object]:
    """Decodes all patterns of `dtype`, whose bits are those of `integer`."""
    numpy_integer = {torch.uint16: np.uint16, torch.uint8: np.uint8}[integer]
    patterns = np.arange(np.iinfo(numpy_integer).max + 1, dtype=numpy_integer)
    values = torch.from_numpy(patterns).view(dtype).to(torch.float64).numpy()
    bits = np.where(np.isnan(values), np.uint64(0x7FF8000000000000), values.view(np.uint64))
    sample = range(0, len(patterns), STRIDE[integer])
    return {
        "sha256": hashlib.sha256(bits.astype("<u8").tobytes()).hexdigest(),
        "sample": [[i, f"{bits[i]:016x}"] for i in sample],
    }


if __name__ == "__main__":
    result = {name: golden(*types) for name, types in DTYPES.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
    path = pathlib.Path(__file__).with_name("decode.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name}: torch {torch.__version__}")
