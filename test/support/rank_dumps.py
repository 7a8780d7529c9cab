"""Writes a run as one whole dump and as the files of its two ranks, into the folder given.

python test/support/rank_dumps.py FOLDER
"""

import pathlib
import sys

import numpy as np

from npu_dump import DumpWriter

TOKENS = (5, 3)
HIDDEN, VOCABULARY, PADDED = 8, 11, 6
CHANNELS = ((0, 3), (3, 5))

folder = pathlib.Path(sys.argv[1])


def tensor(name: str, sample: int) -> np.ndarray:
    width = VOCABULARY if name == "logits" else HIDDEN
    return np.random.default_rng([sample, *name.encode()]).standard_normal((TOKENS[sample], width), "<f4")


NAMES = ("embed", "layers.0.attn", "layers.0.mlp", "layers.0", "norm", "logits")
RUN = {"id": "ab", "dtype": "F32", "model": {"layers": 1}}

with DumpWriter(folder / "whole.arrow", run=RUN | {"id": "cd"}) as writer:
    for sample, tokens in enumerate(TOKENS):
        writer.write("input_ids", np.arange(tokens), sample=sample)
        for name in NAMES:
            writer.write(name, tensor(name, sample), sample=sample)

for rank, (start, length) in enumerate(CHANNELS):
    run = RUN | {
        "parallel": {"world_size": 2, "tp": 2, "pp": 1, "ep": 1, "rank": rank},
        "shards": {
            "layers.*.attn": {"axis": 1, "start": start, "length": length},
            "layers.*.mlp": {"partial": "sum"},
            "norm": {"axis": 0},
            "logits": {"axis": 1, "start": rank * PADDED, "length": PADDED},
            "*": {"replicated": True},
        },
    }
    with DumpWriter(folder / f"npu.rank{rank}.arrow", run=run) as writer:
        for sample, tokens in enumerate(TOKENS):
            writer.write("input_ids", np.arange(tokens), sample=sample)
            values = {name: tensor(name, sample) for name in NAMES}
            writer.write("embed", values["embed"], sample=sample)
            attn, mlp, norm = (values[name] for name in ("layers.0.attn", "layers.0.mlp", "norm"))
            writer.write("layers.0.attn", attn[:, start : start + length], sample=sample, whole=attn.shape)
            # Every other element on each rank, so that the sum is exact.
            term = np.where((np.arange(mlp.size) % 2 == rank).reshape(mlp.shape), mlp, np.float32(0))
            writer.write("layers.0.mlp", term, sample=sample)
            writer.write("layers.0", values["layers.0"], sample=sample)
            half = tokens // 2
            rows = slice(0, half) if rank == 0 else slice(half, tokens)
            writer.write("norm", norm[rows], sample=sample, whole=norm.shape, start=rows.start)
            padded = np.pad(values["logits"], ((0, 0), (0, 2 * PADDED - VOCABULARY)), constant_values=np.nan)
            part = padded[:, rank * PADDED : (rank + 1) * PADDED]
            writer.write("logits", part, sample=sample, whole=values["logits"].shape)
