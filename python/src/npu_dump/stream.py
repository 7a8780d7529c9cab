"""A thread before `DumpWriter`, so that disk and forward pass work at the same time."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from .limits import Limits
from .tensor import HostTensor
from .writer import DumpWriter


class BackgroundWriter:
    """Hands tensors to a `DumpWriter` on its own thread, with a bound on the bytes that wait.

    `put` blocks while the queue is full, so a slow disk slows the forward pass instead of filling the memory. An
    error of the writer is raised by the next `put`, or by `close`.

    Attributes:
        peak_bytes: the most bytes that waited or were being written at one time.
    """

    def __init__(self, writer: DumpWriter, limits: Limits) -> None:
        self.writer = writer
        self.peak_bytes = 0
        self._limit = limits.buffer
        self._queue: deque[tuple[HostTensor, dict[str, Any]]] = deque()
        self._waiting = 0
        self._writing = 0
        self._closing = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="npu-dump-writer", daemon=True)
        self._thread.start()

    def put(self, tensor: HostTensor, **row: Any) -> None:
        """Queue one tensor; ``row`` is what `DumpWriter.write` takes. The tensor's memory must not change any more.

        Raises:
            DumpError: an earlier tensor could not be written.
        """
        size = tensor.data.size
        with self._changed:
            # A tensor larger than the limit comes when nothing else is here; beside it others may wait again.
            self._changed.wait_for(
                lambda: self._error or self._waiting + size <= self._limit or not self._waiting + self._writing
            )
            if self._error:
                raise self._error
            self._waiting += size
            self.peak_bytes = max(self.peak_bytes, self._waiting + self._writing)
            self._queue.append((tensor, row))
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, then ``run.end``, and give the file its name; on an error leave the ``.partial``."""
        self._stop()
        if self._error:
            self.writer.abort()
            raise self._error
        try:
            self.writer.close()
        except BaseException:
            self.writer.abort()
            raise

    def abort(self) -> None:
        """Write what waits and leave the ``.partial``."""
        self._stop()
        self.writer.abort()

    def _stop(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                tensor, row = self._queue.popleft()
                self._writing = tensor.data.size
                self._waiting -= self._writing
                self._changed.notify_all()
            try:
                self.writer.write(row.pop("name"), tensor, **row)
            except BaseException as error:
                with self._changed:
                    self._error = error
                    self._queue.clear()
                    self._changed.notify_all()
                return
            # Let go of the memory before telling the other thread that there is room.
            del tensor
            with self._changed:
                self._writing = 0
                self._changed.notify_all()
