"""The dense float tensors of a dump, read with pyarrow and NumPy alone, without either half of the project."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

WIDTHS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
COLUMNS = ["name", "sample", "step", "repeat", "rank", "dtype", "shape", "start", "encoding", "data"]


class Key(NamedTuple):
    """One tensor of one prompt (step 0) or of one decode step."""

    name: str
    sample: int
    step: int


@dataclass
class Stored:
    """The chunks of one tensor, still in the file's bytes."""

    dtype: str
    shape: tuple[int, ...]
    chunks: list[tuple[int, pa.Buffer]] = field(default_factory=list)

    def rows(self) -> np.ndarray:
        """All of it as float64, axis 0 by the rest; exact for every format here."""
        parts = [np.frombuffer(data, WIDTHS[self.dtype]) for _, data in sorted(self.chunks, key=lambda c: c[0])]
        raw = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self.dtype == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float64).reshape(self.shape[0], -1)


@dataclass(frozen=True)
class ArrowDump:
    """What a file holds: its run's metadata and its tensors."""

    run: dict[str, Any]
    tensors: dict[Key, Stored]

    def names(self) -> list[str]:
        """Names of tensors in the order of the file."""
        return list(dict.fromkeys(key.name for key in self.tensors))


def read(path: str | os.PathLike[str]) -> ArrowDump:
    """Open a dump; its data stays in the file until a tensor is asked for.

    Raises ValueError where chunks of a tensor do not add up to its shape.
    """
    file = pa.ipc.open_file(pa.memory_map(os.fspath(path)))
    tensors: dict[Key, Stored] = {}
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        columns = {name: batch.column(name) for name in COLUMNS}
        for row in range(batch.num_rows):
            value = {name: column[row].as_py() for name, column in columns.items() if name != "data"}
            if value["dtype"] not in WIDTHS or value["encoding"] != "dense" or not value["shape"]:
                continue
            if value["repeat"] != 0 or value["rank"] != 0:
                continue
            key = Key(value["name"], value["sample"], value["step"])
            stored = tensors.setdefault(key, Stored(value["dtype"], tuple(value["shape"])))
            stored.chunks.append((value["start"], columns["data"][row].as_buffer()))
    for key, stored in tensors.items():
        held = sum(data.size for _, data in stored.chunks)
        if held != np.dtype(WIDTHS[stored.dtype]).itemsize * int(np.prod(stored.shape)):
            raise ValueError(f"{path}: chunks of {key} do not add up to its shape {stored.shape}")
    return ArrowDump(json.loads(file.schema.metadata[b"npu_diff.run"]), tensors)
