"""Recompute figures of two dumps with pyarrow and PyTorch float64, sharing nothing with the analyzer.

    python test/e2e/recompute.py REFERENCE CANDIDATE

Prints one JSON object: perplexity of both sides, mean KL, the share of positions
whose most likely token agrees, and of the logits the mean and least token
cosine, the mean squared error and the largest absolute error.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read(path: str, name: str) -> dict[int, torch.Tensor]:
    """The tensors called `name`, by sample; chunks joined."""
    pieces: dict[int, list[tuple[int, bytes, str, list[int]]]] = defaultdict(list)
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            for row in reader.get_batch(index).filter(pc.field("name") == name).to_pylist():
                pieces[row["sample"]].append((row["start"], row["data"], row["dtype"], row["shape"]))
    tensors = {}
    for sample, rows in pieces.items():
        rows.sort(key=lambda piece: piece[0])
        data = bytearray(b"".join(piece[1] for piece in rows))
        tensors[sample] = torch.frombuffer(data, dtype=DTYPES[rows[0][2]]).reshape(rows[0][3])
    return tensors


def main() -> None:
    reference, candidate = sys.argv[1:3]
    ids = read(reference, "input_ids")
    mine, theirs = read(reference, "logits"), read(candidate, "logits")
    losses: dict[str, list[float]] = {"reference": [], "candidate": []}
    kl: list[float] = []
    cosines: list[float] = []
    squares, count, largest, agreed = 0.0, 0, 0.0, 0
    for sample in sorted(ids):
        x, y = mine[sample].to(torch.float64), theirs[sample].to(torch.float64)
        p, q = torch.log_softmax(x, -1), torch.log_softmax(y, -1)
        truth = ids[sample][1:, None]
        losses["reference"] += (-p[:-1].gather(1, truth)[:, 0]).tolist()
        losses["candidate"] += (-q[:-1].gather(1, truth)[:, 0]).tolist()
        kl += (p.exp() * (p - q)).sum(-1).tolist()
        cosines += torch.nn.functional.cosine_similarity(x, y, dim=-1).tolist()
        squares += float(((y - x) ** 2).sum())
        count += x.numel()
        largest = max(largest, float((y - x).abs().max()))
        top_x, top_y = x.argmax(-1, keepdim=True), y.argmax(-1, keepdim=True)
        tied = (y.gather(1, top_x) == y.max(-1, keepdim=True).values) | (
            x.gather(1, top_y) == x.max(-1, keepdim=True).values
        )
        agreed += int(tied.sum())
    figures = {
        "perplexity": {side: math.exp(math.fsum(values) / len(values)) for side, values in losses.items()},
        "kl": {"mean": math.fsum(kl) / len(kl), "max": max(kl), "median": float(np.quantile(kl, 0.5))},
        "top1": agreed / len(kl),
        "tokenCosine": {"mean": math.fsum(cosines) / len(cosines), "min": min(cosines)},
        "mse": squares / count,
        "maxAbs": largest,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
