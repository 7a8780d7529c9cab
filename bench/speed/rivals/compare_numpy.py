"""The figures of a pair with NumPy, in float64; prints them as JSON.

    python compare_numpy.py FOLDER [--blocks]

Files are mapped, which was faster than reading them. Without `--blocks` each expression takes a whole tensor (of
logits: the rows of a sample), as scripts are written. With it, a mebibyte of float64 at a time, which stays in the
processor's cache, and a thread for each core: the fastest form found. BLAS has one thread: with more it was no
faster, and on a busy machine ten times slower, because its threads wait for each other without sleeping.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Before NumPy is imported.
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")

import numpy as np

CORES = os.cpu_count() or 1
BLOCK = 1 << 17
THREADS = ThreadPoolExecutor(CORES)


def float64(stored: np.ndarray, dtype: str) -> np.ndarray:
    """A copy in float64; bfloat16 is stored as the upper half of a float32."""
    if dtype == "BF16":
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float64)


def statistics(first: np.ndarray, second: np.ndarray, dtypes: tuple[str, str], block: int) -> dict[str, float]:
    """Cosine, MSE, largest absolute error and relative L2 error of a tensor."""
    x, y = first.reshape(-1), second.reshape(-1)
    # Not worth another thread below a few blocks; a whole tensor is one piece.
    share = max(4 * block, -(-x.size // CORES))
    pieces = [slice(start, start + share) for start in range(0, x.size, share)]
    if len(pieces) == 1:
        found = [sums(x, y, dtypes, block)]
    else:
        found = list(THREADS.map(lambda piece: sums(x[piece], y[piece], dtypes, block), pieces))
    xx, yy, xy, dd, _ = np.sum(found, axis=0).tolist()
    return {
        "cosine": xy / math.sqrt(xx * yy),
        "mse": dd / x.size,
        "maxAbs": max(largest for *_, largest in found),
        "relL2": math.sqrt(dd / xx),
    }


def sums(x: np.ndarray, y: np.ndarray, dtypes: tuple[str, str], block: int) -> tuple[float, ...]:
    """The products x·x, y·y and x·y, that of y - x with itself, and the largest magnitude in it."""
    xx = yy = xy = dd = largest = 0.0
    for start in range(0, x.size, block):
        a = float64(x[start : start + block], dtypes[0])
        b = float64(y[start : start + block], dtypes[1])
        xx += a @ a
        yy += b @ b
        xy += a @ b
        b -= a
        dd += b @ b
        largest = max(largest, b.max(), -b.min())
    return tuple(map(float, (xx, yy, xy, dd, largest)))


def logits(
    first: np.ndarray, second: np.ndarray, dtypes: tuple[str, str], ids: np.ndarray, lengths: list[int], block: int
) -> dict[str, float]:
    """Mean KL divergence, share of rows with one argmax, and perplexities; every core takes some rows at a time."""
    follows = np.roll(ids, -1)
    follows[np.cumsum(lengths) - 1] = -1

    def part(rows: slice) -> np.ndarray:
        return predictions(float64(first[rows], dtypes[0]), float64(second[rows], dtypes[1]), follows[rows])

    parts = list(THREADS.map(part, blocks(lengths, first.shape[1], block)))
    divergence, agree, losses, other_losses, known = np.sum(parts, axis=0).tolist()
    return {
        "kl": divergence / len(first),
        "agreement": agree / len(first),
        "perplexityReference": math.exp(losses / known),
        "perplexityCandidate": math.exp(other_losses / known),
    }


def predictions(x: np.ndarray, y: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Sums over rows of KL, agreement, losses of the ids that follow on both sides, and how many (-1: none)."""
    known = np.flatnonzero(follows >= 0)
    agree = np.count_nonzero(x.argmax(axis=1) == y.argmax(axis=1))
    x -= x.max(axis=1, keepdims=True)
    y -= y.max(axis=1, keepdims=True)
    chosen = x[known, follows[known]], y[known, follows[known]]
    p = np.exp(x)
    sums = p.sum(axis=1), np.exp(y).sum(axis=1)
    x -= y
    logs = np.log(sums[0]), np.log(sums[1])
    divergence = np.einsum("ij,ij->i", p, x) / sums[0] - (logs[0] - logs[1])
    losses = [(logs[side][known] - chosen[side]).sum() for side in (0, 1)]
    return np.array([divergence.sum(), agree, *losses, known.size])


def blocks(lengths: list[int], width: int, block: int) -> Iterator[slice]:
    """Rows of the samples, a block of them at a time; at least one."""
    start = 0
    for length in lengths:
        step = max(1, min(length, block // width))
        for row in range(start, start + length, step):
            yield slice(row, min(row + step, start + length))
        start += length


def main() -> None:
    """Print the figures of all tensors, and those of the logits where there are some."""
    folder = Path(sys.argv[1])
    blocked = "--blocks" in sys.argv
    described = json.loads((folder / "tensors.json").read_text())
    answer: dict[str, Any] = {"tensors": {}}
    for index, tensor in enumerate(described["tensors"]):
        pair = [np.load(folder / side / f"{index:05}.npy", mmap_mode="r") for side in ("reference", "candidate")]
        dtypes = tensor["reference"], tensor["candidate"]
        block = BLOCK if blocked else pair[0].size
        answer["tensors"][tensor["name"]] = statistics(pair[0], pair[1], dtypes, block)
        if tensor["name"] == "logits":
            ids = np.load(folder / "input_ids.npy")
            answer["logits"] = logits(pair[0], pair[1], dtypes, ids, described["lengths"], block)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
