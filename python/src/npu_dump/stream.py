"""A thread before `DumpWriter`, so that disk and forward pass work at the same time."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Any

from .errors import DumpError
from .limits import Limits
from .tensor import HostTensor
from .writer import DumpWriter


class BackgroundWriter:
    """Hands tensors to a `DumpWriter` on its own thread, with a bound on the bytes that wait.

    `put` blocks while the queue is full, so a slow disk slows the forward pass instead of filling the memory. An
    error of the writer is raised by the next `put`, or by `close`. As a context manager it closes at the end of the
    block, or aborts after an exception.

    Attributes:
        peak_bytes: the most bytes that waited or were being written at one time.
    """

    def __init__(self, writer: DumpWriter, limits: Limits) -> None:
        self.writer = writer
        self.peak_bytes = 0
        self._limit = limits.buffer
        self._queue: deque[tuple[HostTensor, dict[str, Any]]] = deque()
        self._flush_asked = False
        self._waiting = 0
        self._writing = 0
        self._closing = False
        self._error: BaseException | None = None
        # Entered by itself, not through the condition, whose methods are Python: an interrupt between two of their
        # lines would leave it locked for ever.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._work, name="npu-dump-writer", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            writer.abort()
            raise

    def put(self, tensor: HostTensor, **row: Any) -> None:
        """Queue one tensor; ``row`` is what `DumpWriter.write` takes. The tensor's memory must not change any more.

        Raises:
            DumpError: an earlier tensor could not be written, or the dump is closed.
        """
        size = tensor.data.size

        def ready() -> object:
            # A tensor larger than the limit comes when nothing else is here; beside it others may wait again.
            return self._error or self._waiting + size <= self._limit or not self._waiting + self._writing

        with self._lock:
            while not self._changed.wait_for(ready, timeout=1.0) and self._thread.is_alive():
                pass
            if self._error:
                raise self._error
            if self._closing or not self._thread.is_alive():
                raise _gone(self.writer)
            self._waiting += size
            self.peak_bytes = max(self.peak_bytes, self._waiting + self._writing)
            self._queue.append((tensor, row))
            self._changed.notify_all()

    def flush(self) -> None:
        """Let what waits be written as soon as the thread comes to it, gathered or not.

        Raises:
            DumpError: an earlier tensor could not be written.
        """
        with self._lock:
            if self._error:
                raise self._error
            self._flush_asked = True
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, then ``run.end``, and give the file its name; on an error leave the ``.partial``."""
        try:
            self._stop()
            if self._error:
                raise self._error
            self.writer.close()
        except BaseException:
            self.writer.abort()
            raise

    def abort(self) -> None:
        """Write what waits and leave the ``.partial``."""
        try:
            self._stop()
        finally:
            self.writer.abort()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def _stop(self) -> None:
        try:
            with self._lock:
                self._closing = True
                self._changed.notify_all()
            self._thread.join()
        except BaseException:
            # An interrupt while we waited: what is in the queue is given up, what is being written is not.
            with self._lock:
                self._queue.clear()
                self._changed.notify_all()
            self._thread.join()
            raise

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    self._changed.wait_for(lambda: self._queue or self._closing or self._flush_asked)
                    if not self._queue and not self._flush_asked:
                        return
                    next_one = self._queue.popleft() if self._queue else None
                    if next_one is None:
                        self._flush_asked = False
                    else:
                        self._writing = next_one[0].data.size
                        self._waiting -= self._writing
                        self._changed.notify_all()
                if next_one is None:
                    self.writer.flush()
                    continue
                tensor, row = next_one
                self.writer.write(row.pop("name"), tensor, **row)
                # Let go of the memory before telling the other thread that there is room.
                del tensor, next_one
                with self._lock:
                    self._writing = 0
                    self._changed.notify_all()
        except BaseException as error:
            with self._lock:
                self._error = error
                self._queue.clear()
                self._changed.notify_all()


def _gone(writer: DumpWriter) -> DumpError:
    return DumpError(
        "dump-closed",
        "the dump is closed, nothing can be added",
        facts=[("file", writer.path.name)],
        help="run the model inside the with block, in the process that entered it",
    )
