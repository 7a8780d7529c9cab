"""Writes a dump: tensors in, one Arrow file out, in constant memory.

`DumpWriter` is synchronous and needs no torch; `npu_dump.stream` puts a thread before it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from . import contract
from ._version import __version__
from .checks import Key, check_key, check_slice, run_json
from .errors import DumpError
from .limits import MIB, Limits
from .ranks import rank_of
from .stats import tensor_stats
from .target import Target
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
            ``dtype`` (the run's, e.g. ``BF16``) is required. A rank of several says so in ``parallel`` and
            ``shards`` (see `npu_dump.ranks`), and has the ``id`` of all.
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
        self.run = {"tool": {"name": "npu-dump", "version": __version__}, "id": secrets.token_hex(16)} | dict(run)
        self.end: dict[str, Any] = {}
        self._rank = rank_of(self.run)
        self._limits = limits or Limits()
        self._seen: set[Key] = set()
        self._started = time.monotonic()
        schema = contract.COLUMNS.with_metadata(
            {contract.VERSION_KEY: contract.VERSION, contract.RUN_KEY: run_json(self.run)}
        )
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._gather = np.empty(self._limits.gather, dtype=np.uint8)
        self._gathered = 0
        self._batches = 0
        self._ended: DumpError | None = None
        self._complete = False
        self._target = Target(self.path, overwrite=overwrite)
        try:
            with self._target.errors():
                self._ipc = pa.ipc.new_file(self._target.sink, schema)
        except BaseException:
            self._target.discard()
            raise

    def write(
        self,
        name: str,
        value: Any,
        *,
        sample: int = 0,
        step: int = 0,
        repeat: int = 0,
        rank: int | None = None,
        kind: contract.Kind | None = None,
        layer: int | None = None,
        module: str | None = None,
        encoding: contract.Encoding = "dense",
        dtype: str | None = None,
        shape: Sequence[int] | None = None,
        whole: Sequence[int] | None = None,
        start: int = 0,
    ) -> None:
        """Add one tensor, or what this rank holds of it.

        Args:
            name: its name; any text of 1 byte to 64 KiB of UTF-8.
            value: a torch tensor, a NumPy array or scalar, or raw bytes with ``dtype`` and ``shape``.
            sample: prompt index from 0; -1 for the whole run.
            step: 0 for the prompt, k for the k-th decode step.
            repeat: repetition of a determinism run.
            rank: rank that holds it; the run's (``run.parallel.rank``) where None.
            kind: a hint for display; from the name where None.
            layer: decoder layer; from the name where None.
            module: the engine's own module path.
            encoding: ``dense``: the tensor; ``stats``: its statistics alone.
            dtype: name of the element type, with raw bytes.
            shape: shape, with raw bytes.
            whole: shape of the whole tensor, where ``value`` is the slice of it that ``run.shards`` says. Of terms of
                a sum and of replicas the shape is the value's own.
            start: first index along axis 0 that a slice of tokens holds.

        Raises:
            DumpError: name, dtype or shape is not the format's, the tensor is there already, or the disk is full.
        """
        if self._ended:
            raise self._ended
        rank = self._rank if rank is None else rank
        key = (name, sample, step, repeat, rank)
        check_key(key)
        if key in self._seen:
            raise DumpError(
                "tensor-twice",
                f"tensor {name} was written twice",
                facts=[("sample, step, repeat, rank", key[1:])],
                help="give each tensor of a sample and step its own name",
            )
        tensor = host_tensor(value, dtype, shape)
        kind = kind or contract.kind_of(name)
        if whole is not None or start:
            check_slice(name, tensor.shape, whole, start, encoding)
        # Statistics are of whole tensors.
        plain = whole is not None or kind in ("text", "meta")
        stats = None if plain else tensor.stats or tensor_stats(tensor.data, tensor.dtype)
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
            "shape": list(tensor.shape if whole is None else whole),
            "first": start,
            "encoding": encoding,
        }
        if encoding == "stats":
            tensor = replace(tensor, data=np.empty(0, np.uint8))
        with self._writing():
            self._seen.add(key)
            if self._rows and self._rows[-1]["dtype"] != tensor.dtype.name:
                self._flush()
            if tensor.data.size > self._limits.gather // 4:
                self._flush()
                self._write_large(row, tensor, stats)
            else:
                self._collect(row, tensor, stats)

    def flush(self) -> None:
        """Put what was gathered on its way to the disk, so that whatever ends this process does not lose it.

        Raises:
            DumpError: the disk is full, or a tensor could not be written before.
        """
        if self._ended:
            raise self._ended
        with self._writing():
            self._flush()

    def _collect(self, row: dict[str, Any], tensor: HostTensor, stats: dict[str, Any] | None) -> None:
        """Copy a small tensor beside others, so that a record batch is worth its header."""
        if self._gathered + tensor.data.size > self._limits.gather:
            self._flush()
        for start, data in _cut(tensor, self._limits.chunk):
            self._gather[self._gathered : self._gathered + data.size] = data
            self._gathered += data.size
            self._rows.append(
                row | {"start": row["first"] + start, "stats": None if start else stats, "bytes": data.size}
            )

    def _write_large(self, row: dict[str, Any], tensor: HostTensor, stats: dict[str, Any] | None) -> None:
        """Write the chunks of one tensor from where they lie: they are contiguous, so a batch needs no copy."""
        rows: list[dict[str, Any]] = []
        begin = end = 0
        for start, data in _cut(tensor, self._limits.chunk):
            if rows and end + data.size - begin > self._limits.batch:
                self._write_batch(rows, tensor.data[begin:end])
                rows, begin = [], end
            end += data.size
            rows.append(row | {"start": row["first"] + start, "stats": None if start else stats, "bytes": data.size})
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
        self._target.mark()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let whatever goes wrong inside end the writer: rows are lost then, and no dump lacks them unsaid."""
        try:
            with self._target.errors():
                yield
        except BaseException as error:
            self._ended = error if isinstance(error, DumpError) else _lost(error)
            raise

    def write_text(self, name: str, text: str, *, sample: int = 0, repeat: int = 0) -> None:
        """Add a text as ``[bytes]`` U8 of its UTF-8; lone surrogates become U+FFFD."""
        data = text.encode("utf-8", "replace")
        self.write(name, data, sample=sample, repeat=repeat, dtype="U8", shape=[len(data)])

    def close(self) -> None:
        """Write ``run.end`` and the footer, and give the file its name; nothing where that has been done.

        The name is there only after all bytes are on the disk, so that not even a power cut leaves it without them.

        Raises:
            DumpError: the disk is full, or a tensor could not be written before.
        """
        if self._complete:
            return
        if self._ended:
            raise self._ended
        end = {
            "complete": True,
            "tensors": len(self._seen),
            "seconds": round(time.monotonic() - self._started, 3),
        } | self.end
        data = json.dumps(end, allow_nan=False).encode()
        with self._writing():
            self._flush()
            # Before anything says that the dump is complete.
            self._target.sync()
        # One row whatever the limits: readers look for it in the last row alone.
        self._limits = replace(self._limits, chunk=max(self._limits.chunk, MIB))
        self.write(contract.END_NAME, data, sample=-1, dtype="U8", shape=[len(data)])
        with self._writing():
            self._flush()
            self._ipc.close()
            self._target.commit()
        self._complete = True
        self._ended = _closed(self.path)

    def abort(self) -> None:
        """Keep what was written as ``.partial``: its batches are complete, ``run.end`` and the footer are missing.

        A file without a single tensor is removed. Nothing happens to a file that is closed.
        """
        if self._complete:
            return
        try:
            if not self._ended:
                # What stops the last batch is no news beside what brought us here.
                with suppress(Exception), self._writing():
                    self._flush()
        finally:
            # The IPC writer stays open: closing it would write a footer, and the file is incomplete.
            if self._batches:
                self._target.keep()
            else:
                self._target.discard()
            self._ended = self._ended or _closed(self.path)

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


def _closed(path: Path) -> DumpError:
    return DumpError(
        "dump-closed",
        "the dump is closed, nothing can be added",
        facts=[("file", path.name)],
        help="write inside the with block",
    )


def _lost(error: BaseException) -> DumpError:
    return DumpError(
        "tensor-lost",
        "an earlier tensor could not be written, so the dump cannot be finished",
        facts=[(type(error).__name__, (str(error).splitlines() or ["no reason given"])[0])],
        help="capture again",
    )


def _cut(tensor: HostTensor, limit: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(start, bytes)`` of the chunks: as many indices along axis 0 as fit ``limit``, at least one."""
    length = tensor.shape[0] if tensor.shape else 1
    if not tensor.data.size:
        yield 0, tensor.data
        return
    rows = max(1, limit // tensor.row_bytes)
    for start in range(0, length, rows):
        yield start, tensor.data[start * tensor.row_bytes : (start + rows) * tensor.row_bytes]
