"""What PyTorch says of number formats, and what the conversions of NumPy and ml_dtypes do, as JSON.

PyTorch's own conversions to E4M3 saturate in newer versions; those of ml_dtypes do not.
"""

import json
import math
import struct

import ml_dtypes
import numpy as np
import torch

DTYPES = {
    "dtype/f64": (torch.float64, np.float64),
    "dtype/f32": (torch.float32, np.float32),
    "dtype/bf16": (torch.bfloat16, ml_dtypes.bfloat16),
    "dtype/f16": (torch.float16, np.float16),
    "dtype/f8_e4m3": (torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn),
    "dtype/f8_e5m2": (torch.float8_e5m2, ml_dtypes.float8_e5m2),
}


def least(low, high, letters, holds):
    """The least number above `low` of which something holds, by bisection over all of struct's format."""
    whole, real = letters

    def number(bits):
        return struct.unpack(real, struct.pack(whole, bits))[0]

    low, high = (struct.unpack(whole, struct.pack(real, value))[0] for value in (low, high))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(number(middle)) else (middle, high)
    return number(high)


facts = {}
np.seterr(all="ignore")
for name, (dtype, scalar) in DTYPES.items():
    info = torch.finfo(dtype)
    # Some conversions of float64 go through float32, which rounds twice: numbers of float32 are rounded once.
    narrow = info.bits < 32
    letters, wide = (("<i", "<f"), np.float32) if narrow else (("<q", "<d"), np.float64)

    def converted(value, scalar=scalar, wide=wide):
        return float(wide(value).astype(scalar))

    first = None
    if info.bits < 64:
        first = least(
            info.max,
            3e38 if info.max < 1e38 else wide(np.finfo(wide).max),
            letters,
            lambda value: not math.isfinite(converted(value)),
        )
    # Half of the smallest number above 0 is a tie, which goes to 0.
    tie = least(0.0, info.smallest_normal, letters, lambda value: converted(value) > 0)
    facts[name] = {
        "maxFinite": info.max,
        "minNormal": info.smallest_normal,
        "minSubnormal": converted(tie),
        "unitRoundoff": info.eps / 2,
        "decimalDigits": round(-math.log10(info.resolution)),
        "bits": info.bits,
        "firstOverflow": first,
        "overflowsTo": None if first is None else str(converted(first)),
    }
print(json.dumps(facts))
