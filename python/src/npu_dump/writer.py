"""Writes a dump: tensors in, one Arrow file out, in constant memory.

`DumpWriter` is synchronous and needs no torch; `npu_dump.stream` puts a thread before it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from . import contract
from ._version import __version__
from .errors import DumpError
from .limits import MIB, Limits
from .stats import tensor_stats
from .target import check_target, disk_errors
from .tensor import HostTensor, host_tensor


class DumpWriter:
    """Writes named tensors into one dump.

    ::

        with DumpWriter("cpu.arrow", run={"dtype": "F32"}) as writer:
            writer.write("input_ids", ids, sample=0)
            writer.write("logits", logits, sample=0)

    The file is ``cpu.arrow.partial`` until the block ends; then ``run.end`` is added and the file gets its name. An
    exception inside the block leaves the ``.partial`` with every tensor written so far (``npu-diff repair`` makes a
    dump of it).

    Args:
        path: the file to make; must end in ``.arrow``.
        run: what is known of the run; see the dump format. ``tool`` and a random ``id`` are filled in where absent;
            ``dtype`` (the run's, e.g. ``BF16``) is required.
        overwrite: replace a file of that name. Without it an existing file is an error.
        limits: sizes of chunks and batches.

    Raises:
        DumpError: the path cannot be written, or ``run`` is not what the format demands.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        run: Mapping[str, Any],
        overwrite: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.path = Path(path)
        self.partial_path = self.path.with_name(self.path.name + contract.PARTIAL_SUFFIX)
        self.run = {"tool": {"name": "npu-dump", "version": __version__}, "id": secrets.token_hex(16)} | dict(run)
        self.end: dict[str, Any] = {}
        self._limits = limits or Limits()
        self._seen: set[tuple[str, int, int, int, int]] = set()
        self._started = time.monotonic()
        schema = contract.COLUMNS.with_metadata(
            {contract.VERSION_KEY: contract.VERSION, contract.RUN_KEY: _run_json(self.run)}
        )
        check_target(self.path, overwrite=overwrite)
        with disk_errors(self.partial_path):
            # "x": of two writers of one name the second fails, instead of mixing its bytes with the first's.
            self.partial_path.open("wb" if overwrite else "xb").close()
            self._sink = pa.OSFile(str(self.partial_path), "wb")
            self._ipc = pa.ipc.new_file(self._sink, schema)
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._gather = np.empty(self._limits.gather, dtype=np.uint8)
        self._gathered = 0
        self._batches = 0

    def write(
        self,
        name: str,
        value: Any,
        *,
        sample: int = 0,
        step: int = 0,
        repeat: int = 0,
        rank: int = 0,
        kind: contract.Kind | None = None,
        layer: int | None = None,
        module: str | None = None,
        encoding: contract.Encoding = "dense",
        dtype: str | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        """Add one whole tensor.

        Args:
            name: its name; any text of 1 byte to 64 KiB of UTF-8.
            value: a torch tensor, a NumPy array or scalar, or raw bytes with ``dtype`` and ``shape``.
            sample: prompt index from 0; -1 for the whole run.
            step: 0 for the prompt, k for the k-th decode step.
            repeat: repetition of a determinism run.
            rank: rank that held this shard.
            kind: a hint for display; from the name where None.
            layer: decoder layer; from the name where None.
            module: the engine's own module path.
            encoding: ``dense``: the tensor; ``stats``: its statistics alone.
            dtype: name of the element type, with raw bytes.
            shape: shape, with raw bytes.

        Raises:
            DumpError: name, dtype or shape is not the format's, the tensor is there already, or the disk is full.
        """
        key = (name, sample, step, repeat, rank)
        self._check(key)
        tensor = host_tensor(value, dtype, shape)
        kind = kind or contract.kind_of(name)
        stats = None if kind in ("text", "meta") else tensor.stats or tensor_stats(tensor.data, tensor.dtype)
        row = {
            "name": name,
            "kind": kind,
            "layer": contract.layer_of(name) if layer is None and kind != "other" else layer,
            "module": module,
            "sample": sample,
            "step": step,
            "repeat": repeat,
            "rank": rank,
            "dtype": tensor.dtype.name,
            "shape": list(tensor.shape),
            "encoding": encoding,
        }
        if encoding == "stats":
            tensor = replace(tensor, data=np.empty(0, np.uint8))
        self._seen.add(key)
        with disk_errors(self.partial_path):
            if self._rows and self._rows[-1]["dtype"] != tensor.dtype.name:
                self._flush()
            if tensor.data.size > self._limits.gather // 4:
                self._flush()
                self._write_large(row, tensor, stats)
            else:
                self._collect(row, tensor, stats)

    def _collect(self, row: dict[str, Any], tensor: HostTensor, stats: dict[str, Any] | None) -> None:
        """Copy a small tensor beside others, so that a record batch is worth its header."""
        if self._gathered + tensor.data.size > self._limits.gather:
            self._flush()
        for start, data in _cut(tensor, self._limits.chunk):
            self._gather[self._gathered : self._gathered + data.size] = data
            self._gathered += data.size
            self._rows.append(row | {"start": start, "stats": None if start else stats, "bytes": data.size})

    def _write_large(self, row: dict[str, Any], tensor: HostTensor, stats: dict[str, Any] | None) -> None:
        """Write the chunks of one tensor from where they lie: they are contiguous, so a batch needs no copy."""
        rows: list[dict[str, Any]] = []
        begin = end = 0
        for start, data in _cut(tensor, self._limits.chunk):
            if rows and end + data.size - begin > self._limits.batch:
                self._write_batch(rows, tensor.data[begin:end])
                rows, begin = [], end
            end += data.size
            rows.append(row | {"start": start, "stats": None if start else stats, "bytes": data.size})
        self._write_batch(rows, tensor.data[begin:end])

    def _flush(self) -> None:
        if self._rows:
            rows, size = self._rows, self._gathered
            self._rows, self._gathered = [], 0
            self._write_batch(rows, self._gather[:size])

    def _write_batch(self, rows: list[dict[str, Any]], data: np.ndarray) -> None:
        offsets = np.zeros(len(rows) + 1, dtype="<i8")
        np.cumsum([row["bytes"] for row in rows], out=offsets[1:])
        values = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )
        arrays = [
            values if field.name == "data" else pa.array([row[field.name] for row in rows], type=field.type)
            for field in self._schema
        ]
        self._ipc.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._batches += 1

    def _check(self, key: tuple[str, int, int, int, int]) -> None:
        name, sample, *others = key
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            size = 0
        if not 1 <= size <= contract.MAX_NAME_BYTES:
            raise DumpError(
                "name-invalid",
                "a tensor's name must be 1 byte to 64 KiB of UTF-8",
                facts=[("name", name[:60]), ("bytes", size or "none, or no valid Unicode")],
                help="give the tensor another name",
            )
        if sample < -1 or min(others) < 0 or max(sample, *others) >= 2**31:
            raise DumpError(
                "index-invalid",
                "sample, step, repeat and rank are counted from 0 in 31 bits; only sample may be -1, the whole run",
                facts=[("tensor", name), ("sample, step, repeat, rank", key[1:])],
                help="number them from 0",
            )
        if key in self._seen:
            raise DumpError(
                "tensor-twice",
                f"tensor {name} was written twice",
                facts=[("sample, step, repeat, rank", key[1:])],
                help="give each tensor of a sample and step its own name",
            )

    def write_text(self, name: str, text: str, *, sample: int = 0) -> None:
        """Add a text as ``[bytes]`` U8 of its UTF-8; lone surrogates become U+FFFD."""
        data = text.encode("utf-8", "replace")
        self.write(name, data, sample=sample, dtype="U8", shape=[len(data)])

    def close(self) -> None:
        """Write ``run.end`` and the footer, and give the file its name."""
        end = {
            "complete": True,
            "tensors": len(self._seen),
            "seconds": round(time.monotonic() - self._started, 3),
        } | self.end
        # One row whatever the limits: readers look for it in the last row alone.
        self._limits = replace(self._limits, chunk=max(self._limits.chunk, MIB))
        data = json.dumps(end, allow_nan=False).encode()
        self.write(contract.END_NAME, data, sample=-1, dtype="U8", shape=[len(data)])
        with disk_errors(self.partial_path):
            self._flush()
            self._ipc.close()
            self._sink.close()
            self.partial_path.replace(self.path)

    def abort(self) -> None:
        """Keep what was written as ``.partial``: its batches are complete, ``run.end`` and the footer are missing.

        A file without a single tensor is removed.
        """
        # A full disk is why we are here, more often than not; the batches before it are safe.
        with suppress(OSError):
            self._flush()
        # The IPC writer stays open: closing it would write a footer, and the file is incomplete.
        with suppress(OSError):
            self._sink.close()
        if not self._batches:
            self.partial_path.unlink(missing_ok=True)

    def __enter__(self) -> DumpWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise


def _run_json(run: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(run, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DumpError(
            "run-invalid",
            "the run's metadata is no JSON",
            facts=[("reason", error)],
            help="use only objects, arrays, text, finite numbers, booleans and null",
        ) from error
    if run.get("dtype") not in contract.DTYPES:
        raise DumpError(
            "run-invalid",
            "the run's metadata must name the precision of the run",
            facts=[("dtype", run.get("dtype")), ("known", " ".join(contract.DTYPES))],
            help='add "dtype" to run, e.g. {"dtype": "BF16"}',
        )
    return text


def _cut(tensor: HostTensor, limit: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(start, bytes)`` of the chunks: as many indices along axis 0 as fit ``limit``, at least one."""
    length = tensor.shape[0] if tensor.shape else 1
    if not tensor.data.size:
        yield 0, tensor.data
        return
    rows = max(1, limit // tensor.row_bytes)
    for start in range(0, length, rows):
        yield start, tensor.data[start * tensor.row_bytes : (start + rows) * tensor.row_bytes]
