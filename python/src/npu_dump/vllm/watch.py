"""Notices that an engine's process is gone, where the engine's own front waits for its answer for ever."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from multiprocessing.connection import wait
from types import TracebackType

from ..errors import DumpError

# The engine may notice by itself, and then says more.
_PATIENCE_S = 10.0
_LOOK_S = 0.5


class Watch:
    """Ends a ``with`` block whose engine dies: what blocks the main thread is interrupted.

    In another thread than the main one nothing is watched, because nothing can be interrupted there.

    Raises:
        DumpError: ``engine-died``, on leaving the block.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._died = False

    def __enter__(self) -> Watch:
        self._over.clear()
        # Those that the engine has started; they live as long as it does.
        sentinels = [child.sentinel for child in multiprocessing.active_children()]
        if sentinels and threading.current_thread() is threading.main_thread():
            threading.Thread(target=self._look, args=(sentinels,), name="npu-dump-watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
        if self._died and (kind is None or issubclass(kind, KeyboardInterrupt)):
            raise DumpError(
                "engine-died",
                "the engine's process ended while it ran",
                facts=[("noticed", f"no answer {_PATIENCE_S:.0f} s after its end")],
                help="what is complete is in OUT.partial; npu-diff repair makes a dump of it",
            ) from error

    def _look(self, sentinels: list[int]) -> None:
        while not wait(sentinels, timeout=_LOOK_S):
            if self._over.is_set():
                return
        if self._over.wait(_PATIENCE_S):
            return
        with self._lock:
            if not self._over.is_set():
                self._died = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
