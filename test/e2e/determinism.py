"""How far the repetitions of a dump agree, recomputed with pyarrow and NumPy, sharing nothing with the analyzer.

    python test/e2e/determinism.py DUMP ALIKE OTHERWISE

ALIKE and OTHERWISE are the repetitions that are held to the run itself, each by itself. Prints a JSON object by
repetition: how many prompts continue alike, the first that does not with the token at which it parts, and the largest
difference of the log-probabilities of the likeliest tokens up to there.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow as pa


def read(path: str) -> dict[tuple[str, int, int], np.ndarray]:
    """The continuations, by name, sample and repetition."""
    tensors = {}
    with pa.memory_map(path) as source:
        rows = pa.ipc.open_file(source).read_all().to_pylist()
    for row in rows:
        dtype = {"generated_ids": "<i8", "generated_topk_logprobs": "<f4"}.get(row["name"])
        if dtype is not None:
            values = np.frombuffer(row["data"], dtype).reshape(row["shape"])
            tensors[row["name"], row["sample"], row["repeat"]] = values
    return tensors


def parting(a: np.ndarray, b: np.ndarray) -> int | None:
    """The first token that differs, or that one lacks; None where there is none."""
    common = min(len(a), len(b))
    apart = np.flatnonzero(a[:common] != b[:common])
    if len(apart):
        return int(apart[0])
    return None if len(a) == len(b) else common


def main() -> None:
    """Print what the arguments ask for."""
    path, *repeats = sys.argv[1:]
    tensors = read(path)
    samples = sorted(sample for name, sample, repeat in tensors if name == "generated_ids" and repeat == 0)
    found = {}
    for repeat in map(int, repeats):
        first, alike, largest = None, 0, 0.0
        for sample in samples:
            at = parting(tensors["generated_ids", sample, 0], tensors["generated_ids", sample, repeat])
            alike += at is None
            if first is None and at is not None:
                first = [sample, at]
            x, y = (
                tensors["generated_topk_logprobs", sample, one][: None if at is None else at + 1].astype(np.float64)
                for one in (0, repeat)
            )
            rows = min(len(x), len(y))
            largest = max(largest, float(np.max(np.abs(x[:rows] - y[:rows]), initial=0)))
        found[repeat] = {"alike": alike, "first": first, "largest": largest}
    print(json.dumps({"samples": len(samples), "repeats": found}))


if __name__ == "__main__":
    main()
