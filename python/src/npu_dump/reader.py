"""Reads a dump as a mapping of tensors, straight from the mapped file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from . import contract
from .errors import DumpError
from .ranks import is_part, is_whole, rank_of

Key = tuple[str, int, int]


class DumpFile(Mapping[Key, Any]):
    """The tensors of a complete dump by ``(name, sample, step)``, in the order of the file.

    Values are NumPy arrays; BF16 and 8-bit floats, which NumPy lacks, are torch tensors. A tensor is read when it is
    asked for.

    Of a determinism run they are those of the run itself, repetition 0.

    The file of one rank of several gives what it holds as a whole, such as token ids; a slice or a term of a sum is
    an error, because nothing tells it from a tensor.

    Attributes:
        run: the metadata written with the file.
        end: what was known at its end.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        with _damage(self.path):
            self.run = _run_of(self._file.schema, self.path)
            _check_columns(self._file.schema, self.path)
            self._chunks: dict[Key, list[tuple[int, int, int]]] = {}
            self._encodings: dict[Key, str] = {}
            self._modules: dict[str, str | None] = {}
            self.end = self._index()

    def _index(self) -> dict[str, Any]:
        """Note where the chunks of each tensor are, and return ``run.end``."""
        end: tuple[int, int] | None = None
        for number in range(self._file.num_record_batches):
            batch = self._file.get_batch(number)
            # Offsets that leave their buffers would read foreign memory; the check costs nothing beside the data.
            batch.validate(full=True)
            names, samples, steps, starts, repeats, ranks = (
                batch.column(column).to_pylist() if column in batch.schema.names else [0] * batch.num_rows
                for column in ("name", "sample", "step", "start", "repeat", "rank")
            )
            own = rank_of(self.run) if is_part(self.run) else 0
            foreign = (rank != own for name, rank in zip(names, ranks, strict=True) if name != contract.END_NAME)
            if any(foreign):
                raise DumpError(
                    "dump-ranks",
                    "the dump holds several ranks, which this view cannot tell apart",
                    facts=[("file", self.path.name), ("this file's", own), ("highest", max(ranks))],
                    help="read the file with pyarrow, whose rows have the columns",
                )
            encodings, modules = (
                batch.column(column).to_pylist() if column in batch.schema.names else [default] * batch.num_rows
                for column, default in (("encoding", "dense"), ("module", None))
            )
            for row, key in enumerate(zip(names, samples, steps, strict=True)):
                end = (number, row) if key[0] == contract.END_NAME else None
                if end is None and repeats[row] == 0:
                    self._chunks.setdefault(key, []).append((starts[row], number, row))
                    self._encodings[key] = encodings[row]
                    self._modules[key[0]] = modules[row]
        if end is None:
            raise _incomplete(self.path, f"the last row is not {contract.END_NAME}")
        told = json.loads(bytes(self._data(*end)))
        if not isinstance(told, dict) or told.get("complete") is not True:
            raise _incomplete(self.path, f"{contract.END_NAME} does not say that the dump is complete")
        return told

    def __getitem__(self, key: Key) -> Any:
        chunks = sorted(self._chunks[key])
        with _damage(self.path):
            return self._tensor(key, chunks)

    def _tensor(self, key: Key, chunks: list[tuple[int, int, int]]) -> Any:
        name = key[0]
        _, number, row = chunks[0]
        if not is_whole(self.run, name):
            raise DumpError(
                "tensor-part",
                f"tensor {name} is one rank's part of the whole one",
                facts=[("file", self.path.name), ("parallel", self.run.get("parallel"))],
                help="npu-diff compare and inspect read the files of all ranks together: 'NAME.rank*.arrow'",
            )
        batch = self._file.get_batch(number)
        dtype = contract.DTYPES.get(batch.column("dtype")[row].as_py())
        shape = tuple(batch.column("shape")[row].as_py())
        encoding = self._encodings[key]
        if dtype is None or encoding != "dense":
            raise DumpError(
                "tensor-encoding",
                f"tensor {name} cannot be read as an array",
                facts=[("dtype", batch.column("dtype")[row].as_py()), ("encoding", encoding)],
                help="install the newest npu-dump; of a reduced tensor only statistics or sketches exist",
            )
        parts = [np.frombuffer(self._data(number, row), dtype=np.uint8) for _, number, row in chunks]
        data = parts[0] if len(parts) == 1 else np.concatenate(parts)
        once = len({start for start, _, _ in chunks}) == len(chunks)
        if not once or min(shape, default=0) < 0 or data.size != math.prod(shape) * dtype.itemsize:
            raise DumpError(
                "tensor-incomplete",
                f"the chunks of tensor {name} do not fill its shape once",
                facts=[("bytes", data.size), ("shape", f"{list(shape)} {dtype.name}")],
                help="the writer of this file is at fault; capture again",
            )
        if dtype.numpy is not None:
            # A copy where the bytes lie unaligned for their type, as the format allows.
            return np.require(data.view(dtype.numpy).reshape(shape), requirements="A")
        return _torch_tensor(data, dtype, shape)

    def __contains__(self, key: object) -> bool:
        return key in self._chunks

    def __iter__(self) -> Iterator[Key]:
        return iter(self._chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def samples(self) -> list[int]:
        """Return the numbers of the samples, ascending, without -1."""
        return sorted({sample for _, sample, _ in self._chunks if sample >= 0})

    def steps(self, sample: int) -> int:
        """Return how many decode steps of a sample there are without a gap, by its token ids."""
        step = 1
        while ("input_ids", sample, step) in self._chunks:
            step += 1
        return step - 1

    def encoding(self, key: Key) -> str | None:
        """Return ``dense``, ``stats`` or ``sketch``; None where there is no such tensor."""
        return self._encodings.get(key)

    def module(self, name: str) -> str | None:
        """Return the module path that a tensor came from, or None where the file does not say."""
        return self._modules.get(name)

    def stats(self, key: Key) -> dict[str, Any] | None:
        """Return what the file says of a tensor's values: ``min max mean rms nan posinf neginf``, or None."""
        _, number, row = min(self._chunks[key])
        batch = self._file.get_batch(number)
        with _damage(self.path):
            return batch.column("stats")[row].as_py() if "stats" in batch.schema.names else None

    def text(self, name: str, sample: int) -> str | None:
        """Return a text such as ``prompt``, or None where the dump has none."""
        value = self.get((name, sample, 0))
        if value is None:
            return None
        if str(value.dtype) != "uint8":
            raise DumpError(
                "text-invalid",
                f"{name} is no text",
                facts=[("file", self.path.name), ("sample", sample), ("found", f"{list(value.shape)} {value.dtype}")],
                help="the writer of this file is at fault; a text is stored as U8, its bytes in UTF-8",
            )
        return value.tobytes().decode("utf-8", "replace")

    def _data(self, number: int, row: int) -> memoryview:
        return memoryview(self._file.get_batch(number).column("data")[row].as_buffer())


def load(path: str | os.PathLike[str]) -> DumpFile:
    """Open a dump.

    ::

        dump = load("cpu.arrow")
        dump["layers.3.mlp", 0, 0].shape  # (tokens, hidden size)

    Raises:
        DumpError: the file is no dump, is incomplete, or has another major version.
    """
    return DumpFile(path)


def _open(path: Path) -> pa.ipc.RecordBatchFileReader:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowSerializationError) as error:
        raise _incomplete(path, str(error).splitlines()[0]) from error
    except OSError as error:
        raise DumpError(
            "dump-unreadable",
            "the dump cannot be read",
            facts=[("file", path), ("system", error.strerror or error)],
            help="check the path and the file's rights",
        ) from error


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn whatever pyarrow, NumPy or a codec says of damaged bytes into our error; there is no list of it."""
    try:
        yield
    except DumpError:
        raise
    except Exception as error:
        raise DumpError(
            "dump-damaged",
            "the dump is damaged",
            facts=[("file", path.name), (type(error).__name__, (str(error).splitlines() or [""])[0])],
            help="copy it again from where it was made, or capture again",
        ) from error


def _run_of(schema: pa.Schema, path: Path) -> dict[str, Any]:
    metadata = schema.metadata or {}
    version = metadata.get(contract.VERSION_KEY, b"").decode("utf-8", "replace")
    if not version:
        raise _no_dump(path, f"its metadata lacks {contract.VERSION_KEY.decode()}")
    if version.split(".")[0] != contract.VERSION:
        raise DumpError(
            "dump-version",
            "the dump has another version of the format",
            facts=[("file", f"{path.name}, version {version}"), ("known", f"version {contract.VERSION}")],
            help="install the newest npu-dump, or capture again",
        )
    try:
        run = json.loads(metadata.get(contract.RUN_KEY, b""))
    except ValueError as error:
        raise _no_dump(path, f"{contract.RUN_KEY.decode()} is no JSON: {error}") from error
    missing = [key for key in ("tool", "id", "dtype") if not isinstance(run, dict) or key not in run]
    if missing:
        raise _no_dump(path, f"{contract.RUN_KEY.decode()} lacks {', '.join(missing)}")
    return run


def _check_columns(schema: pa.Schema, path: Path) -> None:
    optional = ("layer", "module", "repeat", "rank", "start", "encoding", "stats")
    missing = [name for name in contract.COLUMNS.names if name not in optional and name not in schema.names]
    if missing:
        raise _no_dump(path, f"column {', '.join(missing)} is missing")


def _torch_tensor(data: np.ndarray, dtype: contract.DType, shape: tuple[int, ...]) -> Any:
    try:
        import torch
    except ImportError as error:
        raise DumpError(
            "torch-absent",
            f"NumPy has no {dtype.name}, and torch is not installed",
            facts=[("needed for", dtype.name)],
            help="pip install npu-dump[transformers]",
        ) from error
    # A copy: torch wants writable, aligned memory.
    return torch.from_numpy(data.copy()).view(getattr(torch, dtype.torch)).reshape(shape)


def _no_dump(path: Path, reason: str) -> DumpError:
    return DumpError(
        "not-a-dump",
        "the file is not a dump",
        facts=[("file", path.name), ("reason", reason)],
        help="give a file that npu-dump or npu-diff convert has written",
    )


def _incomplete(path: Path, reason: str) -> DumpError:
    return DumpError(
        "dump-incomplete",
        "the dump is incomplete, or no Arrow file",
        facts=[("file", path.name), ("reason", reason)],
        help=f"npu-diff repair {path.name} keeps what is whole; or capture again",
    )
