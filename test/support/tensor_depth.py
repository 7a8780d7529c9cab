"""One tensor of a pair in depth, by NumPy alone: what the analyzer's figures must be.

Reads from standard input a JSON list of cases: dtypes and, in hex, the bytes of both sides of
each pair ``[rows, width]``. Prints a list of histograms and figures in the same order.
"""

import json
import sys

import numpy as np
import torch

# Mantissa bits that are stored, exponents of the smallest normal and of the largest finite number.
_FORMATS = {
    "F64": (52, -1022, 1023, torch.float64),
    "F32": (23, -126, 127, torch.float32),
    "F16": (10, -14, 15, torch.float16),
    "BF16": (7, -126, 127, torch.bfloat16),
    "F8_E4M3": (3, -6, 8, torch.float8_e4m3fn),
    "F8_E5M2": (2, -14, 15, torch.float8_e5m2),
}


def _values(data: str, dtype: str, width: int) -> np.ndarray:
    raw = torch.tensor(list(bytes.fromhex(data)), dtype=torch.uint8)
    return raw.view(_FORMATS[dtype][3]).double().numpy().reshape(-1, width)


def _ulp(r: np.ndarray, dtype: str) -> np.ndarray:
    mantissa, least, most, _ = _FORMATS[dtype]
    exponent = np.where(r == 0, least, np.frexp(r)[1] - 1)
    return np.ldexp(1.0, np.clip(exponent, least, most) - mantissa)


def _ratio(d: np.ndarray, x: np.ndarray) -> float:
    if d.size == 0:
        return float("nan")
    error, size = np.linalg.norm(d), np.linalg.norm(x)
    return 0.0 if error == 0 else float(error / size)


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    if x.size == 0:
        return float("nan")
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    if norms == 0:
        return float(np.linalg.norm(x) == np.linalg.norm(y))
    return float(np.dot(x, y) / norms)


@np.errstate(all="ignore")
def _depth(case: dict) -> dict:
    width = case["width"]
    sides = [
        (_values(one["reference"], one["dtypes"][0], width), _values(one["candidate"], one["dtypes"][1], width))
        for one in case["pairs"]
    ]
    r, x = (np.concatenate(side) for side in zip(*sides, strict=True))
    ulp = np.concatenate([_ulp(a, one["dtypes"][1]) for (a, _), one in zip(sides, case["pairs"], strict=True)])
    finite = np.isfinite(r) & np.isfinite(x)
    same = (np.isnan(r) & np.isnan(x)) | (np.isinf(r) & (r == x))
    kind = ~finite & ~same
    d = np.where(finite, x - r, 0.0)
    ulps = np.abs(d) / ulp
    bounds = [0.0, *(2.0**k for k in range(-1, 17))]
    above = [float("-inf"), *bounds]
    inside = [int(((ulps > low) & (ulps <= high) & finite).sum()) for low, high in zip(above, bounds, strict=False)]
    inside[0] += int(same.sum())
    squares = (d * d).sum(axis=0)
    total = squares.sum()
    size = np.where(kind, np.inf, np.abs(d)).ravel()
    order = [int(i) for i in np.argsort(-size, kind="stable") if size[i] > 0][:20]
    rows = [
        {
            "row": row,
            "relL2": _ratio(d[row][finite[row]], r[row][finite[row]]),
            "cosine": _cosine(r[row][finite[row]], x[row][finite[row]]),
            "mismatched": int(kind[row].sum()),
        }
        for row in range(len(r))
    ]
    channels = [
        {
            "channel": c,
            "share": float(squares[c] / total) if total > 0 else 0.0,
            "relL2": _ratio(d[:, c][finite[:, c]], r[:, c][finite[:, c]]),
            "mismatched": int(kind[:, c].sum()),
        }
        for c in range(width)
    ]
    return {
        "buckets": inside,
        "beyond": int(((ulps > bounds[-1]) & finite).sum()),
        "nonFinite": int(kind.sum()),
        "max": float(ulps[finite].max()) if finite.any() else None,
        "elements": [
            {"flat": i, "reference": str(r.ravel()[i]), "ulp": str(np.where(kind, np.inf, ulps).ravel()[i])}
            for i in order
        ],
        "tokens": rows,
        "channels": channels,
    }


json.dump([_depth(case) for case in json.load(sys.stdin)], sys.stdout)
