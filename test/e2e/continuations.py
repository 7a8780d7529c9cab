"""Where the continuations of two dumps part, recomputed with pyarrow and NumPy, sharing nothing with the analyzer.

    python test/e2e/continuations.py REFERENCE CANDIDATE FLOOR

Both were captured with their decode steps forced to the reference's tokens. Prints
a JSON object by sample: null where the continuations are the same, else the token
at which they part, the difference of the two choices' logits on both sides, and
that of the reference over √2 times the RMS of the floor's centred error.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow as pa


def read(path: str) -> dict[tuple[str, int, int], np.ndarray]:
    """Every tensor that is needed, by name, sample and step."""
    tensors = {}
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        rows = [row for index in range(reader.num_record_batches) for row in reader.get_batch(index).to_pylist()]
    for row in rows:
        if row["name"] not in ("generated_ids", "logits"):
            continue
        if row["dtype"] == "BF16":
            wide = np.frombuffer(row["data"], "<u2").astype("<u4") << 16
            values = wide.view("<f4").astype(np.float64)
        else:
            values = np.frombuffer(row["data"], {"I64": "<i8", "F32": "<f4"}[row["dtype"]])
        tensors[row["name"], row["sample"], row["step"]] = values.reshape(row["shape"])
    return tensors


def main() -> None:
    """Print what the arguments ask for."""
    reference, candidate, floor = (read(path) for path in sys.argv[1:])
    found = {}
    for sample in sorted(sample for name, sample, _ in reference if name == "generated_ids"):
        mine, theirs = (dump["generated_ids", sample, 0] for dump in (reference, candidate))
        apart = np.flatnonzero(mine != theirs)
        if not len(apart):
            found[sample] = None
            continue
        step = int(apart[0])
        x, y, f = (dump["logits", sample, step][-1].astype(np.float64) for dump in (reference, candidate, floor))
        a, b = mine[step], theirs[step]
        sigma = np.std(f - x)
        found[sample] = [step, x[a] - x[b], y[b] - y[a], (x[a] - x[b]) / (np.sqrt(2) * sigma)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
